"""A real worker process on the test database and the test broker."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from annotator import jobs
from annotator.models import Dataset, User
from annotator.models.jobs import Job, JobState
from annotator.services import ingest
from ecgfm_core.datasets.simulated import write_dataset
from tests.processes import environment

# As little model as the code allows: these tests are of the loop, not of learning.
SMALL = {"width": 16, "layers": 1, "heads": 2, "epochs": 2, "batch": 8, "vocabulary": 64, "negatives": 8}
WAIT_S = 90


class Worker:
    """A `celery worker` for all queues, to be killed and started again."""

    def __init__(self, log: Path) -> None:
        self.log = log
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *options: str, **more: str) -> None:
        # fmt: off
        command = [
            sys.executable, "-m", "celery", "--app", "workers.app", "worker",
            "--queues", ",".join(sorted(set(jobs.TASKS.values()))),
            "--concurrency", "1", "--without-mingle", "--without-gossip", "--without-heartbeat", *options,
        ]
        # fmt: on
        names = environment(REMAP_SIGTERM="SIGQUIT", **more)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=names, start_new_session=True)

    def kill(self) -> None:
        """End the worker and its pool the hard way; what it has started is in a session of its own and outlives it."""
        assert self.process
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(30)


@pytest.fixture
def places(settings, tmp_path):
    """Folders of this test alone."""
    for name in ("IMPORT_DIR", "WAVEFORM_DIR", "CHECKPOINT_DIR", "RELEASE_DIR"):
        folder = tmp_path / name.lower()
        folder.mkdir()
        setattr(settings, name, folder)
    return tmp_path


@pytest.fixture
def worker(transactional_db, places) -> Iterator[Worker]:
    """A running worker; its log is shown when a test fails."""
    for queue in set(jobs.TASKS.values()):
        with jobs._client.connection_for_write() as broker:
            try:
                broker.default_channel.queue_purge(queue)
            except broker.channel_errors:
                continue
    worker = Worker(places / "worker.log")
    worker.start()
    yield worker
    worker.stop()
    print(worker.log.read_text()[-6000:])


@pytest.fixture
def admin(transactional_db) -> User:
    return User.objects.create_user("boss", role="admin")


@pytest.fixture(scope="session")
def simulated(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("simulated")
    write_dataset(folder, count=80, seed=5, sampling_rate_hz=100.0, duration_s=6.0, label_error_rate=0.1)
    return folder


@pytest.fixture
def dataset(transactional_db, places, simulated) -> Dataset:
    """Eighty simulated recordings, imported in this process."""
    run, attempt = ingest.start_here(path=str(simulated), dataset_name="sim")
    ingest.run_import(run=run, attempt=attempt)
    return run.dataset


def wait_for(condition: Callable[[], object], what: str, seconds: float = WAIT_S) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} took more than {seconds} s"
        time.sleep(0.05)


def ended(job: Job) -> bool:
    """Whether a job has come to an end."""
    job.refresh_from_db()
    return job.state in (JobState.FINISHED, JobState.FAILED, JobState.CANCELLED)
