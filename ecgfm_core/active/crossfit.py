"""Out-of-sample probabilities of the given labels: small heads on stored embeddings, cross-fitted by patient.

A head never sees the patient it judges, in any seed. Axes: N recordings, D embedding width, C labels, S seeds.
"""

import logging
from collections.abc import Sequence

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from ecgfm_core.active.scores import UNKNOWN
from ecgfm_core.errors import ConfigError, LabelError

log = logging.getLogger(__name__)

FOLDS = 5
SEEDS = (0, 1, 2)
TRAIN_MAX = 20_000  # rows a head learns from; more change a head of this size no further
TUNE_MAX = 4_000
STRENGTHS = (0.0003, 0.003, 0.03, 0.3)  # weight of the data against the penalty on standardised embeddings
PATIENTS_MIN = 2  # of each class in the training folds; with fewer the head says the base rate
LOGIT_MAX = 12.0


def crossfit_probabilities(
    embeddings_ND: np.ndarray,
    labels_N: np.ndarray,
    groups_N: Sequence[str] | np.ndarray,
    fold_count: int = FOLDS,
    seeds: Sequence[int] = SEEDS,
    name: str = "the label",
) -> np.ndarray:
    """Probability ``[S, N]`` of label 1 from logistic heads that never saw the recording's patient.

    Recordings without a label are judged and not learned from. Each seed deals the patients into other folds; its
    logits are divided by one temperature, fitted on the out-of-fold logits of all labelled recordings. Where a class
    has too few patients for a head, the base rate is returned and the log says so.

    Parameters
    ----------
    embeddings_ND : any float type, finite
    labels_N : 0, 1 or -1 (unknown)
    groups_N : patient of each recording; one patient never lies in two folds
    fold_count : at least 2; fewer are made where there are fewer patients
    seeds : one set of folds each
    name : of the label, for the log

    Raises
    ------
    LabelError
        If shapes differ, a label is none of 0, 1, -1, or none is known.
    ConfigError
        If there are fewer than two folds, seeds or patients to deal.
    """
    labels_N = np.asarray(labels_N)
    groups_N = _check(embeddings_ND, labels_N, groups_N, fold_count, seeds, name)
    scaled_ND = standardise(embeddings_ND)
    strength = _strength(scaled_ND, labels_N, groups_N, fold_count, name)
    return np.stack([_one_seed(scaled_ND, labels_N, groups_N, fold_count, seed, strength, name) for seed in seeds])


def crossfit_label_probabilities(
    embeddings_ND: np.ndarray,
    labels_NC: np.ndarray,
    groups_N: Sequence[str] | np.ndarray,
    fold_count: int = FOLDS,
    seeds: Sequence[int] = SEEDS,
    names: Sequence[str] = (),
) -> np.ndarray:
    """`crossfit_probabilities` for each label of a set, float32 ``[S, N, C]``; NaN for a label known of nobody."""
    result_SNC = np.full((len(seeds), *labels_NC.shape), np.nan, dtype=np.float32)
    for column in range(labels_NC.shape[1]):
        if (labels_NC[:, column] != UNKNOWN).any():
            name = names[column] if names else f"label {column}"
            result_SNC[:, :, column] = crossfit_probabilities(
                embeddings_ND, labels_NC[:, column], groups_N, fold_count, seeds, name
            )
    return result_SNC


def standardise(embeddings_ND: np.ndarray) -> np.ndarray:
    """Mean 0 and deviation 1 a column, float64, clipped to 6 deviations; constant columns become 0."""
    wide_ND = embeddings_ND.astype(np.float64)
    spread_D = wide_ND.std(axis=0)
    scaled_ND = (wide_ND - wide_ND.mean(axis=0)) / np.where(spread_D > 1e-9, spread_D, np.inf)
    return np.clip(scaled_ND, -6.0, 6.0)


def deal_folds(labels_N: np.ndarray, groups_N: np.ndarray, fold_count: int, seed: int) -> np.ndarray:
    """Fold of each recording ``[N]``: whole patients, shuffled; positives, others and unlabelled dealt apart."""
    patients, patient_N = np.unique(groups_N, return_inverse=True)
    kind = np.full(patients.size, UNKNOWN)
    np.maximum.at(kind, patient_N, labels_N)
    order = np.random.default_rng(seed).permutation(patients.size)
    order = order[np.argsort(kind[order], kind="stable")]
    fold = np.empty(patients.size, dtype=np.int64)
    fold[order] = np.arange(patients.size) % fold_count
    return np.asarray(fold[patient_N])


def _check(
    embeddings_ND: np.ndarray,
    labels_N: np.ndarray,
    groups_N: Sequence[str] | np.ndarray,
    fold_count: int,
    seeds: Sequence[int],
    name: str,
) -> np.ndarray:
    groups_N = np.asarray(groups_N)
    if embeddings_ND.ndim != 2 or not len(embeddings_ND) == labels_N.size == groups_N.size:
        raise LabelError(
            f"{name}: embeddings {embeddings_ND.shape}, {labels_N.size} labels and {groups_N.size} patients; "
            "one row, label and patient a recording are needed"
        )
    if not np.isin(labels_N, (0, 1, UNKNOWN)).all():
        raise LabelError(f"{name}: labels {np.unique(labels_N)}; 0, 1 and -1 (unknown) are allowed")
    if not (labels_N != UNKNOWN).any():
        raise LabelError(f"{name}: none of {labels_N.size:,} recordings has it known; import labels first")
    if not np.isfinite(embeddings_ND).all():
        bad = int((~np.isfinite(embeddings_ND).all(axis=1)).sum())
        raise LabelError(f"{name}: {bad:,} embeddings hold infinite or missing values; score these recordings again")
    if fold_count < 2 or not seeds or np.unique(groups_N).size < 2:
        raise ConfigError(
            f"{name}: {fold_count} folds, {len(seeds)} seeds, {np.unique(groups_N).size} patients; "
            "at least two folds, one seed and two patients are needed"
        )
    return groups_N


def _one_seed(
    scaled_ND: np.ndarray,
    labels_N: np.ndarray,
    groups_N: np.ndarray,
    fold_count: int,
    seed: int,
    strength: float,
    name: str,
) -> np.ndarray:
    logits_N = _out_of_fold(scaled_ND, labels_N, groups_N, fold_count, seed, strength, name)
    known = labels_N != UNKNOWN
    return np.asarray(expit(logits_N / fit_temperature(logits_N[known], labels_N[known])))


def _out_of_fold(
    scaled_ND: np.ndarray,
    labels_N: np.ndarray,
    groups_N: np.ndarray,
    fold_count: int,
    seed: int,
    strength: float,
    name: str,
) -> np.ndarray:
    """Logits ``[N]``, each from a head trained on the other folds."""
    fold_N = deal_folds(labels_N, groups_N, min(fold_count, np.unique(groups_N).size), seed)
    rng, logits_N = np.random.default_rng([seed, 1]), np.empty(labels_N.size)
    for fold in np.unique(fold_N):
        train = np.flatnonzero((fold_N != fold) & (labels_N != UNKNOWN))
        judged = fold_N == fold
        patients = [np.unique(groups_N[train[labels_N[train] == value]]).size for value in (0, 1)]
        if min(patients) < PATIENTS_MIN:
            log.warning(
                "%s: %d patients without and %d with it to learn from in fold %d of seed %d, at least %d of each are "
                "needed; the base rate stands in",
                name, *patients, fold, seed, PATIENTS_MIN,
            )  # fmt: skip
            positives = int((labels_N[train] == 1).sum())
            logits_N[judged] = np.log((positives + 1) / (train.size - positives + 1))
            continue
        if train.size > TRAIN_MAX:
            train = rng.choice(train, TRAIN_MAX, replace=False)
        head = LogisticRegression(C=strength, solver=_solver(scaled_ND.shape[1]), max_iter=200)
        logits_N[judged] = head.fit(scaled_ND[train], labels_N[train]).decision_function(scaled_ND[judged])
    return np.clip(logits_N, -LOGIT_MAX, LOGIT_MAX)


def _solver(width: int) -> str:
    """Newton's method solves a D x D system a step: the fastest up to a thousand columns."""
    return "newton-cholesky" if width <= 1024 else "lbfgs"


def _strength(scaled_ND: np.ndarray, labels_N: np.ndarray, groups_N: np.ndarray, fold_count: int, name: str) -> float:
    """The penalty with the least out-of-fold loss on a sample of patients."""
    known = np.flatnonzero(labels_N != UNKNOWN)
    if known.size > TUNE_MAX:
        known = np.random.default_rng(0).choice(known, TUNE_MAX, replace=False)
    labels, groups = labels_N[known], groups_N[known]
    if min((labels == value).sum() for value in (0, 1)) < 2 * PATIENTS_MIN or np.unique(groups).size < 2:
        return STRENGTHS[1]
    losses = []
    for strength in STRENGTHS:
        logits = _out_of_fold(scaled_ND[known], labels, groups, fold_count, 0, strength, name)
        losses.append(_loss(logits, labels, fit_temperature(logits, labels)))
    return STRENGTHS[int(np.argmin(losses))]


def fit_temperature(logits_N: np.ndarray, labels_N: np.ndarray) -> float:
    """The divisor of the logits, 0.25 to 10, with the least cross-entropy (Guo, ICML 2017)."""
    found = minimize_scalar(
        lambda log_t: _loss(logits_N, labels_N, float(np.exp(log_t))),
        bounds=(np.log(0.25), np.log(10)),
        method="bounded",
    )
    return float(np.exp(found.x))


def _loss(logits_N: np.ndarray, labels_N: np.ndarray, temperature: float) -> float:
    signed_N = np.where(labels_N == 1, -logits_N, logits_N) / temperature
    return float(np.logaddexp(0.0, signed_N).mean())
