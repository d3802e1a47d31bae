"""Tasks that need no model: imports, releases and what is done at intervals."""

import logging
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from celery import shared_task

from annotator.models import Checkpoint, CuratedRelease, ImportRun
from annotator.selectors import gate, stopping
from annotator.services import checkpoints, ingest, job_state, measuring, queue, releases, watching
from workers import recovery

log = logging.getLogger(__name__)


@shared_task(name="import_recordings")
def import_recordings(row_id: int) -> None:
    """Run an import."""
    if attempt := job_state.take(ImportRun, row_id):
        run = ImportRun.objects.get(pk=row_id)
        with recovery.words_of_failure(run, attempt):
            ingest.run_import(run=run, attempt=attempt)


@shared_task(name="build_release")
def build_release(row_id: int) -> None:
    """Build a curated release."""
    if attempt := job_state.take(CuratedRelease, row_id):
        release = CuratedRelease.objects.get(pk=row_id)
        with recovery.words_of_failure(release, attempt):
            releases.build(release=release, attempt=attempt)


@shared_task(name="release_leases")
def release_leases() -> None:
    """Put items whose lease ran out back into the queue."""
    queue.release_expired()


@shared_task(name="recover_jobs")
def recover_jobs() -> None:
    """Give jobs of dead workers to others."""
    recovery.recover()


@shared_task(name="retrain_when_due")
def retrain_when_due() -> None:
    """Start a training run when enough corrections have come in."""
    checkpoints.retrain_when_due()


@shared_task(name="watch_folders")
def watch_folders() -> None:
    """Look for arrivals in the watch folders of prospective tests."""
    watching.look()


@shared_task(name="judge_checkpoint")
def judge_checkpoint(row_id: int) -> None:
    """Compare a checkpoint with the current one on the test split."""
    measuring.judge(checkpoint=Checkpoint.objects.get(pk=row_id))


@shared_task(name="measure_when_due")
def measure_when_due() -> None:
    """Compare checkpoints whose scores, labels or rival changed; estimate what is left in rounds that were read."""
    _each(partial(measuring.estimate, round=row) for row in stopping.due())
    _each(partial(measuring.judge, checkpoint=row) for row in gate.due())


def _each(measures: Iterable[Callable[[], Any]]) -> None:
    """Measure one row after the other; one that fails is logged and keeps no other waiting."""
    for measure in measures:
        try:
            measure()
        except Exception:
            log.exception("Measuring failed: %s", measure)
