"""Scoring runs and the predictions they leave."""

from collections.abc import Iterable

from django.db import connection, transaction

from annotator.errors import InvalidInput
from annotator.models import Checkpoint, Dataset, ScoringRun, User
from annotator.services import audit, job_state
from annotator.services.prediction_copy import COLUMNS, PredictionBatch, encode

KEY = COLUMNS[:2]
_LIST = ", ".join(COLUMNS)
_CREATE = f"CREATE TEMP TABLE incoming ON COMMIT DROP AS SELECT {_LIST} FROM annotator_prediction WITH NO DATA"  # noqa: S608
_COPY = f"COPY incoming ({_LIST}) FROM STDIN (FORMAT BINARY)"
_UPSERT = (
    f"INSERT INTO annotator_prediction ({_LIST}) SELECT {_LIST} FROM incoming "  # noqa: S608
    f"ON CONFLICT ({', '.join(KEY)}) DO UPDATE SET "
    + ", ".join(f"{name} = EXCLUDED.{name}" for name in COLUMNS if name not in KEY)
)


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
def store_predictions(*, run: ScoringRun, attempt: int, rows: PredictionBatch) -> int:
    """Write predictions by COPY, over those the checkpoint made before; refuses a worker that has lost the run."""
    job_state.beat(run, attempt)
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS incoming")
        cursor.execute(_CREATE)
        with cursor.copy(_COPY) as copy:
            for block in encode(run.checkpoint_id, rows):
                copy.write(block)
        cursor.execute(_UPSERT)
        return int(cursor.rowcount)
