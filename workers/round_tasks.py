"""Tasks that need a model: train, score, choose."""

from celery import shared_task

from annotator.models import ArrivalBatch, Reranking, ScoringRun, TrainingRun
from annotator.services import job_state
from annotator.services import reranking as rerankings
from workers import arriving, filling, recovery, reranking, scoring, training


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


@shared_task(name="fill_round")
def fill_round(row_id: int) -> None:
    """Choose what a round reads."""
    filling.fill(row_id)


@shared_task(name="rerank_round")
def rerank_round(row_id: int) -> None:
    """Put what waits in an open round into a new order."""
    if attempt := rerankings.take(row_id):
        run = Reranking.objects.get(pk=row_id)
        with recovery.words_of_failure(run, attempt):
            reranking.rerank(run, attempt)
        rerankings.send_waiting(run.round_id)
