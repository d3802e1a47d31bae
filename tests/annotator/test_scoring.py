"""Predictions by COPY: every value as given, no doubles when written twice, refused to a worker that lost the run."""

import numpy as np
import pytest

from annotator.errors import WrongState
from annotator.models import Checkpoint, Prediction, ScoringRun, TrainingRun
from annotator.models.jobs import JobState
from annotator.services import checkpoints, job_state
from annotator.services.prediction_copy import PredictionBatch
from annotator.services.schemes import ensure_scheme
from ecgfm_core.active.meanings import NAMES
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
        "details": [{"votes": 2, "words": "é\u4e2d"}] * count,
        "texts": ["sinus\trhythm\\N\n ü"] * count,
        "scores": {
            name: np.where(rng.random(count) < 0.6, rng.random(count), np.nan)
            if name != "entropy"
            else rng.random(count)
            for name in NAMES
        },
    }
    return PredictionBatch(**{**values, **changes})


def test_every_value_arrives(run):
    ids = [row.pk for row in recordings(9)]
    attempt = job_state.take(ScoringRun, run.pk)
    given = batch(ids)
    assert checkpoints.store_predictions(run=run, attempt=attempt, rows=given) == 9
    for row, one in enumerate(Prediction.objects.order_by("recording")):
        assert one.recording_id == ids[row]
        assert one.abnormal_probability == given.abnormal_probability_N[row]
        assert one.label_probabilities == given.label_probabilities_NC[row].tolist()
        assert np.array_equal(np.asarray(one.embedding, dtype=np.float16), given.embedding_ND[row])
        for name in NAMES:
            value = given.scores[name][row]
            assert getattr(one, name) == (None if np.isnan(value) else value), name
        assert one.label_error_detail == {"votes": 2, "words": "é\u4e2d"}
        assert one.generated_text == "sinus\trhythm\\N\n ü"
    assert {None} < {getattr(one, name) for one in Prediction.objects.all() for name in NAMES}


def test_a_score_left_out_is_none_and_an_unknown_one_is_refused(run):
    [row] = recordings(1)
    attempt = job_state.take(ScoringRun, run.pk)
    checkpoints.store_predictions(run=run, attempt=attempt, rows=batch([row.pk], scores={"entropy": np.array([0.5])}))
    one = Prediction.objects.get()
    assert (one.entropy, one.label_error, one.novelty) == (0.5, None, None)
    with pytest.raises(ValueError, match="no prediction has a column beauty; the columns are crossfit_abnormal"):
        batch([row.pk], scores={"beauty": np.array([0.5])})


def test_writing_again_replaces_and_doubles_nothing(run):
    ids = [row.pk for row in recordings(700)]
    attempt = job_state.take(ScoringRun, run.pk)
    checkpoints.store_predictions(run=run, attempt=attempt, rows=batch(ids))
    checkpoints.store_predictions(run=run, attempt=attempt, rows=batch(ids, scores={"entropy": np.full(700, 0.5)}))
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
