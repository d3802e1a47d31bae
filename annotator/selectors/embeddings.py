"""What a checkpoint's embeddings are read from, and what has been settled since: streams and columns, no objects.

Axes: B recordings of a block by rising id, K settled recordings.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from django.db import connection
from django.db.models import Count, Func, IntegerField, Max, Q

from annotator.models import Checkpoint, Consensus, Prediction, QualityDecision, Round, ScoringRun
from annotator.models.annotations import Overall
from annotator.models.jobs import JobState
from ecgfm_core.active.embedding_store import KNOWN, SPLITS, Block

BLOCK_BYTES = 8 << 20
SIGNATURE = b"PGCOPY\n\xff\r\n\0"
HEADER_BYTES = len(SIGNATURE) + 8  # flags, and the length of an extension that nobody writes
FIELDS = tuple(KNOWN.names or ())
VALUE = {Overall.NORMAL: 0, Overall.ABNORMAL: 1, Overall.UNREADABLE: -1}
# In the order of embedding_store.KNOWN. A patient nobody knows is a patient of their own, and a centre is one of its
# dataset. No label of the test split is learned from. `doubt`: cross-entropy of the label that is believed least.
ROWS = f"""
COPY (
    SELECT said.recording_id, recording.dataset_id,
        hashtextextended(coalesce(nullif(recording.patient_hash, ''), 'r' || recording.id), 0),
        hashtextextended(recording.dataset_id || ' ' || recording.centre, 0),
        array_position(ARRAY{list(SPLITS)}::text[], recording.split::text)::bigint - 1,
        (NOT recording.quality @> '{{"readable": false}}')::int::bigint,
        CASE WHEN recording.split <> 'test' AND recording.source_abnormal IS NOT NULL
             THEN recording.source_abnormal::int::bigint ELSE -1 END,
        CASE (said.label_error_detail #>> '{{doubt,given}}')::int
             WHEN 1 THEN -ln(greatest((said.label_error_detail #>> '{{doubt,probability}}')::float8, 1e-6))
             WHEN 0 THEN -ln(greatest(1 - (said.label_error_detail #>> '{{doubt,probability}}')::float8, 1e-6))
             ELSE 'NaN' END::float8,
        said.embedding
    FROM annotator_prediction said JOIN annotator_recording recording ON recording.id = said.recording_id
    WHERE said.checkpoint_id = %s ORDER BY said.recording_id
) TO STDOUT (FORMAT BINARY)
"""  # noqa: S608 - our own words


def stamp(checkpoint_id: int, ending: ScoringRun | None = None) -> list[int | None]:
    """Return what changes when a scoring run of the checkpoint ends; `ending` counts as one that has."""
    ended = Q(state=JobState.FINISHED) | Q(pk=ending.pk if ending else None)
    runs = ScoringRun.objects.filter(ended, checkpoint=checkpoint_id)
    return list(runs.aggregate(count=Count("pk"), newest=Max("pk")).values())


def disused() -> list[int]:
    """Return the retired checkpoints that no round uses which is open or may yet be."""
    used = Round.objects.exclude(state=Round.State.CLOSED).filter(checkpoint__isnull=False).values("checkpoint")
    retired = Checkpoint.objects.filter(state=Checkpoint.State.RETIRED).exclude(pk__in=used)
    return list(retired.order_by("pk").values_list("pk", flat=True))


def blocks(checkpoint_id: int) -> Iterator[Block]:
    """Yield ids, what is fixed of the recordings, and embeddings, as `embedding_store.write` takes them."""
    width = Func("embedding", function="vector_dims", output_field=IntegerField())
    first = Prediction.objects.filter(checkpoint=checkpoint_id).annotate(width=width).values_list("width").first()
    if first is None:
        return
    row, buffer = _row(*first), bytearray()
    with connection.cursor() as cursor, cursor.copy(ROWS, [checkpoint_id]) as copy:
        for message in copy:
            buffer += message
            if len(buffer) > BLOCK_BYTES:
                yield _block(buffer, row)
        yield _block(buffer, row)


def _row(width: int) -> np.dtype[Any]:
    """Return how PostgreSQL writes a row in binary: each field with its length before it."""
    fields = [("field_count", ">i2")]
    for name in ("id", *FIELDS):
        fields += [(f"{name}_bytes", ">i4"), (name, ">f8" if name == "doubt" else ">i8")]
    vector = [("vector_bytes", ">i4"), ("dimensions", ">i2"), ("unused", ">i2"), ("vector", ">f2", (width,))]
    return np.dtype([*fields, *vector])


def _block(buffer: bytearray, row: np.dtype[Any]) -> Block:
    """Take the whole rows out of the buffer, and before the first the header; the trailer stays."""
    if buffer.startswith(SIGNATURE):
        del buffer[:HEADER_BYTES]
    count = len(buffer) // row.itemsize
    rows_B = np.frombuffer(bytes(buffer[: count * row.itemsize]), dtype=row)
    del buffer[: count * row.itemsize]
    known_B = np.empty(count, dtype=KNOWN)
    for name in FIELDS:
        known_B[name] = rows_B[name]
    return rows_B["id"].astype(np.int64), known_B, rows_B["vector"]


def decided() -> tuple[np.ndarray, np.ndarray]:
    """Return the recordings that an admin put back into the pool, and those confirmed as unreadable."""
    rows = QualityDecision.objects.order_by("recording").values_list("recording", "readable")
    found: tuple[list[int], list[int]] = ([], [])
    for pk, readable in rows:
        found[not readable].append(pk)
    return np.array(found[0], dtype=np.int64), np.array(found[1], dtype=np.int64)


def settled() -> tuple[np.ndarray, np.ndarray]:
    """Return the recordings ``[K]`` that readers settled, with 0 normal, 1 abnormal or -1 unreadable of the newest."""
    newest = Consensus.objects.order_by("recording_id", "-pk").distinct("recording_id")
    rows = list(newest.values_list("recording_id", "overall"))
    ids_K = np.array([pk for pk, _ in rows], dtype=np.int64)
    return ids_K, np.array([VALUE[Overall(overall)] for _, overall in rows], dtype=np.int8)
