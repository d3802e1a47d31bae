"""What a round may choose from, with what is known of each recording; a million of them are columns.

Axes: N recordings by rising id, M pairs of a recording and a code, D embedding width.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
from django.db.models import F, FilteredRelation, Q, QuerySet, Value
from django.db.models.functions import Coalesce

from annotator.models import Label, Prediction, Recording, Round, SourceLabel
from annotator.models.annotations import Overall
from annotator.selectors import quality, training_pool
from ecgfm_core.active.candidates import UNKNOWN, Candidate, Doubt, Pool
from ecgfm_core.active.quotas import DISBELIEVED_NATS

CHUNK = 5_000
CHUNK_EMBEDDINGS = 500  # a row is a list of numbers for a moment
# Columns of the prediction that strategies order by.
ORDERED_BY = ("label_error", "label_set_error", "entropy", "epistemic", "novelty")
ROW = np.dtype([("id", "i8"), ("given", "i1"), ("centre", "i4"), *((name, "f8") for name in ORDERED_BY)])
GIVEN = {None: UNKNOWN, False: 0, True: 1}


def readable(round_: Round) -> QuerySet[Recording]:
    """Return the readable recordings of a round's datasets and split."""
    rows = Recording.objects.filter(dataset__rounds=round_, split=round_.split)
    return quality.readable(rows)


def pool(round_: Round) -> QuerySet[Recording]:
    """Return what a round may choose from: settled recordings only to draw at random."""
    if round_.strategy == Round.Strategy.RANDOM:
        return readable(round_)
    return quality.settled(readable(round_))


def columns(round_: Round) -> Pool:
    """Return what may be chosen as columns; centres and codes only where the strategy keeps places for them."""
    describe = partial(_describe, round_)
    if round_.strategy == Round.Strategy.RANDOM:
        ids_N = np.fromiter(_streamed(pool(round_).order_by("pk").values_list("pk", flat=True)), dtype=np.int64)
        return Pool(ids_N, np.full(ids_N.size, UNKNOWN, dtype=np.int8), {}, describe)
    rows_N = np.fromiter(_rows(round_), dtype=ROW)
    coded_M2 = _coded(rows_N) if round_.strategy == Round.Strategy.RELABEL else None
    scores = {name: rows_N[name] for name in ORDERED_BY}
    return Pool(rows_N["id"], rows_N["given"], scores, describe, rows_N["centre"], coded_M2)


def _rows(round_: Round) -> Iterator[tuple[Any, ...]]:
    """Yield the fields of ROW, by rising id; a centre is one of its dataset."""
    said = FilteredRelation("predictions", condition=Q(predictions__checkpoint=round_.checkpoint_id))
    scores = {f"said_{name}": Coalesce(F(f"said__{name}"), Value(float("nan"))) for name in ORDERED_BY}
    rows = pool(round_).annotate(said=said).annotate(**scores).order_by("pk")
    centres: dict[tuple[int, str], int] = {}
    for pk, given, dataset, centre, *numbers in _streamed(
        rows.values_list("pk", "source_abnormal", "dataset_id", "centre", *scores)
    ):
        yield (pk, GIVEN[given], centres.setdefault((dataset, centre), len(centres)), *numbers)


def _streamed(rows: QuerySet[Any, Any]) -> Iterator[Any]:
    return iter(rows.iterator(chunk_size=CHUNK))


def _chunks(ids: np.ndarray) -> Iterator[list[int]]:
    return (ids[first : first + CHUNK].tolist() for first in range(0, ids.size, CHUNK))


def _coded(rows_N: np.ndarray) -> np.ndarray:
    """Return pairs ``[M, 2]`` of a row and the number of a code on file, for rows whose label the models disbelieve."""
    doubtful = np.fmax(rows_N["label_error"], rows_N["label_set_error"]) > DISBELIEVED_NATS
    return coded(rows_N["id"], np.flatnonzero(doubtful))


def coded(ids_N: np.ndarray, rows_K: np.ndarray) -> np.ndarray:
    """Return pairs ``[M, 2]`` of a row and the number of a code on file, of some rows of recordings by rising id."""
    codes: dict[str, int] = {}
    pairs: list[tuple[int, int]] = []
    for some in _chunks(ids_N[rows_K]):
        labels = SourceLabel.objects.filter(recording__in=some).exclude(code="").values_list("recording", "code")
        pairs += [(pk, codes.setdefault(code, len(codes))) for pk, code in labels.order_by("pk").iterator(CHUNK)]
    coded_M2 = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    coded_M2[:, 0] = np.searchsorted(ids_N, coded_M2[:, 0])
    return coded_M2


def embeddings(round_: Round, ids: np.ndarray) -> np.ndarray:
    """Return the embeddings ``[N, D]`` of recordings by the round's checkpoint, in that order; NaN where none is."""
    found: dict[int, np.ndarray] = {}
    for some in _chunks(ids):
        rows = Prediction.objects.filter(checkpoint=round_.checkpoint_id, recording__in=some)
        for pk, vector in rows.values_list("recording", "embedding").iterator(CHUNK_EMBEDDINGS):
            found[pk] = np.array(vector, dtype=np.float32)
    width = len(next(iter(found.values()), ()))
    unknown = np.full(width, np.nan, dtype=np.float32)
    return np.array([found.get(pk, unknown) for pk in ids.tolist()], dtype=np.float32).reshape(ids.size, width)


def _describe(round_: Round, ids: np.ndarray) -> Sequence[Candidate]:
    """Return what is known of recordings, in the order of the ids, for the reasons."""
    names = label_names(round_)
    found = {}
    for some in _chunks(ids):
        said = _predictions(round_, some, names)
        settled = {row.recording_id: row.overall for row in training_pool.newest_consensus(some)}
        for pk, source_abnormal, centre in Recording.objects.filter(pk__in=some).values_list(
            "pk", "source_abnormal", "centre"
        ):
            overall = settled.get(pk)
            given = source_abnormal if overall in (None, Overall.UNREADABLE) else overall == Overall.ABNORMAL
            found[pk] = Candidate(id=pk, given=given, centre=centre, **said.get(pk, {}))
    return [found[pk] for pk in ids.tolist()]


def _predictions(round_: Round, ids: Sequence[int], names: dict[str, str]) -> dict[int, dict[str, Any]]:
    """Return what the round's checkpoint said of recordings, cross-fitted where it could be."""
    rows = Prediction.objects.filter(checkpoint=round_.checkpoint_id, recording__in=ids)
    fields = ("recording", "abnormal_probability", "crossfit_abnormal_probability", "label_error_detail", "aum")
    found = {}
    for pk, plain, crossfit, detail, aum, *numbers in rows.values_list(*fields, *ORDERED_BY):
        found[pk] = {
            "probability": plain if crossfit is None else crossfit,
            "votes": detail.get("votes", 0),
            "models": detail.get("models", 0),
            "doubt": _doubt(detail.get("doubt"), names),
            "aum": aum,
            **dict(zip(ORDERED_BY, numbers, strict=True)),
        }
    return found


def _doubt(said: dict[str, Any] | None, names: dict[str, str]) -> Doubt | None:
    if not said:
        return None
    voters = {name: said.get(name, 0) for name in ("votes", "models")}
    return Doubt(names.get(said["code"], said["code"]), said["probability"], bool(said["given"]), **voters)


def doubts(round_: Round, ids: np.ndarray) -> dict[int, Doubt | None]:
    """Return the label most in doubt of each of these recordings, as the round's checkpoint scored it."""
    names, found = label_names(round_), {}
    for some in _chunks(ids):
        rows = Prediction.objects.filter(checkpoint=round_.checkpoint_id, recording__in=some)
        for pk, detail in rows.values_list("recording", "label_error_detail"):
            found[pk] = _doubt(detail.get("doubt"), names)
    return found


def label_names(round_: Round) -> dict[str, str]:
    """Return the name of each code of the round's label scheme."""
    return dict(Label.objects.filter(scheme=round_.scheme_id).values_list("code", "name"))
