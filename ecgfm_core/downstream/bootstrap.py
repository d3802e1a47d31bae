"""Intervals by the bootstrap: patients are drawn again with all their recordings, and seeds of training with them.

Efron and Tibshirani, "An Introduction to the Bootstrap" (1993). N recording, C class, R resample, S seed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

COUNT = 1000
_LEVEL = (2.5, 97.5)

# (target [N, C], answer [N, C], how often each recording counts [R, N]) -> value [R]; the answer is a probability or
# what was said to be present
Metric = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Interval:
    """A figure, the mean over seeds, with its 95 % interval; NaN where it is not defined."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"

    def to_dict(self) -> dict[str, float | None]:
        """Give what JSON can hold: None for NaN."""
        return {name: None if np.isnan(value) else float(value) for name, value in vars(self).items()}


@dataclass(frozen=True)
class Drawn:
    """A figure of the whole, and of every resample `[R]`; two that were drawn alike can be compared in pairs."""

    value: float
    values_R: np.ndarray

    def __sub__(self, other: "Drawn") -> "Drawn":
        return Drawn(self.value - other.value, self.values_R - other.values_R)

    def __truediv__(self, other: "Drawn") -> "Drawn":
        return Drawn(self.value / other.value, self.values_R / other.values_R)

    def interval(self) -> Interval:
        """Give the 95 % interval, from the 2.5th to the 97.5th percentile of the resamples where it is defined."""
        known_R = self.values_R[~np.isnan(self.values_R)]
        low, high = np.percentile(known_R, _LEVEL) if len(known_R) else (np.nan, np.nan)
        return Interval(self.value, float(low), float(high))


def resamples(groups: Sequence[str] | int, seed: int, count: int = COUNT) -> np.ndarray:
    """Say how often each recording counts in each resample, `[R, N]`.

    Parameters
    ----------
    groups : of each recording its patient, drawn as a whole; or the number of recordings, each drawn on its own
    """
    names = np.arange(groups) if isinstance(groups, int) else np.unique(np.asarray(groups), return_inverse=True)[1]
    random, number = np.random.default_rng([seed, 4]), int(names.max()) + 1
    drawn = random.integers(number, size=(count, number)) + number * np.arange(count)[:, None]
    return np.bincount(drawn.ravel(), minlength=count * number).reshape(count, number)[:, names]


def draw(
    metric: Metric,
    target_NC: np.ndarray,
    answer_SNC: np.ndarray,
    seed: int,
    count: int = COUNT,
    groups: Sequence[str] | None = None,
) -> Drawn:
    """Give a figure's mean over seeds, and that of every resample of recordings and seeds jointly.

    Parameters
    ----------
    metric : see `Metric`
    answer_SNC : of each seed; `[N, C]` is one seed
    seed : of the drawing; figures drawn with the same one of the same recordings can be compared in pairs
    groups : patient of each recording; None where each recording is another's
    """
    answer_SNC = answer_SNC if answer_SNC.ndim == 3 else answer_SNC[None]
    once_1N = np.ones((1, len(target_NC)), dtype=np.int64)
    counts_RN = np.concatenate((once_1N, resamples(groups or len(target_NC), seed, count)))
    values_SR = np.stack([metric(target_NC, answer_NC, counts_RN) for answer_NC in answer_SNC])
    seeds = len(values_SR)
    drawn_RS = np.random.default_rng([seed, 5]).integers(seeds, size=(count, seeds))
    values_R = values_SR[:, 1:].T[np.arange(count)[:, None], drawn_RS].mean(axis=1)
    return Drawn(float(values_SR[:, 0].mean()), values_R)


def interval(
    metric: Metric,
    target_NC: np.ndarray,
    answer_SNC: np.ndarray,
    seed: int,
    count: int = COUNT,
    groups: Sequence[str] | None = None,
) -> Interval:
    """Give a figure's mean over seeds and its 95 % interval; see `draw`."""
    return draw(metric, target_NC, answer_SNC, seed, count, groups).interval()
