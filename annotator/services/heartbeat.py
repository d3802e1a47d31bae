"""A heartbeat from a thread, for work in this process that can't stop to beat."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from typing import Any

from django.conf import settings
from django.db import connection

from annotator.errors import WrongState
from annotator.models.jobs import Job, JobState
from annotator.services import job_state


class Pulse:
    """What the working side tells the beating one, and hears from it."""

    def __init__(self) -> None:
        self.progress: dict[str, Any] | None = None
        self.state = JobState.RUNNING
        self.lost = False

    def check(self) -> None:
        """Stop the work if the job was cancelled or given to another worker."""
        if self.lost or self.state == JobState.CANCELLING:
            raise WrongState("The job was cancelled." if not self.lost else "Another worker has the job.")


@contextmanager
def beating(job: Job, attempt: int, progress: dict[str, Any] | None = None) -> Iterator[Pulse]:
    """Beat while the block runs. A block that has lost its job is refused when it next writes, or asks its pulse."""
    pulse, done, other = Pulse(), threading.Event(), copy(job)
    pulse.progress = progress

    def beat() -> None:
        try:
            while True:
                pulse.state = job_state.beat(other, attempt, pulse.progress)
                if done.wait(settings.JOB_HEARTBEAT_S):
                    break
        except WrongState:
            pulse.lost = True
        finally:
            connection.close()

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield pulse
    finally:
        done.set()
        thread.join()
