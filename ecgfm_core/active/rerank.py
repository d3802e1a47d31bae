"""The fast loop: heads fitted again on stored features, a whole pool judged anew.

Folds and the rows to learn from follow from the seed and the labels on file alone, so that a new order comes from the
corrections and from nothing else.
Axes: N recordings, B of a block, R features, S seeds, H heads of all seeds and folds, K settled recordings.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from ecgfm_core.active import crossfit
from ecgfm_core.active.crossfit import fit_temperature
from ecgfm_core.active.scores import UNKNOWN
from ecgfm_core.errors import LabelError

BLOCK_ROWS = 20_000


@dataclass(frozen=True)
class RerankOptions:
    """How heads learn again.

    Attributes
    ----------
    fold_count, seeds : as in `crossfit`; each seed is a model that votes
    train_max : rows on file that a head learns from; all settled ones come on top of them
    settled_share : of the weight of all rows that the settled ones have together, as far as `settled_weight_max` lets
        them: a few corrections must outweigh the many alike that still carry the wrong label
    settled_weight_max : of one settled row, where a row on file weighs 1
    """

    fold_count: int = crossfit.FOLDS
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    train_max: int = crossfit.TRAIN_MAX
    settled_share: float = 0.2
    settled_weight_max: float = 50.0


@dataclass(frozen=True)
class Settled:
    """What readers said: `rows_K` of the pool, and 0 normal, 1 abnormal or -1 unreadable (no longer learned from)."""

    rows_K: np.ndarray
    labels_K: np.ndarray


@crossfit.one_thread
def rescore(
    features_NR: np.ndarray,
    patient_N: np.ndarray,
    given_N: np.ndarray,
    settled: Settled,
    options: RerankOptions | None = None,
) -> np.ndarray:
    """Probability ``[S, N]`` of abnormal, float32, from heads that never saw the recording's patient.

    Takes seconds for a million recordings: each head learns from a sample, and one matrix product judges all.

    Parameters
    ----------
    features_NR : any float type, also memory-mapped, as `crossfit.reduce` leaves them
    patient_N : integer of each recording's patient; one patient never lies in two folds
    given_N : what is on file, 0, 1 or -1 (unknown): judged, not learned from
    settled : overrides what is on file

    Raises
    ------
    LabelError
        If the shapes differ, or too few patients of a class are known for heads.
    """
    options, rows_K = options or RerankOptions(), settled.rows_K
    if not len(features_NR) == len(patient_N) == len(given_N) or len(rows_K) != len(settled.labels_K):
        raise LabelError(
            f"{len(features_NR)} recordings, {len(patient_N)} patients, {len(given_N)} labels, {len(rows_K)} settled "
            f"with {len(settled.labels_K)} labels; one patient and one label a recording are needed"
        )
    labels_N, settled_N = given_N.astype(np.int8), np.zeros(len(given_N), dtype=bool)
    labels_N[rows_K], settled_N[rows_K] = settled.labels_K, True
    patient_N = np.unique(patient_N, return_inverse=True)[1]
    pool = _Pool(features_NR, patient_N, given_N.astype(np.int8), labels_N, settled_N, options)
    logits_SN, known_S = _out_of_fold(pool, options.seeds, _tuned(pool))
    probability_SN = np.empty(logits_SN.shape, dtype=np.float32)
    for logits_N, known, row_N in zip(logits_SN, known_S, probability_SN, strict=True):
        row_N[:] = expit(logits_N / fit_temperature(logits_N[known].astype(np.float64), labels_N[known]))
    return probability_SN


@dataclass(frozen=True)
class _Pool:
    """What the heads of all seeds share."""

    features_NR: np.ndarray
    patient_N: np.ndarray
    given_N: np.ndarray
    labels_N: np.ndarray
    settled_N: np.ndarray
    options: RerankOptions


def _out_of_fold(pool: _Pool, seeds: Sequence[int], strength: float) -> tuple[np.ndarray, list[np.ndarray]]:
    """Logits ``[S, N]``, each from the head that left its patient out, and a seed the rows that its heads learned."""
    column_SN = np.empty((len(seeds), len(pool.given_N)), np.int16)
    known_S = [_sample(pool, seed) for seed in seeds]
    heads: list[tuple[np.ndarray, float]] = []
    for row_N, known, seed in zip(column_SN, known_S, seeds, strict=True):
        fold_N = crossfit.deal_folds(pool.given_N, pool.patient_N, pool.options.fold_count, seed)
        row_N[:] = len(heads) + fold_N
        heads += [_head(pool, known[fold_N[known] != fold], strength) for fold in range(int(fold_N.max()) + 1)]
    weight_RH = np.stack([weight_R for weight_R, _ in heads], axis=1).astype(np.float32)
    intercept_H = np.array([intercept for _, intercept in heads], dtype=np.float32)
    logits_SN = np.empty(column_SN.shape, dtype=np.float32)
    for first in range(0, len(pool.given_N), BLOCK_ROWS):
        block = slice(first, first + BLOCK_ROWS)
        logits_BH = pool.features_NR[block].astype(np.float32) @ weight_RH + intercept_H
        logits_SN[:, block] = np.take_along_axis(logits_BH, column_SN[:, block].T, axis=1).T
    return np.clip(logits_SN, -crossfit.LOGIT_MAX, crossfit.LOGIT_MAX), known_S


def _sample(pool: _Pool, seed: int) -> np.ndarray:
    """Rows to learn from: the first on file in an order that only the seed decides, and all that are settled."""
    order_N = np.random.default_rng([seed, 1]).permutation(len(pool.given_N))
    most = pool.options.train_max * pool.options.fold_count // (pool.options.fold_count - 1)  # a head misses one fold
    on_file = order_N[pool.given_N[order_N] != UNKNOWN][:most]
    rows = np.union1d(on_file, np.flatnonzero(pool.settled_N))
    return np.asarray(rows[pool.labels_N[rows] != UNKNOWN])


def _head(pool: _Pool, train: np.ndarray, strength: float) -> tuple[np.ndarray, float]:
    """Weights ``[R]`` and intercept of a head that learned from these rows."""
    labels = pool.labels_N[train]
    patients = [np.unique(pool.patient_N[train[labels == value]]).size for value in (0, 1)]
    if min(patients) < crossfit.PATIENTS_MIN:
        raise LabelError(
            f"{patients[0]:,} patients called normal and {patients[1]:,} called abnormal to learn from; at least "
            f"{crossfit.PATIENTS_MIN} of each in every fold are needed to doubt a label"
        )
    head = LogisticRegression(C=strength, solver="newton-cholesky", max_iter=200)
    weight = _weights(pool.settled_N[train], pool.options)
    # Single precision halves the time, and no rank among the first thousands changes by it.
    head.fit(pool.features_NR[train].astype(np.float32), labels, sample_weight=weight.astype(np.float32))
    return head.coef_[0], float(head.intercept_[0])


def _weights(settled: np.ndarray, options: RerankOptions) -> np.ndarray:
    """Weight of each row that a head learns from, 1 for those on file."""
    count = max(int(settled.sum()), 1)
    even = options.settled_share / (1 - options.settled_share) * (settled.size - count) / count
    return np.where(settled, np.clip(even, 1.0, options.settled_weight_max), 1.0)


def _tuned(pool: _Pool) -> float:
    """The penalty with the least out-of-fold loss on a sample of what is on file; no correction moves it."""
    known = np.flatnonzero(pool.given_N != UNKNOWN)
    if known.size > crossfit.TUNE_MAX:
        known = np.sort(np.random.default_rng(0).choice(known, crossfit.TUNE_MAX, replace=False))
    given = pool.given_N[known]
    part = _Pool(pool.features_NR[known], pool.patient_N[known], given, given, np.zeros(known.size, bool), pool.options)
    losses = []
    for strength in crossfit.STRENGTHS:
        logits_SN, _ = _out_of_fold(part, (0,), strength)
        logits = logits_SN[0].astype(np.float64)
        losses.append(crossfit.cross_entropy(logits, given, fit_temperature(logits, given)))
    return crossfit.STRENGTHS[int(np.argmin(losses))]
