"""Where the loop of importing, training, scoring, reading and retraining stands."""

from dataclasses import dataclass

from django.db.models import Count, Q

from annotator.models import (
    Checkpoint,
    Consensus,
    CuratedRelease,
    Dataset,
    ImportRun,
    QueueItem,
    Recording,
    Round,
    ScoringRun,
    TrainingRun,
)
from annotator.models.jobs import Job, JobState

ACTIVE = (JobState.QUEUED, JobState.RUNNING, JobState.CANCELLING)
JOB_KINDS: tuple[type[Job], ...] = (ImportRun, TrainingRun, ScoringRun, CuratedRelease)


@dataclass(frozen=True)
class Loop:
    """The loop in numbers; `checkpoint` is the current one, `candidate` the newest that could replace it.

    `to_read` leaves out repeats and controls: a reader who stays away would keep a round from its end.
    """

    recordings: int
    labelled: int
    read: int
    corrections: int
    checkpoint: Checkpoint | None
    candidate: Checkpoint | None
    scored: bool
    round: Round | None
    to_read: int
    answered: int
    importing: ImportRun | None
    training: TrainingRun | None
    scoring: ScoringRun | None


def loop() -> Loop:
    """Return where the loop stands now."""
    current = Checkpoint.objects.filter(state=Checkpoint.State.CURRENT).select_related("run").first()
    candidates = Checkpoint.objects.filter(state=Checkpoint.State.CANDIDATE, pk__gt=current.pk if current else 0)
    newest_round = Round.objects.order_by("-number").first()
    items = QueueItem.objects.filter(round=newest_round)
    return Loop(
        recordings=Recording.objects.count(),
        labelled=Recording.objects.filter(source_abnormal__isnull=False).count(),
        read=Consensus.objects.values("recording").distinct().count(),
        corrections=corrections_since_training(),
        checkpoint=current,
        candidate=candidates.order_by("-pk").first(),
        scored=current is not None and current.scoring_runs.filter(state=JobState.FINISHED).exists(),
        round=newest_round,
        to_read=items.filter(
            state__in=[QueueItem.State.WAITING, QueueItem.State.CLAIMED], origin__in=QueueItem.COUNTED
        ).count(),
        answered=items.filter(state=QueueItem.State.ANSWERED).count(),
        importing=ImportRun.objects.filter(state__in=ACTIVE).order_by("pk").first(),
        training=TrainingRun.objects.filter(state__in=ACTIVE).order_by("pk").first(),
        scoring=ScoringRun.objects.filter(state__in=ACTIVE).order_by("pk").first(),
    )


def corrections_since_training() -> int:
    """Return how many training recordings were corrected after the newest successful training run took its labels."""
    corrected = Consensus.objects.filter(corrects=True, recording__split=Recording.Split.TRAIN)
    newest = TrainingRun.objects.filter(state=JobState.FINISHED).order_by("-created_at").first()
    if newest:
        corrected = corrected.filter(created_at__gt=newest.started_at or newest.created_at)
    return corrected.values("recording").distinct().count()


def jobs_under_way() -> list[Job]:
    """Return the jobs that run or wait for a worker, oldest first."""
    found = [job for kind in JOB_KINDS for job in kind._default_manager.filter(state__in=ACTIVE)]
    return sorted(found, key=lambda job: job.created_at)


def fresh_failures() -> list[Job]:
    """Return, a kind of job, the newest one where it failed."""
    newest = [kind._default_manager.order_by("-pk").first() for kind in JOB_KINDS]
    return [job for job in newest if job is not None and job.state == JobState.FAILED]


def datasets_with_counts() -> list[Dataset]:
    """Return every dataset with `recording_count`, `labelled_count`, `abnormal_count` and `read_count`."""
    labelled = Q(recordings__source_abnormal__isnull=False)
    counted = Dataset.objects.annotate(
        recording_count=Count("recordings"),
        labelled_count=Count("recordings", filter=labelled),
        abnormal_count=Count("recordings", filter=Q(recordings__source_abnormal=True)),
    )
    read = dict(Consensus.objects.values_list("recording__dataset").annotate(Count("recording", distinct=True)))
    rows: list[Dataset] = list(counted.order_by("name"))
    for row in rows:
        row.read_count = read.get(row.pk, 0)  # type: ignore[attr-defined]
    return rows
