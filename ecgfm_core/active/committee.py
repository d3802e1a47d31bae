"""Where the models of a committee disagree: modAL's measures in numpy, one pass over a million recordings.

A committee is S probabilities of each recording; `scores.disagreement` (BALD) asks the same of the whole distribution,
modAL's consensus entropy is `scores.entropy` of the mean. Axes: N recordings, S models.
"""

import numpy as np
from scipy.special import rel_entr

from ecgfm_core.active import scores


def vote_entropy(probability_SN: np.ndarray) -> np.ndarray:
    """Entropy in bits ``[N]`` of the votes for and against (Dagan and Engelson, ICML 1995): 0 where all agree."""
    share_N = np.where(np.isnan(probability_SN).any(axis=0), np.nan, np.mean(probability_SN > 0.5, axis=0))
    return scores.entropy(share_N)


def kl_disagreement(probability_SN: np.ndarray) -> np.ndarray:
    """Divergence in bits ``[N]`` of the model furthest from the mean of all (McCallum and Nigam, ICML 1998)."""
    mean_N = probability_SN.mean(axis=0)
    return np.max([_divergence(probability_N, mean_N) for probability_N in probability_SN], axis=0)


def _divergence(probability_N: np.ndarray, mean_N: np.ndarray) -> np.ndarray:
    """Kullback-Leibler divergence in bits of one model's answer from the mean's; 0 log 0 is 0."""
    pairs = ((probability_N, mean_N), (1.0 - probability_N, 1.0 - mean_N))
    return np.asarray(np.maximum(sum(rel_entr(one_N, mean_N) for one_N, mean_N in pairs) / np.log(2), 0.0))
