"""Scoring runs and the predictions they leave."""

from collections.abc import Iterable

from django.db import connection, transaction

from annotator.errors import InvalidInput
from annotator.models import ArrivalBatch, Checkpoint, Dataset, ScoringRun, User
from annotator.services import audit, job_state
from annotator.services.prediction_copy import COLUMNS, PredictionBatch, encode

_COPY = f"COPY annotator_prediction ({', '.join(COLUMNS)}) FROM STDIN (FORMAT BINARY)"
_DELETE = "DELETE FROM annotator_prediction WHERE checkpoint_id = %s AND recording_id = ANY(%s)"
WRITE_LOCK = 0x5C04E  # first half of the advisory lock that writers of one checkpoint's predictions queue up on


def datasets_of(dataset_ids: Iterable[int]) -> list[Dataset]:
    """Return the datasets with these ids; refuses none at all and unknown ones."""
    wanted = set(dataset_ids)
    if not wanted:
        raise InvalidInput("Choose at least one dataset.")
    found = list(Dataset.objects.filter(pk__in=wanted).order_by("pk"))
    if missing := sorted(wanted - {row.pk for row in found}):
        raise InvalidInput(f"No dataset has the id {', '.join(map(str, missing))}. Choose from the list of datasets.")
    return found


@transaction.atomic
def start_scoring(*, checkpoint: Checkpoint, dataset_ids: Iterable[int], by: User | None) -> ScoringRun:
    """Queue one pass of a checkpoint over datasets; refuses unknown datasets."""
    found = datasets_of(dataset_ids)
    run = ScoringRun.objects.create(checkpoint=checkpoint, created_by=by)
    run.datasets.set(found)
    audit.record(actor=by, action="scoring started", target=run, checkpoint=checkpoint.pk)
    job_state.submit(run)
    return run


@transaction.atomic
def store_predictions(*, run: ScoringRun | ArrivalBatch, attempt: int, rows: PredictionBatch) -> int:
    """Write predictions by COPY, over those the checkpoint made before; refuses a worker that has lost the run."""
    job_state.beat(run, attempt)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [WRITE_LOCK, run.checkpoint_id])
        cursor.execute(_DELETE, [run.checkpoint_id, rows.recording_ids.tolist()])
        with cursor.copy(_COPY) as copy:
            for block in encode(run.checkpoint_id, rows):
                copy.write(block)
        return int(cursor.rowcount)
