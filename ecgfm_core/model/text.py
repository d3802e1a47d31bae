"""The text tokenizer: Hugging Face `tokenizers`, unigram with byte fallback and NFKC, of the training split only.

The unigram learner looks for pieces that several words share, however often a word comes: of the few words of reports
it keeps letters. So the words that come more than once are pieces too, and a report is about as long as its words.
"""

import json
import math
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from ecgfm_core.errors import TrainingError
from ecgfm_core.model.ecgfm import BOS, EOS, PAD

_MARKS = ("<pad>", "<bos>", "<eos>", "<unknown>")
_WORD_COUNT_MIN = 2
_BYTE_SCORE = -30.0  # below every learned piece, so that bytes serve only what no piece spells


class TextTokenizer:
    """Turns diagnostic text into token ids and back; any text survives, by bytes where no piece fits."""

    def __init__(self, pieces: Sequence[tuple[str, float]]) -> None:
        fixed = [(mark, 0.0) for mark in _MARKS] + [(f"<0x{byte:02X}>", _BYTE_SCORE) for byte in range(256)]
        self.pieces = list(pieces)
        self._tokenizer = Tokenizer(models.Unigram([*fixed, *self.pieces], unk_id=3, byte_fallback=True))
        self._tokenizer.normalizer = normalizers.NFKC()
        self._tokenizer.pre_tokenizer = _splitter()
        self._tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace()])

    @classmethod
    def train(cls, texts: Iterable[str], piece_count: int) -> "TextTokenizer":
        """Learn up to `piece_count` pieces; no text at all leaves the bytes alone."""
        # One thread, sorted texts, rounded scores and sorted pieces: the same texts give the same ids. The learner sums
        # in an order of its own, so that its scores differ in the sixth digit from run to run.
        os.environ["TOKENIZERS_PARALLELISM"] = "false"
        known = sorted(text for text in texts if text.strip())
        if not known:
            return cls([])
        learner = Tokenizer(models.Unigram())
        learner.normalizer = normalizers.NFKC()
        learner.pre_tokenizer = _splitter()
        trainer = trainers.UnigramTrainer(
            vocab_size=piece_count,
            show_progress=False,
            special_tokens=["<unknown>"],
            unk_token="<unknown>",  # noqa: S106
        )
        learner.train_from_iterator(known, trainer)
        learned = json.loads(learner.to_str())["model"]["vocab"]
        pieces = {piece: round(score, 3) for piece, score in learned if piece != "<unknown>"}
        words = _words(known)
        for word, count in words.most_common():
            if len(pieces) < piece_count and count >= _WORD_COUNT_MIN:
                pieces.setdefault(word, round(math.log(count / words.total()), 3))
        return cls(sorted(pieces.items()))

    @property
    def count(self) -> int:
        """Size of the vocabulary."""
        return self._tokenizer.get_vocab_size()

    def encode(self, text: str, token_count_max: int) -> list[int]:
        """Give ids that end with EOS, at most `token_count_max`; none for an empty text."""
        ids = self._tokenizer.encode(" ".join(text.split())).ids
        return [*ids[: token_count_max - 1], EOS] if ids else []

    def decode(self, ids: Iterable[int]) -> str:
        """Give the text up to EOS."""
        kept = []
        for token in ids:
            if token == EOS:
                break
            if token not in (PAD, BOS):
                kept.append(int(token))
        return self._tokenizer.decode(kept).strip()

    def save(self, path: Path) -> None:
        """Write the pieces."""
        path.write_text(json.dumps({"kind": "unigram", "pieces": self.pieces}, ensure_ascii=False), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> "TextTokenizer":
        """Read what `save` wrote."""
        try:
            return cls([(piece, score) for piece, score in json.loads(path.read_text(encoding="utf-8"))["pieces"]])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise TrainingError(f"Tokenizer {path} can't be read ({error}); train again") from error


def _splitter() -> pre_tokenizers.PreTokenizer:
    """Cut at blanks, which stay with the word after them, and around punctuation."""
    return pre_tokenizers.Sequence([pre_tokenizers.Metaspace(), pre_tokenizers.Punctuation()])


def _words(texts: Iterable[str]) -> Counter[str]:
    """Count the words of texts as the tokenizer cuts them."""
    splitter, normalizer = _splitter(), normalizers.NFKC()
    plain = (normalizer.normalize_str(" ".join(text.split())) for text in texts)
    return Counter(word for text in plain for word, _ in splitter.pre_tokenize_str(text))
