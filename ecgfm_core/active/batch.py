"""Batches that are worth reading together: a high score, and unlike what was read and what is chosen already.

Axes: N recordings, A annotated recordings, D features.
"""

import numpy as np

from ecgfm_core.errors import ConfigError

PRESELECTED = 3  # times the batch: only so many of the highest scores are looked at


def ranked_batch(
    score_N: np.ndarray,
    features_ND: np.ndarray,
    count: int,
    annotated_AD: np.ndarray | None = None,
    preselected: float = PRESELECTED,
) -> np.ndarray:
    """Order a batch by ranked-batch mode (Cardoso et al., Information Sciences 379, 2017), as `modAL.batch` does.

    Each next choice has the most ``a (1 - similarity) + (1 - a) score``, where the similarity is that to the nearest
    recording annotated or chosen, ``1 / (1 + distance)``, and ``a`` is the share of those looked at that are left.
    Memory and time grow with the preselection, not with the pool: N x D for each choice.

    No strategy of `selection` uses it: a round is kept varied by passing over near-duplicates (`duplicates`) and by
    places kept for codes and centres (`quotas`); whether this finds more wrong labels has not been measured.

    Parameters
    ----------
    score_N : 0 to 1, the higher the sooner
    features_ND : finite, on one scale, see `crossfit.reduce`
    count : how many to choose; all are where there are fewer
    annotated_AD : features of what has been read; without any, the most central recording comes first
    preselected : times `count`, at least 1: how many of the highest scores to choose from

    Returns
    -------
    Positions ``[count]`` in `score_N`, the first to be read first.

    Raises
    ------
    ConfigError
        If the shapes differ, a score is not 0 to 1, or a number is out of bounds.
    """
    if score_N.shape != features_ND.shape[:1] or (annotated_AD is not None and annotated_AD.ndim != 2):
        raise ConfigError(f"scores {score_N.shape} with features {features_ND.shape}; one score a row is needed")
    if not ((score_N >= 0) & (score_N <= 1)).all():
        raise ConfigError("a score is not 0 to 1; rank or scale the scores first")
    if count < 0 or preselected < 1:
        raise ConfigError(f"{count} of {preselected:g} times as many; 0 or more, and 1 or more, are allowed")
    wide = min(score_N.size, int(np.ceil(count * preselected)))
    top = np.argsort(-score_N, kind="stable")[:wide]
    return np.asarray(top[_ranked(score_N[top], features_ND[top].astype(np.float64), min(count, wide), annotated_AD)])


def _ranked(score_N: np.ndarray, features_ND: np.ndarray, count: int, annotated_AD: np.ndarray | None) -> np.ndarray:
    """Positions of the chosen in the preselection, in order."""
    chosen: list[int] = []
    known = 0 if annotated_AD is None else len(annotated_AD)
    nearest_N, left_N = np.full(score_N.size, np.inf), np.ones(score_N.size, dtype=bool)
    for one_D in [] if annotated_AD is None else annotated_AD:
        np.minimum(nearest_N, _distance(features_ND, one_D), out=nearest_N)
    while len(chosen) < count:
        if known == 0:
            best = int(np.argmin([_distance(features_ND, one_D).mean() for one_D in features_ND]))
        else:
            share = left_N.sum() / (left_N.sum() + known)
            value_N = share * (1 - 1 / (1 + nearest_N)) + (1 - share) * score_N
            best = int(np.argmax(np.where(left_N, value_N, -np.inf)))
        chosen.append(best)
        left_N[best], known = False, known + 1
        np.minimum(nearest_N, _distance(features_ND, features_ND[best]), out=nearest_N)
    return np.array(chosen, dtype=np.int64)


def _distance(features_ND: np.ndarray, one_D: np.ndarray) -> np.ndarray:
    return np.asarray(np.linalg.norm(features_ND - one_D, axis=1))
