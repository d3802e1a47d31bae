"""How good reports are: the statements found in them, beside BLEU; and reports to compare with. No torch.

Only `bleu` needs sacrebleu, which the web side does without. S seed, N recording, C code, D embedding width.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from ecgfm_core import reports
from ecgfm_core.downstream.bootstrap import Interval, interval
from ecgfm_core.downstream.metrics import resampled_f1
from ecgfm_core.training.metrics import POSITIVES_MIN

_NEIGHBOURS_AT_ONCE = 1000


@dataclass(frozen=True)
class TextScore:
    """Figures of reports, means over seeds; all but `bleu` (0 to 100) and `distinct` are shares.

    Attributes
    ----------
    micro_f1 : of the statements found, over all recordings and codes
    macro_f1 : mean of the F1 of every code that `POSITIVES_MIN` recordings or more bear
    exact : reports that are their reference, letter by letter
    empty : reports that state nothing
    distinct : how many different reports there are
    """

    micro_f1: Interval
    macro_f1: Interval
    bleu: float
    exact: float
    empty: float
    distinct: float


def said(texts: Sequence[str], codes: Sequence[str]) -> np.ndarray:
    """Give which codes each report states, bool `[N, C]`; what it calls possible is not stated."""
    found = [reports.certain(text) for text in texts]
    return np.array([[code in one for code in codes] for one in found], dtype=bool).reshape(len(texts), len(codes))


def bleu(texts: Sequence[str], references: Sequence[str]) -> float:
    """Corpus BLEU, 0 to 100 (Papineni et al., 2002; Post, "A call for clarity in reporting BLEU scores", 2018)."""
    import sacrebleu

    return float(sacrebleu.corpus_bleu(list(texts), [list(references)]).score)


def text_score(
    texts_SN: Sequence[Sequence[str]],
    references: Sequence[str],
    target_NC: np.ndarray,
    codes: Sequence[str],
    groups: Sequence[str] | None = None,
    seed: int = 0,
) -> TextScore:
    """Judge reports of several seeds by what is known of their recordings and by the reports that were written.

    Parameters
    ----------
    references : of each recording its true report
    target_NC : 0, 1, or NaN where unknown, which counts for nothing
    codes : of the columns
    groups : patient of each recording, drawn as a whole by the bootstrap
    """
    said_SNC = np.stack([said(texts, codes) for texts in texts_SN])
    f1 = {
        micro: interval(partial(resampled_f1, micro=micro, positives_min=POSITIVES_MIN), target_NC, said_SNC, seed,
                        groups=groups)
        for micro in (True, False)
    }  # fmt: skip
    pairs = [(text, reference) for texts in texts_SN for text, reference in zip(texts, references, strict=True)]
    return TextScore(
        f1[True],
        f1[False],
        float(np.mean([bleu(texts, references) for texts in texts_SN])),
        float(np.mean([text == reference for text, reference in pairs])),
        float(np.mean(~said_SNC.any(axis=2))),
        float(np.mean([len(set(texts)) for texts in texts_SN])),
    )


def most_frequent(texts: Sequence[str]) -> str:
    """Give the report that comes most often; of several the first in the alphabet."""
    counts = Counter(texts)
    return min(counts, key=lambda text: (-counts[text], text))


def template(probability_NC: np.ndarray, thresholds_C: np.ndarray, codes: Sequence[str]) -> list[str]:
    """Write the sentence of the labels at or above their thresholds, for each recording."""
    return [
        reports.sentence(code for code, present in zip(codes, row, strict=True) if present)
        for row in probability_NC >= thresholds_C
    ]


def nearest_reports(embedding_ND: np.ndarray, known_MD: np.ndarray, texts: Sequence[str]) -> list[str]:
    """Give each recording the report of the known one (M) whose embedding is nearest by the cosine.

    Features are centred and scaled by the known ones first, so that none drowns the others.
    """
    mean_D, deviation_D = known_MD.mean(axis=0), known_MD.std(axis=0) + 1e-6
    known, asked = ((x - mean_D) / deviation_D for x in (known_MD, embedding_ND))
    known /= np.linalg.norm(known, axis=1, keepdims=True) + 1e-9
    found: list[str] = []
    for first in range(0, len(asked), _NEIGHBOURS_AT_ONCE):
        found += [texts[row] for row in (asked[first : first + _NEIGHBOURS_AT_ONCE] @ known.T).argmax(axis=1)]
    return found
