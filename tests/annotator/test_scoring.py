"""Predictions by COPY: every value as given, no doubles when written twice, refused to a worker that lost the run."""

import numpy as np
import pytest

from annotator.errors import WrongState
from annotator.models import Checkpoint, Prediction, ScoringRun, TrainingRun
from annotator.models.jobs import JobState
from annotator.services import checkpoints, job_state
from annotator.services.prediction_copy import PredictionBatch
from annotator.services.schemes import ensure_scheme
from tests.annotator.reading_world import recordings

pytestmark = pytest.mark.django_db


@pytest.fixture
def run() -> ScoringRun:
    training = TrainingRun.objects.create(config_name="tiny_cpu", scheme=ensure_scheme(), state=JobState.FINISHED)
    made = Checkpoint.objects.create(run=training, path="x", sha256="0", label_codes=["a", "b"], provenance={})
    return ScoringRun.objects.create(checkpoint=made)


def batch(ids: list[int], width: int = 8, labels: int = 2, **changes: object) -> PredictionBatch:
    rng, count = np.random.default_rng(1), len(ids)
    values = {
        "recording_ids": np.array(ids),
        "abnormal_probability_N": rng.random(count),
        "label_probabilities_NC": rng.random((count, labels)),
        "embedding_ND": rng.normal(size=(count, width)).astype(np.float16),
        "crossfit_N": np.where(np.arange(count) % 2 == 0, 0.25, np.nan),
        "label_error_N": np.where(np.arange(count) % 2 == 0, 1.5, np.nan),
        "entropy_N": rng.random(count),
        "details": [{"votes": 2, "words": "é\u4e2d"}] * count,
        "texts": ["sinus\trhythm\\N\n ü"] * count,
    }
    return PredictionBatch(**{**values, **changes})


def test_every_value_arrives(run):
    ids = [row.pk for row in recordings(5)]
    attempt = job_state.take(ScoringRun, run.pk)
    given = batch(ids)
    assert checkpoints.store_predictions(run=run, attempt=attempt, rows=given) == 5
    for row, one in enumerate(Prediction.objects.order_by("recording")):
        assert one.recording_id == ids[row]
        assert one.abnormal_probability == given.abnormal_probability_N[row]
        assert one.label_probabilities == given.label_probabilities_NC[row].tolist()
        assert np.array_equal(np.asarray(one.embedding, dtype=np.float16), given.embedding_ND[row])
        assert one.crossfit_abnormal_probability == (0.25 if row % 2 == 0 else None)
        assert one.label_error == (1.5 if row % 2 == 0 else None)
        assert one.label_error_detail == {"votes": 2, "words": "é\u4e2d"}
        assert one.generated_text == "sinus\trhythm\\N\n ü"


def test_writing_again_replaces_and_doubles_nothing(run):
    ids = [row.pk for row in recordings(700)]
    attempt = job_state.take(ScoringRun, run.pk)
    checkpoints.store_predictions(run=run, attempt=attempt, rows=batch(ids))
    checkpoints.store_predictions(run=run, attempt=attempt, rows=batch(ids, entropy_N=np.full(700, 0.5)))
    assert Prediction.objects.count() == 700
    assert set(Prediction.objects.values_list("entropy", flat=True)) == {0.5}


def test_no_labels_and_an_empty_batch(run):
    attempt = job_state.take(ScoringRun, run.pk)
    assert checkpoints.store_predictions(run=run, attempt=attempt, rows=batch([])) == 0
    one = recordings(1)[0]
    checkpoints.store_predictions(run=run, attempt=attempt, rows=batch([one.pk], labels=0))
    assert Prediction.objects.get().label_probabilities == []


def test_a_worker_that_lost_the_run_writes_nothing(run):
    attempt = job_state.take(ScoringRun, run.pk)
    ScoringRun.objects.filter(pk=run.pk).update(attempt=attempt + 1)
    with pytest.raises(WrongState):
        checkpoints.store_predictions(run=run, attempt=attempt, rows=batch([recordings(1)[0].pk]))
    assert not Prediction.objects.exists()
