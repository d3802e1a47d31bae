"""What the workers register, and what finds lost work."""

import threading

import pytest
from django.db import connection

from annotator import jobs
from annotator.models import Round
from annotator.services.job_state import TASK_OF
from tests.annotator.reading_world import make_round
from workers import filling, recovery
from workers.app import app


def test_the_workers_register_what_the_web_side_sends():
    app.loader.import_default_modules()
    assert {name for name in app.tasks if not name.startswith("celery.")} == set(jobs.TASKS)
    assert set(TASK_OF.values()) < set(jobs.TASKS)
    assert {entry["task"] for entry in app.conf.beat_schedule.values()} == {
        "measure_when_due", "recover_jobs", "release_leases", "retrain_when_due", "watch_folders",
    }  # fmt: skip
    for name, queue in jobs.TASKS.items():
        assert app.amqp.router.route({}, name)["queue"].name == queue


def test_messages_are_taken_early_one_at_a_time_as_json():
    assert not app.conf.task_acks_late
    assert app.conf.worker_prefetch_multiplier == 1
    assert app.conf.accept_content == ["json"]
    assert app.conf.task_ignore_result


@pytest.fixture
def filling_round(transactional_db) -> Round:
    turn = make_round(3, is_open=False)
    turn.items.all().delete()
    Round.objects.filter(pk=turn.pk).update(state=Round.State.FILLING)
    return turn


def purge() -> int:
    with jobs._client.connection_for_write() as broker:
        try:
            return broker.default_channel.queue_purge(jobs.TASKS["fill_round"])
        except broker.channel_errors:
            return 0


def test_a_round_whose_filling_was_lost_is_sent_again(filling_round):
    purge()
    recovery.recover()
    recovery.recover()
    assert purge() == 1


def test_a_round_is_filled_once_however_many_messages_came(filling_round):
    start = threading.Barrier(4)

    def fill() -> None:
        start.wait()
        filling.fill(filling_round.pk)
        connection.close()

    threads = [threading.Thread(target=fill) for _ in range(4)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    filling_round.refresh_from_db()
    assert filling_round.state == Round.State.FILLED
    assert filling_round.items.count() == 3


def test_a_round_that_can_not_be_filled_goes_back_to_draft_in_words(filling_round):
    filling_round.datasets.first().recordings.update(quality={"readable": False})
    filling.fill(filling_round.pk)
    filling_round.refresh_from_db()
    assert filling_round.state == Round.State.DRAFT
    assert filling_round.failure


def test_filling_a_round_that_waits_for_nothing_changes_nothing(transactional_db):
    turn = make_round(2)
    filling.fill(turn.pk)
    turn.refresh_from_db()
    assert turn.state == Round.State.OPEN
    assert turn.items.count() == 2
