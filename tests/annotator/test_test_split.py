"""The test split judges models and teaches nothing: no training, no weight, no retraining rule sees its readings."""

import pytest

from annotator.models import Recording, TrainingRun
from annotator.models.jobs import JobState
from annotator.selectors import source_weights, training_pool
from annotator.selectors.loop import corrections_since_training
from annotator.services import checkpoints, rounds
from ecgfm_core.active.doubt import known
from tests.annotator.gate_world import checkpoint
from tests.annotator.reading_world import AF, make_round, person, read, says

pytestmark = pytest.mark.django_db


@pytest.fixture
def read_test_split():
    """A closed round of three corrected recordings, all of the test split, all audited."""
    turn = make_round(3, audit=3)
    Recording.objects.update(split=Recording.Split.TEST)
    checkpoint("current")
    ann = person("ann")
    for _ in range(3):
        read(ann, says(AF))
    rounds.close_round(round=turn, by=turn.created_by)
    return turn


def test_its_corrections_start_no_training_and_stand_in_no_provenance(read_test_split, settings):
    settings.RETRAIN_AFTER_CORRECTIONS = 1
    TrainingRun.objects.update(state=JobState.FINISHED)
    assert read_test_split.report["corrections"]["count"] == 3
    assert checkpoints.retrain_when_due() is None
    assert corrections_since_training() == 0
    assert not training_pool.corrections([Recording.objects.first().dataset_id]).exists()


def test_its_audits_weigh_no_source(read_test_split):
    assert source_weights.weights([Recording.objects.first().dataset_id]) == {}


def test_its_labels_are_given_to_no_head(read_test_split):
    entries = list(training_pool.manifest_entries([Recording.objects.first().dataset_id]))
    assert {entry.abnormal for entry in entries} == {1}, "what holds is in the manifest, to be judged by"
    assert set(known(lambda: entries).given_N.tolist()) == {-1}
