"""Scores that say which recordings would gain from a reader. Uncertainty is modAL's; label errors need the given label.

Axes: N recordings, C classes or labels, S seeds. Labels are 0, 1, and -1 where unknown.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from modAL.uncertainty import classifier_entropy, classifier_margin

from ecgfm_core.errors import LabelError

UNKNOWN = -1
PROBABILITY_FLOOR = 1e-6
SOFT_MINIMUM_TEMPERATURE = 0.1


class _Known:
    """Stands for a classifier in modAL's functions: the probabilities are known already."""

    def predict_proba(self, probability_NC: np.ndarray) -> np.ndarray:
        return probability_NC


def entropy(probability: np.ndarray) -> np.ndarray:
    """Entropy in bits, ``[N]``, of class probabilities ``[N, C]`` or of the probability ``[N]`` of two classes."""
    return np.asarray(classifier_entropy(_Known(), _classes(probability)) / np.log(2))


def margin(probability: np.ndarray) -> np.ndarray:
    """Difference ``[N]`` between the two most probable classes, 0 to 1; a small one is an unsure model."""
    return np.asarray(classifier_margin(_Known(), _classes(probability)))


def disagreement(probability_SN: np.ndarray) -> np.ndarray:
    """Mutual information in bits ``[N]`` between the answer and the model (BALD, Houlsby 2011): S models disagree."""
    each_N = np.mean([entropy(probability_N) for probability_N in probability_SN], axis=0)
    return np.asarray(np.maximum(entropy(probability_SN.mean(axis=0)) - each_N, 0.0))


def label_error_scores(given_N: np.ndarray, probability: np.ndarray) -> np.ndarray:
    """Cross-entropy in nats ``[N]`` of the given labels; NaN where the label or the probability is unknown.

    Parameters
    ----------
    given_N : 0, 1 or -1 (unknown)
    probability : of label 1, cross-fitted: ``[N]``, or ``[S, N]`` which is averaged over the seeds

    Raises
    ------
    LabelError
        If a label is none of 0, 1, -1 or the shapes differ.
    """
    agreed_N = confidence(given_N, probability.mean(axis=0) if probability.ndim == 2 else probability)
    return np.asarray(-np.log(np.maximum(agreed_N, PROBABILITY_FLOOR)))


def confidence(given: np.ndarray, probability: np.ndarray) -> np.ndarray:
    """Probability of the given labels, of any shape; NaN where a label is unknown."""
    if given.shape != probability.shape:
        raise LabelError(f"labels {given.shape} with probabilities {probability.shape}; their shapes must be equal")
    if not np.isin(given, (0, 1, UNKNOWN)).all():
        raise LabelError(f"labels {np.unique(given)}; 0, 1 and -1 (unknown) are allowed")
    agreed = np.where(given == 1, probability, 1.0 - probability)
    return np.where(given == UNKNOWN, np.nan, agreed)


def label_set_scores(given_NC: np.ndarray, probability_NC: np.ndarray) -> np.ndarray:
    """Cross-entropy in nats ``[N]`` of whole label sets: of the soft minimum of their labels' confidences.

    One doubtful label makes the set doubtful (softmin pooling: Goh, Tkachenko and Mueller, arXiv 2211.13895).
    NaN where no label is known.
    """
    agreed_NC = confidence(given_NC, probability_NC)
    weight_NC = np.where(np.isnan(agreed_NC), 0.0, np.exp(-np.nan_to_num(agreed_NC) / SOFT_MINIMUM_TEMPERATURE))
    total_N = weight_NC.sum(axis=1)
    soft_N = (weight_NC * np.nan_to_num(agreed_NC)).sum(axis=1) / np.where(total_N > 0, total_N, 1.0)
    return np.where(total_N > 0, -np.log(np.maximum(soft_N, PROBABILITY_FLOOR)), np.nan)


def most_doubtful(given_NC: np.ndarray, probability_NC: np.ndarray) -> np.ndarray:
    """Index ``[N]`` of the label whose given value the models believe least; -1 where none is known."""
    agreed_NC = confidence(given_NC, probability_NC)
    known_N = ~np.isnan(agreed_NC).all(axis=1)
    return np.where(known_N, np.argmin(np.where(np.isnan(agreed_NC), np.inf, agreed_NC), axis=1), UNKNOWN)


def quality_score(findings: Mapping[str, Any], lead_names: Sequence[str]) -> float:
    """The gate's own score, 0 to 1, else the share of leads free of findings.

    With I, II and V1 to V6 the gate's score is how probable it is that people accept the recording, otherwise the share
    of usable leads; below 0.5 it is refused. NaN where nothing was found out, see `ecgfm_core.signal.quality`.
    """
    if not findings or not lead_names:
        return float("nan")
    if isinstance(findings.get("score"), int | float):
        return float(findings["score"])
    bad = {name for kind in ("flat_leads", "clipped_leads", "missing_leads") for name in findings.get(kind, ())}
    return 1.0 - len(bad & set(lead_names)) / len(set(lead_names))


def _classes(probability: np.ndarray) -> np.ndarray:
    if probability.ndim == 1:
        return np.stack([1.0 - probability, probability], axis=1)
    return probability
