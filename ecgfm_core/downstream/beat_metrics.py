"""How well beats are classed: confusion, sensitivity, precision and F1 a class, intervals over records. No torch.

M beat, C class, R record.
"""

from dataclasses import dataclass

import numpy as np

from ecgfm_core.downstream.beats import CLASSES

SCORED = ("N", "S", "V")  # macro F1 is over these; F and Q are few and of two records


def confusion(true_M: np.ndarray, said_M: np.ndarray) -> np.ndarray:
    """Count beats `[C, C]`: rows the truth, columns what was said, in the order of `CLASSES`."""
    count = len(CLASSES)
    return np.bincount(count * true_M + said_M, minlength=count * count).reshape(count, count)


def record_confusions(true_M: np.ndarray, said_M: np.ndarray, record_M: np.ndarray) -> np.ndarray:
    """Count beats of each record `[R, C, C]`, records in the order of their numbers."""
    return np.stack([confusion(true_M[record_M == one], said_M[record_M == one]) for one in np.unique(record_M)])


@dataclass(frozen=True)
class ClassScore:
    """Of one class: shares 0 to 1; 0 where nothing is of the class or nothing was said to be."""

    sensitivity: float
    precision: float
    f1: float


def class_scores(table_CC: np.ndarray) -> dict[str, ClassScore]:
    """Score every class of a confusion; every wrong beat counts, F and Q said to be V too."""
    scores = {}
    for index, name in enumerate(CLASSES):
        hit, true, said = table_CC[index, index], table_CC[index].sum(), table_CC[:, index].sum()
        scores[name] = ClassScore(hit / max(1, true), hit / max(1, said), 2 * hit / max(1, true + said))
    return scores


def macro_f1(table_CC: np.ndarray) -> float:
    """Mean F1 over N, S and V."""
    scores = class_scores(table_CC)
    return float(np.mean([scores[name].f1 for name in SCORED]))


def summary(table_CC: np.ndarray) -> dict[str, float]:
    """Give what a table shows: F1, sensitivity and precision of N, S, V, F, macro F1 and accuracy."""
    scores = class_scores(table_CC)
    shown = {
        f"{name} {what}": float(getattr(scores[name], what))
        for name in CLASSES[:4]
        for what in ("f1", "sensitivity", "precision")
    }
    return {**shown, "macro f1": macro_f1(table_CC), "accuracy": float(np.trace(table_CC) / table_CC.sum())}


def intervals(tables_SRCC: np.ndarray, seed: int, count: int = 1000) -> dict[str, tuple[float, float, float]]:
    """Give mean over seeds, and the 95 % interval over records drawn with replacement, of every figure of `summary`.

    `tables_SRCC` are the confusions of each seed and record. The same records are drawn for every seed.
    """
    random = np.random.default_rng(seed)
    records = tables_SRCC.shape[1]

    def mean(drawn: np.ndarray) -> dict[str, float]:
        each = [summary(table_RCC[drawn].sum(0)) for table_RCC in tables_SRCC]
        return {key: float(np.mean([one[key] for one in each])) for key in each[0]}

    found = mean(np.arange(records))
    draws = [mean(random.integers(records, size=(records,))) for _ in range(count)]
    bounds = {key: np.percentile([one[key] for one in draws], (2.5, 97.5)) for key in found}
    return {key: (found[key], float(bounds[key][0]), float(bounds[key][1])) for key in found}


def difference(
    tables_SRCC: np.ndarray, others_SRCC: np.ndarray, seed: int, count: int = 1000
) -> tuple[float, float, float]:
    """Give by how much macro F1 is above another row's, mean over seeds, and its 95 % interval over records."""
    random = np.random.default_rng(seed)
    records = tables_SRCC.shape[1]

    def above(drawn: np.ndarray) -> float:
        means = [np.mean([macro_f1(one[drawn].sum(0)) for one in some]) for some in (tables_SRCC, others_SRCC)]
        return float(means[0] - means[1])

    draws = [above(random.integers(records, size=(records,))) for _ in range(count)]
    low, high = np.percentile(draws, (2.5, 97.5))
    return above(np.arange(records)), float(low), float(high)
