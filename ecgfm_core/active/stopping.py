"""When to stop: how many wrong labels remain in the pool, and what the next reads will yield.

A read either corrects the label on file or confirms it. Reads drawn at random (the audit share) give an unbiased
estimate whatever the models think; reads chosen by score teach what a label-error score is worth, and a two-parameter
calibration turns scores into probabilities, which is sharper and only as right as the calibration. Numpy and scipy
alone, no model and no database.

Axes: N reads, U unread recordings, K the next ones in the queue, P parameters.
"""

from dataclasses import dataclass
from math import sqrt
from typing import TypeVar

import numpy as np
from scipy import stats
from scipy.special import expit

from ecgfm_core.errors import ConfigError, LabelError
from ecgfm_core.intervals import Z_95

Value = TypeVar("Value", float, np.ndarray)

READS_MIN = 20  # fewer teach nothing about scores
NEXT_READS = 100
# What replays on real embeddings ended with: most labels that models doubt are right, and the score separates.
_PRIOR_MEAN_P, _PRIOR_SPREAD_P = np.array([-2.0, 1.2]), np.array([1.5, 0.7])
_KEPT_A_ROUND = 0.7  # weight of a read after each further round: as labels are put right, a score's worth changes
_DRIFT = 0.3  # standard deviation, in log-odds, of that change from one round to the next
_PASSED_OVER = 0.05  # of an interval's width: so far may passed-over recordings, were all of them wrong, move it
_SCORE_MIN, _SCORE_MAX, _LOGIT_MAX, _STEPS = 1e-9, 50.0, 12.0, 50


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number and the ends of its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Remaining:
    """Estimated wrong labels among the unread; None where there is too little to say it from.

    Attributes
    ----------
    audit : from the audit share alone: unbiased (but that it is kept within 0 and the unread), wide
    model : the sum of calibrated probabilities: narrow, biased where the calibration is wrong, which it can't know
    combined : the one to show. The value of `model`, moved into the interval of `audit` where it lies outside, with
        that interval: as sharp as the scores are good, and the interval holds whatever they are.
    """

    audit: Estimate | None
    model: Estimate | None
    combined: Estimate | None


@dataclass(frozen=True)
class Reads:
    """What was read, one entry a recording, in any order.

    Attributes
    ----------
    score_N : label-error score in nats that it had when it was chosen (`label_error` or `label_set_error`); NaN unknown
    corrected_N : the reader's answer was not the label on file
    audit_N : it was drawn at random from all that was unread when its round was made
    round_N : number of its round; a later round has a larger one

    Raises
    ------
    LabelError
        If the lengths differ.
    """

    score_N: np.ndarray
    corrected_N: np.ndarray
    audit_N: np.ndarray
    round_N: np.ndarray

    def __post_init__(self) -> None:
        for name in ("score_N", "corrected_N", "audit_N", "round_N"):
            kind = float if name == "score_N" else int if name == "round_N" else bool
            object.__setattr__(self, name, np.asarray(getattr(self, name), dtype=kind))
        sizes = {getattr(self, name).shape for name in ("score_N", "corrected_N", "audit_N", "round_N")}
        if len(sizes) > 1 or self.score_N.ndim != 1:
            raise LabelError(f"reads with arrays of shapes {sorted(sizes)}; one value of each a read is needed")


@dataclass(frozen=True)
class Calibration:
    """Probability that a label is wrong: logistic in the log-odds of its score, with its uncertainty.

    Attributes
    ----------
    weight_P : intercept and slope
    covariance_PP : of both: Laplace's approximation, and what changes from round to round
    unscored : probability of a recording without a score: that of the audit share
    reader_error : share of recordings that a reader gets wrong
    """

    weight_P: np.ndarray
    covariance_PP: np.ndarray
    unscored: float
    reader_error: float

    def wrong(self, score_N: np.ndarray) -> np.ndarray:
        """Probability ``[N]`` that the label is wrong, from scores in nats."""
        score_N = np.asarray(score_N, dtype=float)
        return np.where(np.isnan(score_N), self.unscored, expit(_features(score_N) @ self.weight_P))

    def corrected(self, score_N: np.ndarray) -> np.ndarray:
        """Probability ``[N]`` that a read changes the label: it is wrong and seen, or right and the reader slips."""
        return _found(self.wrong(score_N), self.reader_error)

    def chance(self, score_N: np.ndarray) -> np.ndarray:
        """Variance ``[N]`` of what one read tells of its label, seen through a reader who slips."""
        corrected_N = self.corrected(score_N)
        return np.asarray(corrected_N * (1 - corrected_N) / (1 - 2 * self.reader_error) ** 2)

    def doubt(self, score_N: np.ndarray, count_N: np.ndarray | None = None) -> float:
        """Variance of the sum of `wrong` that comes from the calibration alone."""
        score_N = np.asarray(score_N, dtype=float)
        wrong_N = self.wrong(score_N)
        each_N = np.where(np.isnan(score_N), 0.0, wrong_N * (1 - wrong_N)) * (1 if count_N is None else count_N)
        slope_P = each_N @ _features(score_N)
        return float(slope_P @ self.covariance_PP @ slope_P)


def _features(score_N: np.ndarray) -> np.ndarray:
    """One and the log-odds ``[N, P]`` that the label is wrong, as the models say: a score is ``-log(1 - wrong)``."""
    wrong_odds_N = np.log(np.expm1(np.clip(np.nan_to_num(score_N), _SCORE_MIN, _SCORE_MAX)))
    return np.stack([np.ones(score_N.shape), np.clip(wrong_odds_N, -_LOGIT_MAX, _LOGIT_MAX)], axis=-1)


def calibrate(reads: Reads, reader_error: float = 0.0) -> Calibration | None:
    """Learn from reads what a score is worth; None from fewer than `READS_MIN` scored ones.

    That reads were chosen by score does no harm: each outcome is modelled given its score. A weak prior, intercept
    -2 +- 1.5 and slope 1.2 +- 0.7, gives an answer after a first round of corrections alone. Older rounds count less,
    and the next one may differ from all of them.

    Notes
    -----
    Platt, "Probabilistic outputs for support vector machines" (1999), with a reader who slips; Fisher scoring.
    """
    _check_reader(reader_error)
    scored_N = ~np.isnan(reads.score_N)
    if scored_N.sum() < READS_MIN:
        return None
    x_NP, y_N = _features(reads.score_N[scored_N]), reads.corrected_N[scored_N].astype(float)
    age_N = np.unique(-reads.round_N, return_inverse=True)[1][scored_N]
    trust_N = _KEPT_A_ROUND ** age_N.astype(float)
    weight_P, precision_P = _PRIOR_MEAN_P.copy(), 1 / _PRIOR_SPREAD_P**2
    for _ in range(_STEPS):
        wrong_N = expit(x_NP @ weight_P)
        found_N = np.clip(_found(wrong_N, reader_error), _SCORE_MIN, 1 - _SCORE_MIN)
        slope_N, spread_N = (1 - 2 * reader_error) * wrong_N * (1 - wrong_N), found_N * (1 - found_N)
        gradient_P = x_NP.T @ (trust_N * slope_N * (found_N - y_N) / spread_N) + precision_P * (
            weight_P - _PRIOR_MEAN_P
        )
        information_PP = (x_NP.T * (trust_N * slope_N**2 / spread_N)) @ x_NP + np.diag(precision_P)
        step_P = np.linalg.solve(information_PP, gradient_P)
        weight_P = weight_P - step_P / max(1.0, float(np.abs(step_P).max()))
        if np.abs(step_P).max() < _SCORE_MIN:
            break
    drawn_N = reads.audit_N if reads.audit_N.any() else scored_N
    shrunk = (float(reads.corrected_N[drawn_N].sum()) + 0.5) / (float(drawn_N.sum()) + 1)
    covariance_PP = np.linalg.inv(information_PP) + np.diag([_DRIFT**2, 0.0])
    return Calibration(weight_P, covariance_PP, min(1.0, max(0.0, _truly(shrunk, reader_error))), reader_error)


def audit_error_rate(corrected: int, read: int, pool: int | None = None, reader_error: float = 0.0) -> Estimate | None:
    """Estimate the share of wrong labels in a pool of which some were drawn at random and read.

    Parameters
    ----------
    corrected, read : of the audit share
    pool : recordings that the audit was drawn from, itself included; None for an endless one. A sample that is a large
        part of its pool says more than its size (finite-population correction).
    reader_error : share of recordings that a reader gets wrong, 0 to below 0.5; the consensus of several has a smaller
        one. A careless reader finds errors in right labels: 10 % wrong labels look like 14 % to one who errs in 5 %.

    Returns
    -------
    Estimate or None
        With Wilson's interval; None of nothing read.

    Raises
    ------
    ConfigError
        If a number is out of bounds.

    Notes
    -----
    Wilson, JASA 22 (1927); Rogan and Gladen, Am J Epidemiol 107 (1978), for the reader's error.
    """
    if not 0 <= corrected <= read or (pool is not None and read > pool):
        raise ConfigError(f"{corrected} corrected of {read} read of a pool of {pool}; each must lie within the next")
    _check_reader(reader_error)
    if not read:
        return None
    unread_share = 1.0 if pool is None else (pool - read) / max(1, pool - 1)
    # Which labels were drawn matters no more once all are read; a reader's slips do: they are drawn by chance for ever.
    shrunk = (corrected + Z_95**2 / 2) / (read + Z_95**2)
    whole, slips = shrunk * (1 - shrunk), reader_error * (1 - reader_error)
    left = (max(whole - slips, 0.0) * unread_share + min(slips, whole)) / whole
    found = corrected / read
    low, high = _wilson(found, read / left) if left else (found, found)
    return _clipped(_truly(found, reader_error), _truly(low, reader_error), _truly(high, reader_error), 1.0)


def _wilson(share: float, size: float) -> tuple[float, float]:
    """Wilson's interval of a share of a sample whose size need not be whole."""
    z2 = Z_95**2
    centre = (share + z2 / (2 * size)) / (1 + z2 / size)
    half = Z_95 / (1 + z2 / size) * sqrt(share * (1 - share) / size + z2 / (4 * size**2))
    return max(0.0, centre - half), min(1.0, centre + half)


def _truly(found: Value, reader_error: float) -> Value:
    """Share of wrong labels behind the share that a reader finds wrong; linear, so it holds for sums too."""
    return (found - reader_error) / (1 - 2 * reader_error)


def _found(wrong: Value, reader_error: float) -> Value:
    """Share that a reader finds wrong where this share is; the other way of `_truly`."""
    return reader_error + (1 - 2 * reader_error) * wrong


def _check_reader(reader_error: float) -> None:
    if not 0 <= reader_error < 0.5:
        raise ConfigError(f"reader error {reader_error:g}; 0 to below 0.5 is allowed")


def expected_yield(reads: Reads, next_score_K: np.ndarray, *, reader_error: float = 0.0) -> Estimate | None:
    """Estimate how many of the next reads will correct a label.

    Parameters
    ----------
    reads : all rounds so far
    next_score_K : label-error scores of the next recordings in the order of the queue, by custom `NEXT_READS` of them
    reader_error : see `audit_error_rate`

    Returns
    -------
    Estimate or None
        Corrections, with the interval that the count itself will fall into (calibration and chance together). The
        reader's slips are in it: this is what a reader will change, not what was truly wrong. None from fewer
        than `READS_MIN` scored reads.
    """
    calibration = calibrate(reads, reader_error)
    if calibration is None:
        return None
    corrected_K = calibration.corrected(next_score_K)
    variance = (1 - 2 * reader_error) ** 2 * calibration.doubt(next_score_K)
    return _up_to(
        len(next_score_K), float(corrected_K.sum()), variance + float((corrected_K * (1 - corrected_K)).sum())
    )


def wrong_labels(corrected: Estimate, read: int, reader_error: float) -> Estimate:
    """Estimate how many of so many corrections put a wrong label right: without those that are the reader's slips."""
    _check_reader(reader_error)
    ends = (corrected.value, corrected.low, corrected.high)
    value, low, high = (read * _truly(end / max(1, read), reader_error) for end in ends)
    return _clipped(value, low, high, float(read))


def _up_to(most: float, value: float, variance: float) -> Estimate:
    """A count with its 95 % interval: of a beta distribution of that mean and variance, so within 0 and `most`."""
    spread = value * (most - value) / variance - 1 if variance > 0 else 0.0
    if spread <= 0:
        return Estimate(value, value, value)
    ends = stats.beta.ppf([0.025, 0.975], value / most * spread, (1 - value / most) * spread)
    low, high = np.asarray(ends).tolist()
    return Estimate(value, most * low, most * high)


def remaining_errors(
    reads: Reads,
    unread_score_U: np.ndarray,
    unread_count_U: np.ndarray | None = None,
    *,
    reader_error: float = 0.0,
) -> Remaining:
    """Estimate how many labels of unread recordings are wrong, three ways, see `Remaining`.

    The pool of a round is taken to be what is unread now and what was read since the round was made.

    Parameters
    ----------
    reads : all rounds so far
    unread_score_U : label-error scores of the unread; NaN unknown
    unread_count_U : how many recordings each stands for, where they come as a histogram; None is one each
    reader_error : see `audit_error_rate`

    Raises
    ------
    ConfigError
        If `reader_error` is out of bounds.
    """
    _check_reader(reader_error)
    score_U = np.asarray(unread_score_U, dtype=float)
    count_U = np.ones(score_U.shape) if unread_count_U is None else np.asarray(unread_count_U, dtype=float)
    unread = float(count_U.sum())
    audit = _by_audit(reads, score_U, count_U, reader_error)
    calibration = calibrate(reads, reader_error)
    if calibration is None:
        return Remaining(audit, None, audit)
    believed_U = calibration.wrong(score_U)
    chance = float(count_U @ (believed_U * (1 - believed_U)))
    model = _up_to(unread, float(count_U @ believed_U), calibration.doubt(score_U, count_U) + chance)
    if audit is None:
        return Remaining(None, model, model)
    return Remaining(audit, model, Estimate(min(max(model.value, audit.low), audit.high), audit.low, audit.high))


def _by_audit(reads: Reads, score_U: np.ndarray, count_U: np.ndarray, reader_error: float) -> Estimate | None:
    """From the audit share alone."""
    drawn_N = reads.audit_N
    if not drawn_N.any():
        return None
    unread, lowest_N = float(count_U.sum()), _lowest_since(reads)
    below_N = drawn_N & (reads.score_N < lowest_N)
    if 2 * below_N.sum() >= drawn_N.sum():
        found = _of_those_below(reads, below_N, unread, reader_error)
        passed_over = count_U[~(score_U <= lowest_N[below_N].min())].sum()  # those without a score too
        if passed_over <= _PASSED_OVER * (found.high - found.low):
            return found
    return _of_whole_pools(reads, unread, reader_error)


def _of_those_below(reads: Reads, below_N: np.ndarray, unread: float, reader_error: float) -> Estimate:
    """From the audited that scored below all that was chosen since: the sharpest, where reads went by score alone.

    Then they are a random sample of what is unread now. It is biased low where reads went by another order - one that a
    re-ordering made, quotas, near-duplicates passed over: the unread that score higher are wrong more often.
    """
    found, read = float(reads.corrected_N[below_N].mean()), float(below_N.sum())
    value, low, high = (unread * _truly(share, reader_error) for share in (found, *_wilson(found, read)))
    return _clipped(value, low, high, unread)


def _of_whole_pools(reads: Reads, unread: float, reader_error: float) -> Estimate:
    """Each round's audit stands for its whole pool, and what was found since is taken off: right for any order.

    Rounds are weighted by audit shares.
    """
    drawn_N, wrong_N = reads.audit_N, _truly(reads.corrected_N.astype(float), reader_error)
    found = since = pools = 0.0
    for one in np.unique(reads.round_N[drawn_N]):
        later_N, weight = reads.round_N >= one, (drawn_N & (reads.round_N == one)).sum() / drawn_N.sum()
        pool = unread + later_N.sum()
        found += weight * pool * reads.corrected_N[drawn_N & (reads.round_N == one)].mean()
        since += weight * wrong_N[later_N].sum()
        pools += weight * pool
    share = float(found / pools)
    low, high = (_truly(end, reader_error) * pools - since for end in _wilson(share, float(drawn_N.sum())))
    return _clipped(_truly(share, reader_error) * pools - since, low, high, unread)


def _lowest_since(reads: Reads) -> np.ndarray:
    """The lowest score ``[N]`` that was chosen, not audited, in a read's round or later; infinite where none was."""
    lowest_N, by_score_N = np.full(reads.score_N.shape, np.inf), ~reads.audit_N & ~np.isnan(reads.score_N)
    for one in np.unique(reads.round_N):
        since_N = by_score_N & (reads.round_N >= one)
        lowest_N[reads.round_N == one] = reads.score_N[since_N].min() if since_N.any() else np.inf
    return lowest_N


def _clipped(value: float, low: float, high: float, most: float) -> Estimate:
    return Estimate(min(max(value, 0.0), most), min(max(low, 0.0), most), min(max(high, 0.0), most))
