"""The Celery application of the workers and the scheduler.

A message only says that a row wants work; the row's own state decides (annotator.services.job_state). So messages are
acknowledged when they are taken: a job whose worker dies is found by its silent heartbeat, not by the broker.
"""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "annotator.settings")

import django
from celery import Celery
from django.conf import settings

django.setup()

from annotator.jobs import TASKS  # noqa: E402

app = Celery("workers", broker=settings.BROKER_URL, include=["workers.data_tasks", "workers.round_tasks"])
app.conf.update(
    task_routes={name: {"queue": queue} for name, queue in TASKS.items()},
    task_default_queue="data",
    task_ignore_result=True,
    task_acks_late=False,
    worker_prefetch_multiplier=1,
    task_serializer="json",
    result_serializer="json",
    accept_content=["json"],
    timezone="UTC",
    broker_connection_retry_on_startup=True,
    broker_transport_options={"visibility_timeout": 300, "health_check_interval": 10},
    # A worker's memory goes back to the system now and then; long jobs run in processes of their own anyway.
    worker_max_tasks_per_child=1000,
    worker_hijack_root_logger=False,
    beat_schedule_filename=str(settings.ECGFM_HOME / "run" / "beat"),
    # A tick that waited longer than its interval has a successor; it must not pile up while no worker runs.
    beat_schedule={
        name: {"task": name, "schedule": every_s, "options": {"expires": every_s}}
        for name, every_s in (
            ("watch_folders", 3.0),
            ("recover_jobs", 10.0),
            ("release_leases", 20.0),
            ("retrain_when_due", 60.0),
            ("measure_when_due", 30.0),
        )
    },
)
