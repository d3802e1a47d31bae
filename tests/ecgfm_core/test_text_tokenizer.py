"""Any text survives the tokenizer: English, German, Chinese, and what no piece spells."""

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgfm_core.errors import TrainingError
from ecgfm_core.model.ecgfm import BOS, EOS, PAD
from ecgfm_core.model.text import TextTokenizer

CORPORA = {
    "English": ["Sinus rhythm. Left axis deviation.", "Atrial fibrillation. Possible inferior myocardial infarction."],
    "German": ["sinusrhythmus. überdrehter linkstyp. sonst normales ekg", "vorhofflimmern, st-hebung größer 0,1 mV"],
    "Chinese": ["窦性心律，正常心电图。", "心房颤动，完全性右束支传导阻滞", "窦性心动过缓，ST段压低"],
}


@pytest.fixture(scope="module", params=CORPORA)
def tokenizer(request: pytest.FixtureRequest) -> TextTokenizer:
    return TextTokenizer.train(CORPORA[request.param] * 20, 200)


def told(text: str) -> str:
    """What a text is after the tokenizer: NFKC, one blank where there were several."""
    return " ".join(unicodedata.normalize("NFKC", text).split())


@pytest.mark.parametrize("text", [text for corpus in CORPORA.values() for text in corpus])
def test_every_language_survives_a_tokenizer_of_any(tokenizer: TextTokenizer, text: str) -> None:
    ids = tokenizer.encode(text, 400)
    assert ids[-1] == EOS
    assert PAD not in ids
    assert BOS not in ids
    assert tokenizer.decode(ids) == told(text)


def is_word(text: str) -> bool:
    """Whether NFKC leaves no blank in it, as it does before the accent of a lone ´."""
    return not any(map(str.isspace, unicodedata.normalize("NFKC", text)))


@settings(max_examples=60, deadline=None)
@given(text=st.text(st.characters(exclude_categories=["C", "Z"]), max_size=40).filter(is_word))
def test_any_word_survives_by_its_bytes(text: str) -> None:
    assert told(TextTokenizer([]).decode(TextTokenizer([]).encode(text, 1000))) == told(text)


def test_words_that_come_again_are_one_piece() -> None:
    tokenizer = TextTokenizer.train(CORPORA["English"] * 2, 200)
    assert len(tokenizer.encode("Sinus rhythm. Left axis deviation.", 400)) == 8  # 5 words, 2 stops and the end
    for corpus in CORPORA.values():
        learned = TextTokenizer.train(corpus * 20, 200)
        assert all(len(learned.encode(text, 400)) < len(text.encode()) / 3 for text in corpus)


def test_no_more_pieces_are_learned_than_asked_for() -> None:
    assert len(TextTokenizer.train(CORPORA["English"] * 20, 40).pieces) <= 40


def test_compatibility_forms_become_one() -> None:
    tokenizer = TextTokenizer.train(CORPORA["English"], 100)
    assert tokenizer.encode("ＳＴ　ﬁnding", 100) == tokenizer.encode("ST finding", 100)


def test_a_text_is_cut_and_still_ends() -> None:
    tokenizer = TextTokenizer.train(CORPORA["English"], 100)
    ids = tokenizer.encode("Sinus rhythm. " * 50, 10)
    assert (len(ids), ids[-1]) == (10, EOS)
    assert tokenizer.encode(" \n", 10) == []
    assert tokenizer.decode([BOS, *ids, 5, 6]) == tokenizer.decode(ids)


def test_the_same_texts_give_the_same_ids_and_a_file_holds_them(tmp_path: Path) -> None:
    texts = [text for corpus in CORPORA.values() for text in corpus]
    one, other = TextTokenizer.train(texts, 150), TextTokenizer.train(reversed(texts), 150)
    assert one.pieces == other.pieces
    one.save(tmp_path / "tokenizer.json")
    assert TextTokenizer.load(tmp_path / "tokenizer.json").encode(texts[3], 99) == one.encode(texts[3], 99)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(TrainingError, match="train again"):
        TextTokenizer.load(tmp_path / "tokenizer.json")
