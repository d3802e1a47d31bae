"""One attempt at a re-ordering: the pool judged by heads that have learned the corrections, the best put first.

Axes: N recordings of the files, S seeds, K settled recordings, P of the round's pool.
"""

import logging
from dataclasses import replace

import numpy as np

from annotator.models import Reranking, Round
from annotator.selectors import candidates, embeddings
from annotator.services import reranking
from annotator.services.heartbeat import beating
from annotator.services.reranking import NewOrder
from ecgfm_core.active import rerank as core
from ecgfm_core.active import scores
from ecgfm_core.active.candidates import Candidate, Pool
from ecgfm_core.active.embedding_store import SPLITS, EmbeddingStore
from ecgfm_core.active.selection import Chosen, select
from workers import embedding_files

log = logging.getLogger(__name__)


def rerank(run: Reranking, attempt: int) -> None:
    """Put what waits in the run's round into a new order."""
    with beating(run, attempt, {"message": "Judging the pool anew"}) as pulse:
        round = Round.objects.get(pk=run.round_id)
        order = new_order(round)
        pulse.check()
    reranking.reorder(run=run, attempt=attempt, order=order)


def new_order(round: Round) -> NewOrder:
    """Return what should stand in the waiting places of a round."""
    store = embedding_files.opened(round.checkpoint_id)
    places = reranking.movable(round)
    judged = np.array(sorted(places), dtype=np.int64)
    judged = judged[store.rows_of(judged) >= 0]
    chosen = _chosen(round, store, judged)
    entering = [one.id for one in chosen if one.id not in places]
    allowed = set(candidates.pool(round).filter(pk__in=entering).values_list("pk", flat=True)) | set(judged.tolist())
    wanted = {one.id: one.reason for one in chosen if one.id in allowed}
    dropped = sorted(set(judged.tolist()) - wanted.keys(), key=lambda pk: places[pk].rank)
    return NewOrder(frozenset(judged.tolist()), [*wanted, *dropped], wanted)


def _chosen(round: Round, store: EmbeddingStore, judged: np.ndarray) -> list[Chosen]:
    """Return the best of what waits and of all that may come in its place, as many as wait."""
    known_N, settled = store.known_N, _settled(store)
    votes_SN = core.rescore(store.features_NR, known_N["patient"], known_N["given"], settled)
    may_N = np.isin(known_N["dataset"], list(round.datasets.values_list("pk", flat=True)))
    may_N &= known_N["readable"] & (known_N["split"] == SPLITS.index(round.split))
    may_N[settled.rows_K] = False
    queued = np.fromiter(round.items.values_list("recording", flat=True), dtype=np.int64)
    may_N[_found(store, queued)] = False
    may_N[_found(store, judged)] = True
    rows_P = np.flatnonzero(may_N)
    return select(
        _pool(round, store, rows_P, votes_SN[:, rows_P]), judged.size, round.strategy, 0.0, round.seed,
        readers_per_item=round.readers_per_item,
        embedding_of=lambda ids: store.features_NR[store.rows_of(ids)],
    )  # fmt: skip


def _found(store: EmbeddingStore, ids: np.ndarray) -> np.ndarray:
    rows = store.rows_of(ids)
    return rows[rows >= 0]


def _settled(store: EmbeddingStore) -> core.Settled:
    """Return what readers have settled, but for the test split, which is never learned from."""
    ids_K, labels_K = embeddings.settled()
    rows_K = store.rows_of(ids_K)
    learned_K = (rows_K >= 0) & (store.known_N["split"][rows_K] != SPLITS.index("test"))
    return core.Settled(rows_K[learned_K], labels_K[learned_K])


def _pool(round: Round, store: EmbeddingStore, rows_P: np.ndarray, votes_SP: np.ndarray) -> Pool:
    known_P, ids_P = store.known_N[rows_P], store.ids_N[rows_P]
    given_P, probability_P = known_P["given"].astype(np.int64), votes_SP.mean(axis=0, dtype=np.float64)
    columns = {
        "probability": probability_P,
        "label_error": scores.label_error_scores(given_P, probability_P),
        "label_set_error": known_P["doubt"].astype(np.float64),
        "entropy": scores.entropy(probability_P),
        "epistemic": scores.disagreement(votes_SP),
    }

    def describe(ids: np.ndarray) -> list[Candidate]:
        at = np.searchsorted(ids_P, ids)
        numbers = {name: column[at].tolist() for name, column in columns.items()}
        votes = (votes_SP[:, at] > 0.5).sum(axis=0).tolist()
        said = candidates.describe(round, ids)
        return [
            replace(one, votes=votes[n], models=len(votes_SP), **{name: numbers[name][n] for name in numbers})
            for n, one in enumerate(said)
        ]

    return Pool(ids_P, given_P, columns, describe, known_P["centre"])
