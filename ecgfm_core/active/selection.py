"""Choosing what a round reads: candidates with their scores -> an ordered list with the reason of each choice.

Pure numpy, no model and no database: the scores were stored with the predictions. Axes: N candidates by rising id, K in
an order, D embedding width.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ecgfm_core.active import duplicates
from ecgfm_core.active.candidates import Candidate, Doubt, Pool
from ecgfm_core.active.duplicates import EmbeddingOf
from ecgfm_core.active.quotas import Quotas, keep_places
from ecgfm_core.active.reasons import reason
from ecgfm_core.errors import ConfigError

__all__ = ["STRATEGIES", "Candidate", "Chosen", "Doubt", "Pool", "Quotas", "label_error", "reason", "select"]

# The score that a strategy orders by, where it is one alone.
ORDERED_BY = {"uncertainty": "entropy", "committee": "epistemic", "novelty": "novelty"}
STRATEGIES = ("relabel", *ORDERED_BY, "random")
LOOKED_AT = 3  # times the places: among so many near-duplicates are looked for
AMBIGUITY_FREE_NATS = 0.3
DEFAULT_QUOTAS = Quotas()


@dataclass(frozen=True, slots=True)
class Chosen:
    """One queue item to be: rank 0 is read first; the reason is shown after the reveal.

    `origin` is strategy, audit, repeat or control; a repeat is reserved for the reader whose own reading it repeats.
    """

    id: int
    rank: int
    origin: str
    reason: str
    reserved_for: int | None = None


def select(
    candidates: Sequence[Candidate] | Pool,
    budget: int,
    strategy: str = "relabel",
    audit_share: float = 0.1,
    seed: int = 0,
    quotas: Quotas = DEFAULT_QUOTAS,
    readers_per_item: int = 1,
    embedding_of: EmbeddingOf | None = None,
    taken: Sequence[int] | np.ndarray = (),
) -> list[Chosen]:
    """Choose up to `budget` recordings and say why.

    The audit share is drawn first, from the whole pool and without a look at any score, so that it is a simple random
    sample of it; its places in the order are random too. The strategy chooses from the rest: ``relabel`` by
    `label_error` (recordings without one come last, by entropy), ``uncertainty`` by entropy, ``committee`` by the
    mutual information over the models, ``novelty`` by the distance to what was read, ``random`` by chance. Ties fall by
    chance; the same arguments give the same list, in whatever order the candidates come.

    Parameters
    ----------
    candidates : what may be chosen; a `Pool` where there are many
    budget : how many recordings
    strategy : one of STRATEGIES
    audit_share : share of the budget that is drawn at random, 0 to 1
    seed : of every draw
    quotas : places kept for either kind of error, for codes and for centres (``relabel`` only)
    readers_per_item : with several, ``relabel`` holds back what readers would disagree on, see `label_error`
    embedding_of : ids ``[K]`` -> embeddings ``[K, D]``, of which the first `LOOKED_AT` times the places are asked for;
        near-duplicates of what is chosen are passed over. None keeps them; ``random`` does too, to stay a random sample
    taken : ids that were chosen before and are no candidates; `embedding_of` is asked for them too, and their
        near-duplicates are passed over

    Raises
    ------
    ConfigError
        If the strategy is unknown or no candidate has its score, a number is out of bounds, or an id stands twice.
    """
    pool = candidates if isinstance(candidates, Pool) else Pool.of(candidates)
    _check(budget, strategy, audit_share, readers_per_item)
    rng, total = np.random.default_rng(seed), min(budget, len(pool))
    shuffled = rng.permutation(len(pool))
    audit_count = int(total * audit_share + 0.5)
    order_K, error_N = _order(pool, shuffled[audit_count:], strategy, readers_per_item)
    if strategy != "random":
        count = total - audit_count
        if embedding_of is not None:
            wide_K = keep_places(order_K, LOOKED_AT * count, error_N, pool, quotas)
            order_K = _distinct_first(order_K, wide_K, pool, embedding_of, np.asarray(taken, dtype=np.int64))
        order_K = keep_places(order_K, count, error_N, pool, quotas)
    places = np.zeros(total, dtype=bool)
    places[rng.permutation(total)[:audit_count]] = True
    chosen = np.empty(total, dtype=np.int64)
    chosen[places], chosen[~places] = shuffled[:audit_count], order_K[: total - audit_count]
    described = pool.describe(pool.ids_N[chosen])
    return [
        Chosen(one.id, rank, *(("audit", reason(one, "audit")) if is_audit else ("strategy", reason(one, strategy))))
        for rank, (one, is_audit) in enumerate(zip(described, places.tolist(), strict=True))
    ]


def label_error(pool: Pool, readers_per_item: int = 1) -> np.ndarray:
    """How far the models disbelieve what is on file, in nats ``[N]``; NaN where nothing is on file.

    The larger of `label_error` (normal or abnormal) and `label_set_error` (all labels on file): both are the
    cross-entropy of what is on file under models that never saw the patient, hence on one scale, and the larger one is
    that of the label believed least. So a recording whose normal or abnormal nobody doubts still comes early where
    another label of it is wrong, and one wrong label isn't counted twice.

    Where a round pays several readers a recording, what they would disagree on costs several answers and an
    adjudication: the entropy above 0.3 nats (nearly 0.09 against 0.91) is taken off, as in Bernhardt et al., Nature
    Communications 13:1161 (2022), who take off all of it.
    """
    error_N = np.fmax(pool.score("label_error"), pool.score("label_set_error"))
    if readers_per_item > 1:
        entropy_N = np.nan_to_num(pool.score("entropy"), nan=0.0) * np.log(2)
        error_N = error_N - np.maximum(entropy_N - AMBIGUITY_FREE_NATS, 0.0)
    return error_N


def _check(budget: int, strategy: str, audit_share: float, readers_per_item: int) -> None:
    if strategy not in STRATEGIES:
        raise ConfigError(f"strategy {strategy!r} is unknown; known are {', '.join(STRATEGIES)}")
    if budget < 0:
        raise ConfigError(f"budget {budget}; 0 or more recordings are allowed")
    if not 0 <= audit_share <= 1:
        raise ConfigError(f"audit share {audit_share:g}; 0 to 1 are allowed")
    if readers_per_item < 1:
        raise ConfigError(f"{readers_per_item} readers an item; 1 or more are allowed")


def _order(pool: Pool, shuffled_K: np.ndarray, strategy: str, readers_per_item: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions in the pool, the best first, and the error that quotas look at; NaN without a label to doubt."""
    nothing_N = np.full(len(pool), np.nan)
    if strategy == "random":
        return shuffled_K, nothing_N
    if strategy == "relabel":
        error_N = label_error(pool, readers_per_item)
        return shuffled_K[
            np.lexsort((_falling(pool.score("entropy")[shuffled_K]), _falling(error_N[shuffled_K])))
        ], error_N
    score_N = pool.score(ORDERED_BY[strategy])
    if len(pool) and np.isnan(score_N).all():
        why = " (nothing had been read when it was scored)" if strategy == "novelty" else ""
        raise ConfigError(
            f"strategy {strategy} needs the score {ORDERED_BY[strategy]}, which none of {len(pool):,} candidates has"
            f"{why}; score them again with the checkpoint, or choose another strategy"
        )
    return shuffled_K[np.argsort(_falling(score_N[shuffled_K]), kind="stable")], nothing_N


def _falling(score_K: np.ndarray) -> np.ndarray:
    """A key that sorts the largest first and the unknown last."""
    return np.where(np.isnan(score_K), np.inf, -score_K)


def _distinct_first(
    order_K: np.ndarray, wide_K: np.ndarray, pool: Pool, embedding_of: EmbeddingOf, taken: np.ndarray
) -> np.ndarray:
    """The order without the near-duplicates, of each other or of what is taken, which follow at its end."""
    looked_at_K = wide_K[: duplicates.LOOKED_AT_MAX]
    ids = np.concatenate([taken, pool.ids_N[looked_at_K]])
    keep_K = duplicates.distinct(embedding_of(ids))[taken.size :]
    passed_over_N = np.zeros(len(pool), dtype=bool)
    passed_over_N[looked_at_K[~keep_K]] = True
    return np.concatenate([order_K[~passed_over_N[order_K]], looked_at_K[~keep_K]])
