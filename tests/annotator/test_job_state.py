"""The row decides who runs a job: taking, fencing, cancelling, recovering."""

import threading
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from annotator import jobs
from annotator.errors import WrongState
from annotator.models import Dataset, ImportRun
from annotator.models.jobs import JobState
from annotator.services import job_state


@pytest.fixture
def job(transactional_db):
    return ImportRun.objects.create(dataset=Dataset.objects.create(name="d"), source_path="/nowhere")


def age(job: ImportRun, seconds: float) -> None:
    ImportRun.objects.filter(pk=job.pk).update(heartbeat_at=timezone.now() - timedelta(seconds=seconds))


def drain(queue: str) -> int:
    """Empty a queue of the real broker and say how many messages it held."""
    with jobs._client.connection_for_write() as broker:
        try:
            return broker.default_channel.queue_purge(queue)
        except broker.channel_errors:
            return 0


def test_taking_moves_the_job_on_once(job):
    assert job_state.take(ImportRun, job.pk) == 1
    assert job_state.take(ImportRun, job.pk) is None
    job.refresh_from_db()
    assert (job.state, job.attempt) == (JobState.RUNNING, 1)
    assert job.started_at is not None


def test_of_many_takers_at_once_one_wins(job):
    wins: list[int | None] = []
    start = threading.Barrier(8)

    def take() -> None:
        start.wait()
        wins.append(job_state.take(ImportRun, job.pk))
        connection.close()

    threads = [threading.Thread(target=take) for _ in range(8)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert sorted(wins, key=str) == [1] + [None] * 7


def test_an_attempt_that_lost_the_job_is_fenced_off(job):
    first = job_state.take(ImportRun, job.pk)
    age(job, 60)
    assert job_state.recover_stale() == 1
    with pytest.raises(WrongState, match="lost job"):
        job_state.beat(job, first)
    second = job_state.take(ImportRun, job.pk)
    assert second == 2
    for late in (lambda: job_state.beat(job, first), lambda: job_state.finish(job, first)):
        with pytest.raises(WrongState):
            late()
    assert job_state.beat(job, second, {"done": 1}) == JobState.RUNNING
    job_state.finish(job, second, added_count=7)
    assert (job.state, job.added_count, job.progress["done"]) == (JobState.FINISHED, 7, 1)


def test_a_job_that_beats_is_left_alone(job):
    attempt = job_state.take(ImportRun, job.pk)
    age(job, 60)
    job_state.beat(job, attempt)
    assert job_state.recover_stale() == 0


def test_a_job_whose_workers_keep_dying_fails_in_words(job, settings):
    for _ in range(settings.JOB_ATTEMPTS):
        assert job_state.take(ImportRun, job.pk)
        age(job, 60)
        job_state.recover_stale()
    job.refresh_from_db()
    assert job.state == JobState.FAILED
    assert "fell silent 3 times" in job.failure


def test_a_job_that_gets_further_each_time_is_never_given_up(job, settings):
    for done in range(1, 2 * settings.JOB_ATTEMPTS):
        attempt = job_state.take(ImportRun, job.pk)
        job_state.beat(job, attempt, {"done": done})
        age(job, 60)
        job_state.recover_stale()
    job.refresh_from_db()
    assert job.state == JobState.QUEUED


def test_a_worker_that_goes_down_gives_its_job_back(job):
    attempt = job_state.take(ImportRun, job.pk)
    job_state.release(job, attempt)
    assert job_state.take(ImportRun, job.pk) == attempt + 1


def test_cancelling(job):
    attempt = job_state.take(ImportRun, job.pk)
    job_state.request_cancel(job)
    assert job_state.beat(job, attempt) == JobState.CANCELLING
    job_state.cancelled(job, attempt)
    with pytest.raises(WrongState, match="cancelled already"):
        job_state.request_cancel(job)


def test_cancelling_a_queued_job_ends_it_and_no_worker_takes_it(job):
    job_state.request_cancel(job)
    assert job_state.take(ImportRun, job.pk) is None


def test_a_worker_that_dies_while_cancelling_leaves_a_cancelled_job(job):
    job_state.take(ImportRun, job.pk)
    job_state.request_cancel(job)
    age(job, 60)
    job_state.recover_stale()
    job.refresh_from_db()
    assert job.state == JobState.CANCELLED


def test_a_lost_message_is_sent_again_and_once(job):
    drain("data")
    job_state.recover_stale()
    job_state.recover_stale()
    assert jobs.waiting_messages("import_recordings") == 1
    assert drain("data") == 1


def test_submitting_sends_one_message_after_commit(job):
    drain("data")
    job_state.submit(job)
    assert drain("data") == 1


def test_a_broker_that_is_away_loses_nothing(job, monkeypatch):
    from celery import Celery

    away = Celery("away", broker="redis://127.0.0.1:1/0")
    away.conf.task_publish_retry = False
    monkeypatch.setattr(jobs, "_client", away)
    job_state.submit(job)
    assert ImportRun.objects.get(pk=job.pk).state == JobState.QUEUED
