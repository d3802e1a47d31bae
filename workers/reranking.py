"""One attempt at a re-ordering: the pool judged by heads that have learned the corrections, the best put first.

Axes: N recordings of the files, S seeds, K settled recordings, P of the round's pool.
"""

import numpy as np

from annotator.errors import WrongState
from annotator.models import Reranking, Round
from annotator.selectors import candidates, embeddings
from annotator.services import reranking
from annotator.services.heartbeat import beating
from annotator.services.reranking import NewOrder
from ecgfm_core.active import rerank as core
from ecgfm_core.active import scores
from ecgfm_core.active.candidates import Candidate, Pool
from ecgfm_core.active.embedding_store import SPLITS, EmbeddingStore
from ecgfm_core.active.quotas import DISBELIEVED_NATS
from ecgfm_core.active.selection import Chosen, label_error, select
from workers import embedding_files

CODED_MAX = 10_000  # of the most doubtful, for the places that are kept for rare codes


def rerank(run: Reranking, attempt: int) -> None:
    """Put what waits in the run's round into a new order."""
    with beating(run, attempt, {"message": "Judging the pool anew"}) as pulse:
        round = Round.objects.get(pk=run.round_id)
        order = new_order(round)
        pulse.check()
    reranking.reorder(run=run, attempt=attempt, order=order)


def new_order(round: Round) -> NewOrder:
    """Return what should stand in the waiting places of a round."""
    if round.checkpoint_id is None:
        raise WrongState(f"{round} has no checkpoint, hence no embeddings to judge.")
    store = embedding_files.opened(round.checkpoint_id)
    places = reranking.movable(round)
    judged = np.array(sorted(places), dtype=np.int64)
    judged = judged[store.rows_of(judged) >= 0]
    chosen = _chosen(round, store, judged)
    wanted = {one.id: one.reason for one in chosen}
    dropped = sorted(set(judged.tolist()) - wanted.keys(), key=lambda pk: places[pk].rank)
    return NewOrder(frozenset(judged.tolist()), [*wanted, *dropped], wanted)


def _chosen(round: Round, store: EmbeddingStore, judged: np.ndarray) -> list[Chosen]:
    """Return the best of what waits and of all that may come in its place, as many as wait."""
    known_N, settled = store.known_N, _settled(store)
    queued = np.fromiter(round.items.values_list("recording", flat=True).distinct(), dtype=np.int64)
    votes_SN = core.rescore(store.features_NR, known_N["patient"], known_N["given"], settled)
    rows_P = np.flatnonzero(_may_come(round, store, settled, queued, judged))
    return select(
        _pool(round, store, rows_P, votes_SN[:, rows_P]), judged.size, round.strategy, 0.0, round.seed,
        readers_per_item=round.readers_per_item,
        embedding_of=lambda ids: store.embeddings_ND[store.rows_of(ids)],
        taken=store.ids_N[_found(store, np.setdiff1d(queued, judged))],
    )  # fmt: skip


def _may_come(
    round: Round, store: EmbeddingStore, settled: core.Settled, queued: np.ndarray, judged: np.ndarray
) -> np.ndarray:
    """Return a mark ``[N]`` of what may stand in the waiting places: what the files know, and people decided since."""
    known_N = store.known_N
    of_round_N = np.isin(known_N["dataset"], list(round.datasets.values_list("pk", flat=True)))
    of_round_N &= known_N["split"] == SPLITS.index(round.split)
    may_N = of_round_N & known_N["readable"]
    may_N[settled.rows_K] = False
    put_back, refused = embeddings.decided()
    rows = _found(store, put_back)
    may_N[rows] = of_round_N[rows]
    for ids in (refused, queued):
        may_N[_found(store, ids)] = False
    may_N[_found(store, judged)] = True
    return may_N


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
    """Return the columns that the selection orders by, abnormal judged anew.

    No head of another label is fitted again, so `label_set_error` is that of two labels: abnormal, and the one of the
    others that the scoring run contradicted most, with the confidence it had then.
    """
    known_P, ids_P = store.known_N[rows_P], store.ids_N[rows_P]
    given_P, probability_P = known_P["given"].astype(np.int64), votes_SP.mean(axis=0, dtype=np.float64)
    other_P = np.exp(-known_P["doubt"].astype(np.float64))  # confidence in the other label; NaN where it is believed
    columns = {
        "probability": probability_P,
        "label_error": scores.label_error_scores(given_P, probability_P),
        "label_set_error": scores.label_set_scores(
            np.column_stack([given_P, np.where(np.isnan(other_P), scores.UNKNOWN, 1)]),
            np.column_stack([probability_P, other_P]),
        ),
        "entropy": scores.entropy(probability_P),
    }
    if round.strategy == Round.Strategy.COMMITTEE:
        columns["epistemic"] = scores.disagreement(votes_SP)

    def describe(ids: np.ndarray) -> list[Candidate]:
        at = np.searchsorted(ids_P, ids)
        doubts = candidates.doubts(round, ids[~np.isnan(other_P[at])])
        votes = (votes_SP[:, at] > 0.5).sum(axis=0).tolist()
        rows = zip(*(column[at].tolist() for column in columns.values()), strict=True)
        return [
            Candidate(
                id=pk, given=None if given == scores.UNKNOWN else bool(given), votes=for_it, models=len(votes_SP),
                doubt=doubts.get(pk), **dict(zip(columns, numbers, strict=True)),
            )
            for pk, given, for_it, numbers in zip(ids.tolist(), given_P[at].tolist(), votes, rows, strict=True)
        ]  # fmt: skip

    error_P = np.nan_to_num(label_error(Pool(ids_P, given_P, columns, describe)))
    doubtful = np.argsort(-error_P, kind="stable")[:CODED_MAX]
    coded_M2 = candidates.coded(ids_P, doubtful[error_P[doubtful] > DISBELIEVED_NATS])
    return Pool(ids_P, given_P, columns, describe, known_P["centre"], coded_M2)
