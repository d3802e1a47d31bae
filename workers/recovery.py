"""How a task ends when something goes wrong, and how lost work is found."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import transaction

from annotator import jobs
from annotator.errors import AnnotatorError, WrongState
from annotator.models import Round
from annotator.models.jobs import Job
from annotator.services import job_state
from ecgfm_core.errors import EcgfmError

log = logging.getLogger(__name__)


@contextmanager
def words_of_failure(job: Job, attempt: int) -> Iterator[None]:
    """Set the job failed, in words, when the block raises; stop quietly when another worker has the job."""
    name = f"{job._meta.verbose_name} {job.pk}"
    try:
        yield
    except WrongState as error:
        log.warning("%s, attempt %d: %s", name, attempt, error.message)
    except (AnnotatorError, EcgfmError) as error:
        _fail(job, attempt, str(error))
    except Exception as error:
        log.exception("%s, attempt %d", name, attempt)
        _fail(job, attempt, f"{type(error).__name__}: {error}. The worker's log holds the details; try it again.")


def _fail(job: Job, attempt: int, words: str) -> None:
    try:
        job_state.fail(job, attempt, words)
    except WrongState as error:
        log.warning("%s", error.message)


def recover() -> None:
    """Find jobs whose worker fell silent or whose message was lost, and rounds whose filling stopped."""
    job_state.recover_stale()
    if jobs.waiting_messages("fill_round") == 0:
        # Filling holds a lock on its round: a row that can be locked is being filled by nobody.
        with transaction.atomic():
            filling = Round.objects.filter(state=Round.State.FILLING)
            for round_ in filling.select_for_update(no_key=True, skip_locked=True):
                jobs.enqueue("fill_round", round_.pk)
