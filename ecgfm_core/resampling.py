"""Figures of recordings that a bootstrap draws again, patient by patient, fast enough for 100,000 recordings.

Plain numpy. N recording, R resample, P positive, r a block of resamples.
"""

from collections.abc import Iterator, Sequence

import numpy as np

COUNT = 1000
AT_ONCE = 50
_LEVEL = (2.5, 97.5)


def drawn(groups: Sequence[str] | np.ndarray, seed: int, count: int = COUNT) -> Iterator[np.ndarray]:
    """Yield how often each recording counts, uint16 `[r, N]`, a block of resamples at a time.

    Parameters
    ----------
    groups : patient of each recording; patients are drawn with replacement, each with all their recordings
    seed : the same one gives the same resamples, so that figures of two models can be compared in pairs
    count : resamples in all

    Notes
    -----
    The cluster bootstrap of Davison and Hinkley, "Bootstrap Methods and their Application" (1997), section 3.8.
    """
    patients, patient_N = np.unique(np.asarray(groups), return_inverse=True)
    rng, number = np.random.default_rng([seed, 6]), len(patients)
    for first in range(0, count, AT_ONCE):
        rows = [
            np.bincount(rng.integers(number, size=number), minlength=number).astype(np.uint16)[patient_N]
            for _ in range(min(AT_ONCE, count - first))
        ]
        yield np.stack(rows)


class Ranked:
    """Recordings in the order of one score, asked for the area under the ROC curve resample after resample.

    Parameters
    ----------
    target_N : 0, 1, or NaN where unknown; what is unknown counts for nothing
    value_N : higher means 1; ties count half
    """

    def __init__(self, target_N: np.ndarray, value_N: np.ndarray) -> None:
        known = np.flatnonzero(~np.isnan(target_N))
        self.order = known[np.argsort(value_N[known], kind="stable")]
        self.positive_N, sorted_N = target_N[self.order] == 1, value_N[self.order]
        self.first_P = np.searchsorted(sorted_N, sorted_N[self.positive_N], side="left")  # of the ties of each positive
        self.last_P = np.searchsorted(sorted_N, sorted_N[self.positive_N], side="right")

    def auroc(self, counts_RN: np.ndarray) -> np.ndarray:
        """Give the area `[R]`; NaN for a resample without a positive or without a negative."""
        areas = [self._areas(counts_RN[start : start + AT_ONCE]) for start in range(0, len(counts_RN), AT_ONCE)]
        return np.concatenate(areas) if areas else np.empty(0)

    def _areas(self, counts_rN: np.ndarray) -> np.ndarray:
        counts_rN = counts_rN[:, self.order]
        below_rN = np.zeros((len(counts_rN), len(self.order) + 1))
        np.cumsum(np.where(self.positive_N, 0, counts_rN), axis=1, out=below_rN[:, 1:])
        weight_rP = counts_rN[:, self.positive_N].astype(np.float64)
        beaten_r = (weight_rP * (below_rN[:, self.first_P] + below_rN[:, self.last_P])).sum(axis=1) / 2
        pairs_r = weight_rP.sum(axis=1) * below_rN[:, -1]
        return np.divide(beaten_r, pairs_r, out=np.full(len(pairs_r), np.nan), where=pairs_r > 0)

    @property
    def area(self) -> float:
        """The area of the recordings as they are, each counted once."""
        size = int(self.order.max()) + 1 if len(self.order) else 0
        return float(self.auroc(np.ones((1, size), dtype=np.uint16))[0])


def interval(values_R: np.ndarray) -> tuple[float, float]:
    """Give the 2.5th and 97.5th percentile of a figure's resamples where it is defined; NaN where it never is."""
    known_R = values_R[~np.isnan(values_R)]
    low, high = np.percentile(known_R, _LEVEL) if len(known_R) else (np.nan, np.nan)
    return float(low), float(high)
