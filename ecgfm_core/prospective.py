"""The arithmetic of a prospective test: how good calls of abnormal were, and whether the scores have drifted.

N recording, M reference recording. No torch: the web side computes these.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log, sqrt

import numpy as np

from ecgfm_core.errors import ConfigError
from ecgfm_core.intervals import wilson

# The online month of the work this model follows: what a prospective test has to beat.
PAPER = {"recall": 0.9335, "precision": 0.9571, "f1": 0.9451}
POSITIVES_MIN = 10  # with fewer abnormal recordings a figure says little, and the page says so
BOOTSTRAPS = 2000
DRIFT_MIN = 10  # scores; fewer are shown and not judged
DRIFT_ALPHA = 0.001  # chance of an alarm for a day on which nothing has changed
REFERENCE_MAX = 1000
THRESHOLD_BOUNDS = (0.01, 0.99)


@dataclass(frozen=True)
class Figure:
    """A share with its 95 % interval and the counts it rests on; None where there is nothing to divide by."""

    value: float | None
    low: float | None
    high: float | None
    part: int
    whole: int


@dataclass(frozen=True)
class Judged:
    """How calls of abnormal compare with the truth."""

    true_positive: int
    false_positive: int
    false_negative: int
    true_negative: int
    recall: Figure
    precision: Figure
    f1: Figure

    @property
    def read(self) -> int:
        """Recordings whose truth is known."""
        return self.true_positive + self.false_positive + self.false_negative + self.true_negative

    @property
    def positives(self) -> int:
        """Recordings that are abnormal in truth."""
        return self.true_positive + self.false_negative

    @property
    def enough(self) -> bool:
        """Whether there are enough abnormal recordings for the figures to mean something."""
        return self.positives >= POSITIVES_MIN


def judge(truth_N: Sequence[bool], said_N: Sequence[bool], seed: int = 0) -> Judged:
    """Count calls of abnormal against the truth.

    Parameters
    ----------
    truth_N, said_N : abnormal or not, of each recording
    seed : of the bootstrap behind the interval of F1

    Returns
    -------
    Judged
        Recall and precision with Wilson's 95 % interval, F1 with the 2.5th and 97.5th percentile of 2,000 bootstraps
        over recordings. (F1 depends on the four counts alone, so that drawing recordings anew is drawing the counts
        from a multinomial.)

    Raises
    ------
    ConfigError
        If the two are not of one length.
    """
    if len(truth_N) != len(said_N):
        raise ConfigError(f"{len(truth_N)} truths and {len(said_N)} calls; one call a truth is needed")
    truth, said = np.asarray(truth_N, dtype=bool), np.asarray(said_N, dtype=bool)
    counts = [int(np.sum(a & b)) for a, b in ((truth, said), (~truth, said), (truth, ~said), (~truth, ~said))]
    hit, false_alarm, missed, passed = counts
    return Judged(
        true_positive=hit,
        false_positive=false_alarm,
        false_negative=missed,
        true_negative=passed,
        recall=_share(hit, hit + missed),
        precision=_share(hit, hit + false_alarm),
        f1=_f1(counts, seed),
    )


def _share(part: int, whole: int) -> Figure:
    low, high = wilson(part, whole) or (None, None)
    return Figure(part / whole if whole else None, low, high, part, whole)


def _f1(counts: Sequence[int], seed: int) -> Figure:
    hit, wrong = counts[0], counts[1] + counts[2]
    if not hit + wrong:
        return Figure(None, None, None, 0, 0)
    total = sum(counts)
    drawn = np.random.default_rng(seed).multinomial(total, np.array(counts) / total, size=BOOTSTRAPS)
    over = 2 * drawn[:, 0] + drawn[:, 1] + drawn[:, 2]
    f1 = 2 * drawn[over > 0, 0] / over[over > 0]
    low, high = np.percentile(f1, [2.5, 97.5])
    return Figure(2 * hit / (2 * hit + wrong), float(low), float(high), 2 * hit, 2 * hit + wrong)


def best_threshold(truth_N: Sequence[bool], probability_N: Sequence[float]) -> float | None:
    """Give the threshold with the largest F1, half way to the next lower probability; None with too few of a class.

    Probabilities are 0 to 1; the result lies within 0.01 and 0.99.
    """
    truth, probability = np.asarray(truth_N, dtype=bool), np.asarray(probability_N, dtype=np.float64)
    if min(int(truth.sum()), int((~truth).sum())) < POSITIVES_MIN:
        return None
    order = np.argsort(-probability, kind="stable")
    sorted_N, hits_N = probability[order], np.cumsum(truth[order])
    f1_N = 2 * hits_N / (np.arange(1, len(truth) + 1) + truth.sum())
    last_N = np.append(sorted_N[:-1] != sorted_N[1:], True)  # equal probabilities are called alike
    best = int(np.argmax(np.where(last_N, f1_N, -1.0)))
    below = sorted_N[best + 1] if best + 1 < len(sorted_N) else 0.0
    low, high = THRESHOLD_BOUNDS
    return float(np.clip((sorted_N[best] + below) / 2, low, high))


def thinned(scores_M: Sequence[float]) -> list[float]:
    """Give at most 1,000 sorted scores that stand for all: evenly spaced quantiles."""
    found = np.sort(np.asarray(scores_M, dtype=np.float64))
    if len(found) > REFERENCE_MAX:
        found = np.quantile(found, (np.arange(REFERENCE_MAX) + 0.5) / REFERENCE_MAX)
    return [round(float(score), 6) for score in found]


@dataclass(frozen=True)
class Drift:
    """The largest gap between two distributions of scores, and the gap from which on chance is no explanation."""

    distance: float
    limit: float
    judged: bool

    @property
    def alarm(self) -> bool:
        """Whether the scores have drifted."""
        return self.judged and self.distance > self.limit


def drift(reference_M: Sequence[float], scores_N: Sequence[float], reference_count: int) -> Drift | None:
    """Compare scores with a reference by the Kolmogorov-Smirnov distance.

    Parameters
    ----------
    reference_M : sorted scores of the reference, thinned or not
    scores_N : scores to be judged
    reference_count : how many recordings the reference stands for

    Returns
    -------
    Drift or None
        The distance, 0 to 1, and its limit ``sqrt(-ln(alpha / 2) / 2) * sqrt((n + m) / (n m))`` at alpha 0.001 (the
        asymptotic two-sample limit): unlike the usual 0.25 of the population stability index it allows for how few
        recordings a day has. Fewer than 10 scores are not judged; None of nothing.
    """
    if not len(reference_M) or not len(scores_N):
        return None
    reference, scores = np.sort(np.asarray(reference_M)), np.sort(np.asarray(scores_N))
    steps = np.concatenate([reference, scores])
    below = np.searchsorted(reference, steps, side="right") / len(reference)
    distance = float(np.max(np.abs(below - np.searchsorted(scores, steps, side="right") / len(scores))))
    n, m = len(scores), reference_count
    return Drift(distance, sqrt(-log(DRIFT_ALPHA / 2) / 2) * sqrt((n + m) / (n * m)), n >= DRIFT_MIN)
