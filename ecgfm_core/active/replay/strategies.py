"""How a replay chooses its next reads: through `selection.select`, as rounds do, one score a strategy.

Axes: N recordings of the pool and the test part, P of the pool that are unread, S seeds, C labels, R features.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.stats import rankdata

from ecgfm_core.active import dynamics, quotas, scores
from ecgfm_core.active.candidates import Candidate, Pool
from ecgfm_core.active.crossfit import SEEDS
from ecgfm_core.active.quotas import Quotas
from ecgfm_core.active.selection import select

TITLES = {
    "relabel": "label error (relabel)", "aum": "area under the margin", "uncertainty": "uncertainty (entropy)",
    "bald": "committee (BALD)", "kcentre": "k-centre", "random": "random", "oracle": "oracle",
}  # fmt: skip
STRATEGIES = tuple(TITLES)


class Source(Protocol):
    """Where cross-fitted probabilities come from; `crossfit.Heads` is one."""

    features_NR: np.ndarray

    def probabilities(self, labels_N: np.ndarray, seeds: Sequence[int] = SEEDS, name: str = "the label") -> np.ndarray:
        """Probability ``[S, N]`` of label 1 from models that never saw the recording's patient; -1 is unknown."""


@dataclass(frozen=True)
class View:
    """All that a strategy may look at in one round; rows are recordings.

    Attributes
    ----------
    source : of features and probabilities
    given_NC : labels on file, -1 in the test part
    probability_SNC : cross-fitted on these labels
    truth_NC : for the oracle alone
    read_N : what has been read
    centres_N : where each was recorded
    order_N : place of each in the farthest-first order of the whole pool
    """

    source: Source
    given_NC: np.ndarray
    probability_SNC: np.ndarray
    truth_NC: np.ndarray
    read_N: np.ndarray
    centres_N: np.ndarray
    order_N: np.ndarray

    @property
    def label_error(self) -> np.ndarray:
        """Label error in nats ``[N]``, of the set where several labels are given; NaN in the test part."""
        mean_NC = self.probability_SNC.mean(axis=0)
        if self.given_NC.shape[1] == 1:
            return scores.label_error_scores(self.given_NC[:, 0], mean_NC[:, 0])
        return scores.label_set_scores(self.given_NC, mean_NC)


def choose(
    view: View, unread: np.ndarray, budget: int, strategy: str, audit_share: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Choose the next reads: rows ``[K]`` in order, and which of them are the audit share ``[K]``."""
    score_P = _score(view, strategy)[unread] if strategy != "random" else np.zeros(unread.size)
    named, held = ("random", quotas.NONE) if strategy == "random" else ("relabel", quotas.NONE)
    columns, given_P = {"label_error": score_P}, np.full(unread.size, scores.UNKNOWN)
    if strategy == "relabel":
        held = Quotas()
        given_P = view.given_NC[unread, 0] if view.given_NC.shape[1] == 1 else given_P
    else:
        columns = {"label_error": rankdata(score_P)}  # any score becomes a place; only the order counts
    pool = Pool(
        ids_N=unread.astype(np.int64), given_N=given_P, scores=columns, describe=_nameless,
        centre_N=np.unique(view.centres_N, return_inverse=True)[1][unread],
    )  # fmt: skip
    chosen = select(pool, budget, named, audit_share, seed, held)
    return np.array([one.id for one in chosen]), np.array([one.origin == "audit" for one in chosen])


def _nameless(ids: np.ndarray) -> list[Candidate]:
    return [Candidate(int(number)) for number in ids]


def _score(view: View, strategy: str) -> np.ndarray:
    """Score ``[N]``, the highest to be read first."""
    if strategy == "relabel":
        return view.label_error
    if strategy == "oracle":
        return (view.given_NC != view.truth_NC).any(axis=1).astype(float)
    if strategy == "kcentre":
        return -view.order_N.astype(float)
    columns = range(view.given_NC.shape[1])
    if strategy == "uncertainty":
        return np.sum([scores.entropy(view.probability_SNC.mean(axis=0)[:, c]) for c in columns], axis=0)
    if strategy == "bald":
        return np.sum([scores.disagreement(view.probability_SNC[:, :, c]) for c in columns], axis=0)
    margins = [dynamics.area_under_margin(view.source.features_NR, view.given_NC[:, c]) for c in columns]
    return -np.min(margins, axis=0)


def farthest_first(features_NR: np.ndarray, rows: np.ndarray, seed: int) -> np.ndarray:
    """Place ``[N]`` of each row in the greedy k-centre order (Sener and Savarese, ICLR 2018); others are last."""
    features_PR = features_NR[rows].astype(np.float64)
    place_N = np.full(len(features_NR), len(features_NR))
    nearest_P, at = np.full(rows.size, np.inf), int(np.random.default_rng(seed).integers(rows.size))
    for place in range(rows.size):
        place_N[rows[at]] = place
        np.minimum(nearest_P, np.square(features_PR - features_PR[at]).sum(axis=1), out=nearest_P)
        nearest_P[at] = -np.inf
        at = int(np.argmax(nearest_P))
    return place_N
