"""Two who decide the same thing at once: which checkpoint is current, whether a training is due."""

import threading
from collections.abc import Callable

import pytest
from django.db import connection

from annotator.errors import WrongState
from annotator.models import Checkpoint, Role, TrainingRun
from annotator.models.jobs import JobState
from annotator.services import checkpoints
from tests.annotator.reading_world import AF, make_round, person, read, recordings, says, scheme

pytestmark = pytest.mark.django_db(transaction=True)
RUNS = 4


def checkpoint(state: str) -> Checkpoint:
    run = checkpoints.start_training(
        config_name="tiny_cpu", config={}, dataset_ids=[recordings(1)[0].dataset_id], seed=0, by=None
    )
    TrainingRun.objects.filter(pk=run.pk).update(state=JobState.FINISHED)
    return Checkpoint.objects.create(run=run, state=state, path="x", sha256="0", label_codes=[], provenance={})


def at_once(*calls: Callable[[], object]) -> list[object]:
    """Call all from threads of their own; return what came, errors too."""
    start, came = threading.Barrier(len(calls)), []

    def one(call: Callable[[], object]) -> None:
        start.wait()
        try:
            came.append(call())
        except Exception as error:
            came.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=one, args=[call]) for call in calls]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    return came


def test_of_many_promotions_at_once_the_last_holds_and_none_breaks():
    scheme()
    checkpoint("current")
    rows, admin = [checkpoint("candidate") for _ in range(RUNS)], person("boss", Role.ADMIN)
    came = at_once(*(lambda row=row: checkpoints.promote(checkpoint=row, by=admin) for row in rows))
    assert all(isinstance(one, Checkpoint) for one in came), came
    assert Checkpoint.objects.filter(state="current").count() == 1
    again = at_once(*(lambda: checkpoints.go_back(by=admin) for _ in range(2)))
    assert all(isinstance(one, Checkpoint | WrongState) for one in again), again
    assert Checkpoint.objects.filter(state="current").count() == 1


def test_two_schedulers_start_one_training(settings):
    settings.RETRAIN_AFTER_CORRECTIONS = 1
    make_round(1)
    checkpoint("current")
    read(person("ann"), says(AF))
    came = at_once(*(checkpoints.retrain_when_due for _ in range(RUNS)))
    assert [one for one in came if one is not None] == [TrainingRun.objects.latest("pk")]
    assert TrainingRun.objects.count() == 2
