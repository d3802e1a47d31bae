"""Who runs a job: the row decides by conditional update, so that any message may be lost, late or doubled."""

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F, JSONField, Value
from django.db.models.expressions import CombinedExpression
from django.utils import timezone

from annotator import jobs
from annotator.errors import WrongState
from annotator.models import ArrivalBatch, CuratedRelease, ImportRun, Reranking, ScoringRun, TrainingRun
from annotator.models.jobs import Job, JobState

TASK_OF: dict[type[Job], str] = {
    ImportRun: "import_recordings",
    TrainingRun: "train",
    ScoringRun: "score_pool",
    ArrivalBatch: "score_arrivals",
    Reranking: "rerank_round",
    CuratedRelease: "build_release",
}
HELD = (JobState.RUNNING, JobState.CANCELLING)
OPEN = (JobState.QUEUED, *HELD)


def submit(job: Job) -> None:
    """Send a queued job to its workers once the surrounding transaction has committed."""
    jobs.enqueue(TASK_OF[type(job)], job.pk)


def take(job_class: type[Job], pk: int) -> int | None:
    """Take a queued job and return the number of this attempt; None if there is nothing to take."""
    rows = job_class._default_manager.filter(pk=pk, state=JobState.QUEUED)
    found = rows.values_list("attempt", "started_at").first()
    if found is None:
        return None
    attempt, started_at = found[0] + 1, found[1] or timezone.now()
    taken = rows.filter(attempt=attempt - 1).update(
        state=JobState.RUNNING, attempt=attempt, started_at=started_at, heartbeat_at=timezone.now(), failure=""
    )
    return attempt if taken else None


def beat(job: Job, attempt: int, progress: dict[str, Any] | None = None) -> JobState:
    """Say that the job is alive and how far it is; return its state, refuse an attempt that has lost the job."""
    changes: dict[str, Any] = {"heartbeat_at": timezone.now()}
    if progress is not None:
        changes["progress"] = CombinedExpression(F("progress"), "||", Value(progress, output_field=JSONField()))
    _update(job, attempt, **changes)
    job.refresh_from_db(fields=["state"])
    return JobState(job.state)


def finish(job: Job, attempt: int, **changes: Any) -> None:
    """Set the job finished, with further fields; refuses an attempt that has lost the job."""
    _end(job, attempt, JobState.FINISHED, **changes)


def fail(job: Job, attempt: int, failure: str, **changes: Any) -> None:
    """Set the job failed with its reason in words; refuses an attempt that has lost the job."""
    _end(job, attempt, JobState.FAILED, failure=failure, **changes)


def cancelled(job: Job, attempt: int, **changes: Any) -> None:
    """Set the job cancelled; refuses an attempt that has lost the job."""
    _end(job, attempt, JobState.CANCELLED, **changes)


def release(job: Job, attempt: int) -> None:
    """Queue a running job again because its worker is going down; refuses an attempt that has lost the job."""
    _update(job, attempt, state=JobState.QUEUED, heartbeat_at=None)


@transaction.atomic
def request_cancel(job: Job) -> None:
    """Cancel a queued job at once and ask a running one to stop; refuses a job that has ended."""
    rows = _rows(type(job)).filter(pk=job.pk)
    if rows.filter(state=JobState.QUEUED).update(state=JobState.CANCELLED, finished_at=timezone.now()):
        return
    if not rows.filter(state__in=HELD).update(state=JobState.CANCELLING):
        job.refresh_from_db(fields=["state"])
        raise WrongState(f"It is {job.state} already; only a queued or running job can be cancelled.")


def recover_stale() -> int:
    """Give silent jobs to another worker, end those tried too often, send again what no worker heard of."""
    return sum(_recover(job_class) for job_class in TASK_OF)


@transaction.atomic
def _recover(job_class: type[Job]) -> int:
    now = timezone.now()
    silent_since = now - timedelta(seconds=settings.JOB_STALE_S)
    silent = _rows(job_class).filter(heartbeat_at__lt=silent_since)
    silent.filter(state=JobState.CANCELLING).update(state=JobState.CANCELLED, finished_at=now)
    lost = list(silent.filter(state=JobState.RUNNING).select_for_update(skip_locked=True))
    for job in lost:
        _give_on(job)
    # A queued row whose queue is empty has lost its message (a second message does no harm: taking is conditional).
    if jobs.waiting_messages(TASK_OF[job_class]) == 0:
        waiting = _rows(job_class).filter(state=JobState.QUEUED)
        for pk in waiting.order_by("pk").values_list("pk", flat=True):
            jobs.enqueue(TASK_OF[job_class], pk)
    return len(lost)


def _give_on(job: Job) -> None:
    """Queue a lost job again, or end it if its workers keep dying without getting any further."""
    done = job.progress.get("done", 0)
    losses = 1 if done > job.progress.get("done_at_loss", 0) else job.progress.get("losses", 0) + 1
    job.progress = {**job.progress, "losses": losses, "done_at_loss": done}
    job.state, job.heartbeat_at = JobState.QUEUED, None
    if losses >= settings.JOB_ATTEMPTS:
        job.state, job.finished_at = JobState.FAILED, timezone.now()
        job.failure = (
            f"Its worker fell silent {losses} times without getting any further (killed, out of memory or cut off). "
            "Look at the worker's log and memory, then start it again."
        )
    job.save(update_fields=["state", "heartbeat_at", "finished_at", "failure", "progress"])


def _rows(job_class: type[Job]) -> Any:
    return job_class._default_manager.all()


def _update(job: Job, attempt: int, **changes: Any) -> None:
    if not _rows(type(job)).filter(pk=job.pk, attempt=attempt, state__in=HELD).update(**changes):
        raise WrongState(
            f"Attempt {attempt} has lost job {job.pk}: another worker has it, or it has ended. It must stop."
        )


def _end(job: Job, attempt: int, state: JobState, **changes: Any) -> None:
    _update(job, attempt, state=state, finished_at=timezone.now(), heartbeat_at=timezone.now(), **changes)
    job.refresh_from_db()
