"""What happens while a label is learned: wrong labels are won over late, or never.

Axes: N recordings, R features.
"""

import numpy as np
from scipy.special import expit

from ecgfm_core.active.crossfit import one_thread, sample
from ecgfm_core.active.scores import UNKNOWN

EPOCHS = 20  # with more the head learns the wrong labels too
TRAIN_MAX = 20_000  # rows that are learned from; the others are judged by what was learned


@one_thread
def area_under_margin(features_NR: np.ndarray, labels_N: np.ndarray, epochs: int = EPOCHS, seed: int = 0) -> np.ndarray:
    """Mean margin in logits ``[N]`` of each given label over the epochs of training (Pleiss, NeurIPS 2020).

    A logistic head learns all known labels by gradient descent, from nothing. The margin is the logit of the given
    label less that of the other; where the rest contradicts a label it stays low or negative. The head judges what it
    learns from, which is what training dynamics are; measured, that found injected errors as well as heads of other
    folds do. The margins of a linear head are linear in its weights, so their mean is the margin of the mean
    weights: no epoch is stored.

    Parameters
    ----------
    features_NR : standardised and reduced, see `crossfit.reduce`
    labels_N : 0, 1 or -1 (unknown)
    epochs : steps of full-batch gradient descent, each as long as the steepest direction allows
    seed : draws TRAIN_MAX rows where more are known

    Returns
    -------
    float64; low or negative is suspicious, NaN where the label is unknown or nobody has the other one.
    """
    known, offset = sample(labels_N, TRAIN_MAX, seed)
    if np.unique(labels_N[known]).size < 2:
        return np.full(labels_N.size, np.nan)
    learned_NR = features_NR[known].astype(np.float64)
    mean_R = learned_NR.mean(axis=0)  # what all share would take up the steps
    learned_NR -= mean_R
    scale = learned_NR.std() or 1.0
    weight_R, intercept = _mean_weights(learned_NR / scale, labels_N[known], epochs)
    weight_R /= scale
    logits_N = features_NR @ weight_R.astype(np.float32) + np.float32(intercept - offset - mean_R @ weight_R)
    return np.where(labels_N == UNKNOWN, np.nan, np.where(labels_N == 1, logits_N, -logits_N).astype(np.float64))


def _mean_weights(features_NR: np.ndarray, labels_N: np.ndarray, epochs: int) -> tuple[np.ndarray, float]:
    """Mean over the epochs of the weights ``[R]`` and of the intercept."""
    count = len(labels_N)
    steepest = 0.25 * max(float(np.linalg.eigvalsh(features_NR.T @ features_NR / count)[-1]), 1.0)
    weight_R, intercept = np.zeros(features_NR.shape[1]), 0.0
    sum_R, sum_intercept = np.zeros_like(weight_R), 0.0
    for _ in range(epochs):
        missed_N = expit(features_NR @ weight_R + intercept) - labels_N
        weight_R = weight_R - features_NR.T @ missed_N / (count * steepest)
        intercept -= float(missed_N.mean()) / steepest
        sum_R, sum_intercept = sum_R + weight_R, sum_intercept + intercept
    return sum_R / epochs, sum_intercept / epochs
