"""The one place that knows Celery on the web side: tasks are queued by name, after commit."""

from typing import Any

from celery import Celery
from django.conf import settings
from django.db import transaction

# Task name -> queue. `data` needs no torch-sized machine; `train` and `score` may sit on GPU hosts. `loop` is
# for what is over soon and what readers wait for: its worker takes nothing that runs for hours.
TASKS = {
    "import_recordings": "data",
    "build_release": "data",
    "fill_round": "loop",
    "score_pool": "score",
    "score_arrivals": "score",
    "rerank_round": "loop",
    "train": "train",
    "release_leases": "loop",
    "recover_jobs": "loop",
    "retrain_when_due": "loop",
    "watch_folders": "data",
    "judge_checkpoint": "data",
    "measure_when_due": "loop",
}

_client = Celery("annotator", broker=settings.BROKER_URL)
_client.conf.task_ignore_result = True


def enqueue(task: str, row_id: int) -> None:
    """Queue a task by name with the id of its row, once the surrounding transaction has committed.

    A broker that can't be reached is logged, not raised: the row is queued, and recover_jobs sends it again.
    """

    def send() -> None:
        _client.send_task(task, args=[row_id], queue=TASKS[task])

    transaction.on_commit(send, robust=True)


def waiting_messages(task: str) -> int:
    """Count the messages in the queue of a task that no worker has fetched."""
    with _client.connection_for_read() as connection:
        try:
            channel: Any = connection.default_channel
            return int(channel.queue_declare(TASKS[task], passive=True).message_count)
        except connection.channel_errors:  # the broker knows no empty queue
            return 0


def ping() -> str:
    """Return ok once the broker has answered; raises what its driver raises where it does not."""
    with _client.connection_for_read() as connection:
        connection.ensure_connection(max_retries=1, timeout=2)
    return "ok"
