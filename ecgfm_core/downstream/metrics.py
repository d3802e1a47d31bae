"""Figures of a task with several classes that may hold at once: thresholds, F1, sensitivity, precision, AUROC.

Each mean has a form that counts recordings as often as a bootstrap drew them. N recording, C class, R resample.
A target is 0, 1, or NaN where unknown; what is unknown counts for nothing.
"""

import numpy as np

from ecgfm_core.resampling import Ranked
from ecgfm_core.training.metrics import POSITIVES_MIN, auroc


def best_f1_thresholds(target_NC: np.ndarray, probability_NC: np.ndarray) -> np.ndarray:
    """Give the threshold of each class with the largest F1; for the validation split only.

    A class is said to be present at its threshold or above. Between two probabilities the threshold lies in the middle;
    of equal F1 the higher threshold is taken. A class without a known positive gets 0.5.
    """
    thresholds_C = np.full(target_NC.shape[1], 0.5)
    for column, (target_N, probability_N) in enumerate(zip(target_NC.T, probability_NC.T, strict=True)):
        known_N = ~np.isnan(target_N)
        positive_N, value_N = target_N[known_N] == 1, probability_N[known_N].astype(np.float64)
        if positive_N.any():
            thresholds_C[column] = _best_threshold(positive_N, value_N)
    return thresholds_C


def _best_threshold(positive_N: np.ndarray, value_N: np.ndarray) -> float:
    order = np.argsort(-value_N, kind="stable")
    sorted_N = value_N[order]
    ends = np.flatnonzero(np.append(np.diff(sorted_N) != 0, True))  # said present down to here, ties together
    hits = np.cumsum(positive_N[order])[ends]
    best = int(np.argmax(2 * hits / (ends + 1 + positive_N.sum())))
    below = sorted_N[ends[best] + 1] if best + 1 < len(ends) else sorted_N[-1]
    return float((sorted_N[ends[best]] + below) / 2)


def by_class(target_NC: np.ndarray, probability_NC: np.ndarray, thresholds_C: np.ndarray) -> list[dict]:
    """Give positives, AUROC, sensitivity, precision and F1 of each class; None where it has no positive."""
    rows = []
    said_NC = probability_NC >= thresholds_C
    for target_N, probability_N, said_N in zip(target_NC.T, probability_NC.T, said_NC.T, strict=True):
        hit, wrong, missed = (float(count) for count in _counted(target_N, said_N))
        positives = hit + missed
        rows.append({
            "positives": int(positives),
            "auroc": auroc(target_N, probability_N),
            "sensitivity": hit / positives if positives else None,
            "precision": hit / (hit + wrong) if hit + wrong else None,
            "f1": 2 * hit / (2 * hit + wrong + missed) if positives else None,
        })  # fmt: skip
    return rows


def _counted(target_N: np.ndarray, said_N: np.ndarray) -> tuple[int, int, int]:
    """Count what is rightly said, wrongly said and missed."""
    true_N, false_N = target_N == 1, target_N == 0
    return int((true_N & said_N).sum()), int((false_N & said_N).sum()), int((true_N & ~said_N).sum())


def scored_classes(target_NC: np.ndarray, positives_min: int = POSITIVES_MIN) -> np.ndarray:
    """Give the columns with at least so many positives and negatives: those that macro means are over."""
    return np.flatnonzero(np.minimum((target_NC == 1).sum(axis=0), (target_NC == 0).sum(axis=0)) >= positives_min)


def resampled_macro_auroc(
    target_NC: np.ndarray, probability_NC: np.ndarray, counts_RN: np.ndarray, positives_min: int = POSITIVES_MIN
) -> np.ndarray:
    """Give the macro AUROC `[R]` over `scored_classes`; a class that a resample lacks is left out of that resample."""
    areas = [
        Ranked(target_NC[:, column], probability_NC[:, column]).auroc(counts_RN)
        for column in scored_classes(target_NC, positives_min)
    ]
    return _mean_of_known(np.array(areas)) if areas else np.full(len(counts_RN), np.nan)


def _mean_of_known(values_CR: np.ndarray) -> np.ndarray:
    known_CR = ~np.isnan(values_CR)
    known_R = known_CR.sum(axis=0)
    sums_R = np.where(known_CR, values_CR, 0).sum(axis=0)
    return np.divide(sums_R, known_R, out=np.full(len(sums_R), np.nan), where=known_R > 0)


def resampled_f1(
    target_NC: np.ndarray, said_NC: np.ndarray, counts_RN: np.ndarray, *, micro: bool, positives_min: int = 1
) -> np.ndarray:
    """Give macro or micro F1 `[R]` of what is said to be present; macro is over `scored_classes`."""
    counts_RN = counts_RN.astype(np.float64)
    if not micro:
        columns = scored_classes(target_NC, positives_min)
        target_NC, said_NC = target_NC[:, columns], said_NC[:, columns]
    hit_RC = counts_RN @ ((target_NC == 1) & said_NC)
    errors_RC = counts_RN @ (((target_NC == 0) & said_NC) | ((target_NC == 1) & ~said_NC))
    if micro:
        hit_RC, errors_RC = hit_RC.sum(axis=1, keepdims=True), errors_RC.sum(axis=1, keepdims=True)
    total_RC = 2 * hit_RC + errors_RC
    f1_RC = np.divide(2 * hit_RC, total_RC, out=np.full(total_RC.shape, np.nan), where=total_RC > 0)
    return _mean_of_known(f1_RC.T) if f1_RC.shape[1] else np.full(len(counts_RN), np.nan)
