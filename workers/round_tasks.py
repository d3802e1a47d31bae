"""Tasks that need a model: train, score, choose."""

from celery import shared_task

from annotator.models import ArrivalBatch, Checkpoint, ScoringRun, TrainingRun
from annotator.selectors import gate
from annotator.services import gate as service
from annotator.services import job_state
from workers import arriving, filling, recovery, scoring, training


@shared_task(name="train")
def train(row_id: int) -> None:
    """Train a model."""
    if attempt := job_state.take(TrainingRun, row_id):
        run = TrainingRun.objects.get(pk=row_id)
        with recovery.words_of_failure(run, attempt):
            training.train(run, attempt)


@shared_task(name="score_pool")
def score_pool(row_id: int) -> None:
    """Score the recordings of some datasets with a checkpoint."""
    if attempt := job_state.take(ScoringRun, row_id):
        run = ScoringRun.objects.get(pk=row_id)
        with recovery.words_of_failure(run, attempt):
            scoring.score(run, attempt)


@shared_task(name="score_arrivals")
def score_arrivals(row_id: int) -> None:
    """Score what has arrived in a prospective test."""
    if attempt := job_state.take(ArrivalBatch, row_id):
        batch = ArrivalBatch.objects.select_related("test__checkpoint__run", "test__dataset").get(pk=row_id)
        with recovery.words_of_failure(batch, attempt):
            arriving.score(batch, attempt)


@shared_task(name="judge_checkpoint")
def judge_checkpoint(row_id: int) -> None:
    """Compare a checkpoint with the current one on the test split."""
    service.judge(checkpoint=Checkpoint.objects.get(pk=row_id))


@shared_task(name="judge_when_due")
def judge_when_due() -> None:
    """Compare the checkpoints whose scores, labels or rival have changed."""
    for checkpoint in gate.due():
        service.judge(checkpoint=checkpoint)


@shared_task(name="fill_round")
def fill_round(row_id: int) -> None:
    """Choose what a round reads."""
    filling.fill(row_id)
