"""Writing down what takes a worker to find out: a checkpoint's figures on the test split, a round's estimates."""

from django.db import connection, transaction

from annotator.models import Checkpoint, Round
from annotator.selectors import gate, model_metrics, stopping

JUDGE_LOCK, ESTIMATE_LOCK = 0x6A7E, 0x57019  # first halves of the locks that those who measure one row hold


@transaction.atomic
def judge(*, checkpoint: Checkpoint) -> bool:
    """Store a checkpoint's figures on the test split and its gate; False where another process is at it."""
    if not _alone(JUDGE_LOCK, checkpoint.pk):
        return False
    current = gate.current_checkpoint()
    found = {"test_metrics": model_metrics.test_metrics(checkpoint)}
    if current is not None and current != checkpoint:
        found["gate"] = model_metrics.comparison(checkpoint, current)
    Checkpoint.objects.filter(pk=checkpoint.pk).update(**found)
    return True


@transaction.atomic
def estimate(*, round: Round) -> bool:
    """Store what is left to find in a round's pool; False where another process is at it."""
    if not _alone(ESTIMATE_LOCK, round.pk):
        return False
    Round.objects.filter(pk=round.pk).update(estimate=stopping.estimate(round))
    return True


def _alone(lock: int, pk: int) -> bool:
    """Whether nobody else measures this row; until the transaction ends nobody will."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s, %s)", [lock, pk])
        return bool(cursor.fetchone()[0])
