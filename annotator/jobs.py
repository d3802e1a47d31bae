"""The one place that knows Celery on the web side: tasks are queued by name, after commit."""

from functools import partial

from celery import Celery
from django.conf import settings
from django.db import transaction

# Task name -> queue. `data` needs no torch-sized machine; `train` and `score` may sit on GPU hosts.
TASKS = {
    "import_recordings": "data",
    "build_release": "data",
    "fill_round": "score",
    "score_pool": "score",
    "train": "train",
    "release_leases": "data",
    "recover_jobs": "data",
    "retrain_when_due": "data",
}

_client = Celery("annotator", broker=settings.BROKER_URL)
_client.conf.task_ignore_result = True


def enqueue(task: str, row_id: int) -> None:
    """Queue a task by name with the id of its row, once the surrounding transaction has committed."""
    transaction.on_commit(partial(_client.send_task, task, args=[row_id], queue=TASKS[task]))
