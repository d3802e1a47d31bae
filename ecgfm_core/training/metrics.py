"""Figures of merit in plain numpy."""

import numpy as np
from scipy.stats import rankdata

POSITIVES_MIN = 5  # a label with fewer positives or negatives gives no AUROC worth a mean


def auroc(target_N: np.ndarray, score_N: np.ndarray) -> float | None:
    """Area under the ROC curve; ties count half; None where one of the classes is missing.

    Parameters
    ----------
    target_N : 0, 1, or NaN where unknown
    score_N : higher means 1
    """
    known_N = ~np.isnan(target_N)
    target_N, score_N = target_N[known_N] > 0.5, score_N[known_N]
    positives, negatives = int(target_N.sum()), int((~target_N).sum())
    if not positives or not negatives:
        return None
    ranks_N = rankdata(score_N)
    return float((ranks_N[target_N].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def macro_auroc(
    target_NC: np.ndarray, score_NC: np.ndarray, positives_min: int = POSITIVES_MIN
) -> tuple[float | None, int]:
    """Mean AUROC over labels with at least `positives_min` positives and negatives, and how many labels that are."""
    areas = []
    for target_N, score_N in zip(target_NC.T, score_NC.T, strict=True):
        if min((target_N == 1).sum(), (target_N == 0).sum()) >= positives_min:
            areas.append(auroc(target_N, score_N))
    known = [area for area in areas if area is not None]
    return (float(np.mean(known)) if known else None), len(known)
