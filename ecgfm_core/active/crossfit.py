"""Out-of-sample probabilities of the given labels: small heads on stored embeddings, cross-fitted by patient.

A head never sees the patient it judges, in any seed. Axes: N recordings, D embedding width, C labels, S seeds.
"""

import logging
from collections.abc import Sequence

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from ecgfm_core.active.scores import UNKNOWN
from ecgfm_core.errors import ConfigError, LabelError

log = logging.getLogger(__name__)

FOLDS = 5
SEEDS = (0, 1, 2)
RANK_MAX = 128  # directions of the embeddings that a head sees; more find no more wrong labels
LANDMARKS = 1_000  # recordings whose kernel gives the directions
BLOCK_ROWS = 20_000
TRAIN_MAX = 20_000  # rows a head learns from; more change a head of this size no further
TUNE_MAX = 4_000
STRENGTHS = (0.1, 0.3, 1.0, 3.0, 10.0)  # weight of the data against the penalty on what `reduce` leaves
PATIENTS_MIN = 2  # of each class in the training folds; with fewer the head says the base rate
LOGIT_MAX = 12.0
one_thread = threadpool_limits.wrap(limits=1, user_api="blas")  # matrices this small are slower with more


class Heads:
    """Logistic heads on one set of embeddings, prepared once and asked label after label.

    The penalty is tuned on the first label asked for and kept for the others, which have the same embeddings.

    Parameters
    ----------
    embeddings_ND : any float type, finite
    groups_N : patient of each recording; one patient never lies in two folds
    fold_count : at least 2; fewer are made where there are fewer patients

    Raises
    ------
    LabelError
        If the shapes differ or an embedding is not finite.
    ConfigError
        If there are fewer than two folds or patients to deal.
    """

    @one_thread
    def __init__(
        self, embeddings_ND: np.ndarray, groups_N: Sequence[str] | np.ndarray, fold_count: int = FOLDS
    ) -> None:
        patients, self.group_N = np.unique(np.asarray(groups_N), return_inverse=True)
        if embeddings_ND.ndim != 2 or len(embeddings_ND) != self.group_N.size:
            raise LabelError(
                f"embeddings {embeddings_ND.shape} and {self.group_N.size} patients; "
                "one row, label and patient a recording are needed"
            )
        if fold_count < 2 or patients.size < 2:
            raise ConfigError(
                f"{fold_count} folds, {patients.size} patients; at least two folds and two patients are needed"
            )
        self.fold_count = min(fold_count, patients.size)
        self.features_NR = reduce(embeddings_ND)
        self.strength: float | None = None

    @one_thread
    def probabilities(self, labels_N: np.ndarray, seeds: Sequence[int] = SEEDS, name: str = "the label") -> np.ndarray:
        """Probability ``[S, N]`` of label 1 from heads that never saw the recording's patient.

        Recordings without a label are judged and not learned from. Each seed deals the patients into other folds; its
        logits are divided by one temperature, fitted on the out-of-fold logits of all labelled recordings. Where a
        class has too few patients for a head, the base rate is returned and the log says so.

        Parameters
        ----------
        labels_N : 0, 1 or -1 (unknown)
        seeds : one set of folds each
        name : of the label, for the log

        Raises
        ------
        LabelError
            If a label is none of 0, 1, -1, or none is known, or there is not one a recording.
        ConfigError
            If no seed is named.
        """
        labels_N = np.asarray(labels_N)
        self._check(labels_N, seeds, name)
        if self.strength is None:
            self.strength = self._tuned(labels_N, name)
        return np.stack([self._one_seed(labels_N, seed, self.strength, name) for seed in seeds])

    def _check(self, labels_N: np.ndarray, seeds: Sequence[int], name: str) -> None:
        if labels_N.shape != self.group_N.shape:
            raise LabelError(
                f"{name}: {labels_N.size} labels for {self.group_N.size} recordings; "
                "one row, label and patient a recording are needed"
            )
        if not np.isin(labels_N, (0, 1, UNKNOWN)).all():
            raise LabelError(f"{name}: labels {np.unique(labels_N)}; 0, 1 and -1 (unknown) are allowed")
        if not (labels_N != UNKNOWN).any():
            raise LabelError(f"{name}: none of {labels_N.size:,} recordings has it known; import labels first")
        if not seeds:
            raise ConfigError(f"{name}: no seed is named; at least one is needed")

    def _one_seed(self, labels_N: np.ndarray, seed: int, strength: float, name: str) -> np.ndarray:
        logits_N = self._out_of_fold(slice(None), labels_N, seed, strength, name)
        known = np.flatnonzero(labels_N != UNKNOWN)
        if known.size > TRAIN_MAX:
            known = np.random.default_rng([seed, 2]).choice(known, TRAIN_MAX, replace=False)
        return np.asarray(expit(logits_N / fit_temperature(logits_N[known], labels_N[known])))

    def _out_of_fold(
        self, rows: slice | np.ndarray, labels_N: np.ndarray, seed: int, strength: float, name: str
    ) -> np.ndarray:
        """Logits ``[N]`` of these rows with these labels, each from a head trained on the other folds."""
        group_N, features_NR = self.group_N[rows], self.features_NR[rows]
        fold_N = deal_folds(labels_N, group_N, self.fold_count, seed)
        known, offset = sample(labels_N, TRAIN_MAX * self.fold_count // (self.fold_count - 1), seed)
        heads = []
        for fold in range(int(fold_N.max()) + 1):
            train = known[fold_N[known] != fold]
            patients = [np.unique(group_N[train[labels_N[train] == value]]).size for value in (0, 1)]
            if min(patients) < PATIENTS_MIN:
                log.warning(
                    "%s: %d patients without and %d with it to learn from in fold %d of seed %d, at least %d of each "
                    "are needed; the base rate stands in",
                    name, *patients, fold, seed, PATIENTS_MIN,
                )  # fmt: skip
            heads.append(_head(features_NR[train], labels_N[train], strength, min(patients) >= PATIENTS_MIN))
        weight_RF = np.stack([weight_R for weight_R, _ in heads], axis=1).astype(np.float32)
        logits_NF = features_NR @ weight_RF + np.array([intercept - offset for _, intercept in heads], np.float32)
        logits_N = np.take_along_axis(logits_NF, fold_N[:, None], axis=1)[:, 0]
        return np.clip(logits_N.astype(np.float64), -LOGIT_MAX, LOGIT_MAX)

    def _tuned(self, labels_N: np.ndarray, name: str) -> float:
        """The penalty with the least out-of-fold loss on a sample of recordings."""
        known = np.flatnonzero(labels_N != UNKNOWN)
        if known.size > TUNE_MAX:
            known = np.random.default_rng(0).choice(known, TUNE_MAX, replace=False)
        labels = labels_N[known]
        if min((labels == value).sum() for value in (0, 1)) < 2 * PATIENTS_MIN:
            return STRENGTHS[1]
        losses = []
        for strength in STRENGTHS:
            logits = self._out_of_fold(known, labels, 0, strength, name)
            losses.append(cross_entropy(logits, labels, fit_temperature(logits, labels)))
        return STRENGTHS[int(np.argmin(losses))]


def crossfit_probabilities(
    embeddings_ND: np.ndarray,
    labels_N: np.ndarray,
    groups_N: Sequence[str] | np.ndarray,
    fold_count: int = FOLDS,
    seeds: Sequence[int] = SEEDS,
    name: str = "the label",
) -> np.ndarray:
    """Probability ``[S, N]`` of one label, see `Heads`."""
    return Heads(embeddings_ND, groups_N, fold_count).probabilities(labels_N, seeds, name)


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
    heads = Heads(embeddings_ND, groups_N, fold_count)
    for column in range(labels_NC.shape[1]):
        if (labels_NC[:, column] != UNKNOWN).any():
            name = names[column] if names else f"label {column}"
            result_SNC[:, :, column] = heads.probabilities(labels_NC[:, column], seeds, name)
    return result_SNC


def reduce(embeddings_ND: np.ndarray, rank_max: int = RANK_MAX) -> np.ndarray:
    """Leading directions of a Gaussian kernel on the embeddings, float32 ``[N, R]``, for heads that are linear in them.

    The columns are brought to mean 0 and deviation 1 and clipped to 6 deviations; constant ones become 0. The kernel
    is as wide as two recordings are apart on average. Its directions are those of `LANDMARKS` recordings drawn at
    random (Nystroem: Williams and Seeger, NIPS 2000), at most `rank_max`: on real ECGs such heads find more wrong
    labels than linear ones. Works in blocks: beside the embeddings a million recordings take 0.6 GB.

    Raises
    ------
    LabelError
        If an embedding is not finite.
    """
    standardised = Standard(embeddings_ND)
    drawn = np.random.default_rng(0).choice(len(embeddings_ND), min(len(embeddings_ND), LANDMARKS), replace=False)
    landmarks_MD = standardised(np.sort(drawn))
    value_M, direction_MM = np.linalg.eigh(_kernel(landmarks_MD, landmarks_MD).astype(np.float64))
    kept = np.flatnonzero(value_M > 1e-6 * value_M[-1])[::-1][:rank_max]
    map_MR = (direction_MM[:, kept] / np.sqrt(value_M[kept])).astype(np.float32)
    features_NR = np.empty((len(embeddings_ND), kept.size), dtype=np.float32)
    for first in range(0, len(embeddings_ND), BLOCK_ROWS):
        block = slice(first, first + BLOCK_ROWS)
        features_NR[block] = _kernel(standardised(block), landmarks_MD) @ map_MR
    return features_NR


class Standard:
    """Rows of embeddings with standardised columns, scaled to a mean squared length of 1, float32."""

    def __init__(self, embeddings_ND: np.ndarray) -> None:
        self.embeddings_ND, count = embeddings_ND, len(embeddings_ND)
        blocks = [slice(first, first + BLOCK_ROWS) for first in range(0, count, BLOCK_ROWS)]
        mean_D = sum(embeddings_ND[block].sum(axis=0, dtype=np.float64) for block in blocks) / count
        if not np.isfinite(mean_D).all():
            bad = int((~np.isfinite(embeddings_ND).all(axis=1)).sum())
            raise LabelError(f"{bad:,} embeddings hold infinite or missing values; score these recordings again")
        spread_D = np.sqrt(sum(np.square(embeddings_ND[block] - mean_D).sum(axis=0) for block in blocks) / count)
        varied_D = spread_D > 1e-9
        self.mean_D = mean_D.astype(np.float32)
        self.scale_D = np.where(varied_D, 1 / np.where(varied_D, spread_D, 1), 0).astype(np.float32)
        self.length = np.float32(max(int(varied_D.sum()), 1) ** 0.5)

    def __call__(self, rows: slice | np.ndarray) -> np.ndarray:
        return np.clip((self.embeddings_ND[rows] - self.mean_D) * self.scale_D, -6.0, 6.0) / self.length


def _kernel(rows_ND: np.ndarray, landmarks_MD: np.ndarray) -> np.ndarray:
    """Gaussian similarity ``[N, M]`` of rows whose mean squared length is 1, 0 to 1."""
    squares_NM = rows_ND @ landmarks_MD.T
    squares_NM *= -2
    squares_NM += np.square(rows_ND).sum(axis=1)[:, None]
    squares_NM += np.square(landmarks_MD).sum(axis=1)
    squares_NM *= -0.5
    return np.exp(squares_NM, out=squares_NM)


def sample(labels_N: np.ndarray, count: int, seed: int) -> tuple[np.ndarray, float]:
    """Draw at most `count` rows to learn from, and say by how much the logits are too high for it.

    A rare class gets up to a quarter of the rows, so that it can be learned from at all; what that adds to the logits
    is known (prior correction: King and Zeng, Political Analysis 9, 2001).

    Returns
    -------
    Positions of rows with a known label, rising, and the offset that the logits of label 1 carry.
    """
    classes = [np.flatnonzero(labels_N == value) for value in (0, 1)]
    total = sum(rows.size for rows in classes)
    if total <= count:
        return np.sort(np.concatenate(classes)), 0.0
    rare = int(classes[1].size < classes[0].size)
    kept_rare = min(classes[rare].size, max(count * classes[rare].size // total, count // 4))
    wanted = {rare: kept_rare, 1 - rare: count - kept_rare}
    rng = np.random.default_rng([seed, 1])
    drawn = [rng.choice(rows, wanted[value], replace=False, shuffle=False) for value, rows in enumerate(classes)]
    shares = [rows.size / max(every.size, 1) for rows, every in zip(drawn, classes, strict=True)]
    return np.sort(np.concatenate(drawn)), float(np.log(shares[1] / shares[0])) if min(shares) > 0 else 0.0


def _head(features_NR: np.ndarray, labels_N: np.ndarray, strength: float, able: bool) -> tuple[np.ndarray, float]:
    """Weights ``[R]`` and intercept of a head; of the base rate alone where there is too little to learn from."""
    if not able:
        positives = int((labels_N == 1).sum())
        return np.zeros(features_NR.shape[1]), float(np.log((positives + 1) / (labels_N.size - positives + 1)))
    # Newton's method solves an R x R system a step: the fastest at this rank.
    head = LogisticRegression(C=strength, solver="newton-cholesky", max_iter=200)
    head.fit(features_NR.astype(np.float64), labels_N)
    return head.coef_[0], float(head.intercept_[0])


def deal_folds(labels_N: np.ndarray, groups_N: np.ndarray, fold_count: int, seed: int) -> np.ndarray:
    """Fold of each recording ``[N]``: whole patients, shuffled; positives, others and unlabelled dealt apart."""
    patients, patient_N = np.unique(groups_N, return_inverse=True)
    kind = np.full(patients.size, UNKNOWN, dtype=np.int8)
    np.maximum.at(kind, patient_N, labels_N.astype(np.int8))
    order = np.random.default_rng(seed).permutation(patients.size)
    order = order[np.argsort(kind[order], kind="stable")]
    fold = np.empty(patients.size, dtype=np.int64)
    fold[order] = np.arange(patients.size) % fold_count
    return np.asarray(fold[patient_N])


def fit_temperature(logits_N: np.ndarray, labels_N: np.ndarray) -> float:
    """The divisor of the logits, 0.25 to 10, with the least cross-entropy (Guo, ICML 2017)."""
    found = minimize_scalar(
        lambda log_t: cross_entropy(logits_N, labels_N, float(np.exp(log_t))),
        bounds=(np.log(0.25), np.log(10)),
        method="bounded",
    )
    return float(np.exp(found.x))


def cross_entropy(logits_N: np.ndarray, labels_N: np.ndarray, temperature: float) -> float:
    """Mean cross-entropy in nats of labels 0 and 1 under tempered logits."""
    signed_N = np.where(labels_N == 1, -logits_N, logits_N) / temperature
    return float(np.logaddexp(0.0, signed_N).mean())
