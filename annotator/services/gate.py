"""Writing down what was found of a checkpoint on the frozen test split."""

from django.db import connection, transaction

from annotator.models import Checkpoint
from annotator.selectors import gate, model_metrics

JUDGE_LOCK = 0x6A7E  # first half of the lock that those who judge one checkpoint hold


@transaction.atomic
def judge(*, checkpoint: Checkpoint) -> bool:
    """Store a checkpoint's figures on the test split, and how it compares with the current one; False if another does."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s, %s)", [JUDGE_LOCK, checkpoint.pk])
        if not cursor.fetchone()[0]:
            return False
    current = gate.current_checkpoint()
    found = {"test_metrics": model_metrics.test_metrics(checkpoint)}
    if current is not None and current != checkpoint:
        found["gate"] = model_metrics.comparison(checkpoint, current)
    Checkpoint.objects.filter(pk=checkpoint.pk).update(**found)
    return True
