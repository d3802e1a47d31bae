"""Builders for tests of the admin pages: rows of every state, made through services where one makes them."""

import math
from datetime import timedelta
from typing import Any

from django.utils import timezone

from annotator.models import (
    Checkpoint,
    CuratedRelease,
    Dataset,
    ImportIssue,
    ImportRun,
    ProspectiveTest,
    Role,
    Round,
    ScoringRun,
    TrainingMetric,
    TrainingRun,
    User,
)
from annotator.models.jobs import JobState
from tests.annotator.reading_world import recordings, scheme
from tests.e2e.desk_world import beats, store

STEPS = 200


def someone(name: str, role: Role = Role.READER) -> User:
    """A person who has no password: hashing one takes longer than most tests."""
    return User.objects.get_or_create(username=name, defaults={"role": role, "password": "!"})[0]


def admin() -> User:
    return someone("boss", Role.ADMIN)


def job_fields(state: str, **progress: Any) -> dict[str, Any]:
    """What a job of this state looks like."""
    now = timezone.now()
    fields: dict[str, Any] = {"state": state, "progress": progress, "created_by": admin()}
    if state != JobState.QUEUED:
        fields |= {"attempt": 1, "started_at": now - timedelta(minutes=7), "heartbeat_at": now}
    if state in (JobState.FINISHED, JobState.FAILED, JobState.CANCELLED):
        fields["finished_at"] = now
    return fields


def import_run(state: str = JobState.FINISHED, refused: int = 0, **progress: Any) -> ImportRun:
    """An import into the dataset `made` with this many refusals."""
    dataset, _ = Dataset.objects.get_or_create(name="made", defaults={"layout": "ptb-xl"})
    run = ImportRun.objects.create(
        dataset=dataset, source_path="/srv/imports/ptb-xl-1.0.3", added_count=480, unchanged_count=12,
        refused_count=refused, **job_fields(state, **progress),
    )  # fmt: skip
    reason = "{}: lead V3 has 4,999 samples, expected 5,000 (10 s at 500 Hz). Export the recording again."
    ImportIssue.objects.bulk_create(
        ImportIssue(run=run, record_name=f"rec{n:05d}", refused=True, reason=reason.format(f"rec{n:05d}"))
        for n in range(refused)
    )
    return run


def training_run(state: str = JobState.FINISHED, curves: bool = True, **progress: Any) -> TrainingRun:
    """A training run on the dataset `made`, with curves that fall as they should."""
    run = TrainingRun.objects.create(
        config_name="tiny_cpu", config={"epochs": 5}, seed=7, scheme=scheme(), log="epoch 5 of 5\nsaved the checkpoint",
        **job_fields(state, **progress),
    )  # fmt: skip
    run.datasets.set(Dataset.objects.filter(name="made"))
    if curves:
        add_metrics(run, range(10, STEPS + 1, 10))
    return run


def add_metrics(run: TrainingRun, steps: range) -> None:
    """Add points to the curves of a run."""
    falls = {"contrastive": 0.55, "abnormal": 0.62, "labels": 0.35, "text": 0.48}
    points: list[tuple[str, int, float]] = []
    for step in steps:
        left = math.exp(-step / 60)
        points += [(f"train_{name}", step, floor + (1 - floor) * left) for name, floor in falls.items()]
        points += [("train_retrieval_accuracy", step, 0.6 - 0.5 * left), ("records_per_s", step, 310.0)]
        points += [("train_information_nats", step, 2 - 2 * left), ("peak_memory_mb", step, 812.0)]
        if step % 50 == 0:
            points += [(f"validate_{name}", step, floor + 0.05 + (1 - floor) * left) for name, floor in falls.items()]
            points += [
                ("validate_abnormal_auroc", step, 0.91 - 0.3 * left),
                ("validate_label_macro_auroc", step, 0.86 - 0.3 * left),
            ]
    TrainingMetric.objects.bulk_create(
        TrainingMetric(run=run, name=name, step=step, value=value) for name, step, value in points
    )


def checkpoint(state: str = Checkpoint.State.CANDIDATE, auroc: float = 0.91) -> Checkpoint:
    """A checkpoint of a finished run."""
    run = training_run()
    promoted = None if state == Checkpoint.State.CANDIDATE else timezone.now()
    return Checkpoint.objects.create(
        run=run, state=state, path=f"run-{run.pk}/checkpoint", sha256="ab" * 32, label_codes=["426783006"],
        promoted_at=promoted,
        metrics={
            "train_loss": 1.9, "train_text": 0.51, "validate_loss": 2.1, "validate_text": 0.53, "validate_labels": 0.4,
            "validate_abnormal_auroc": auroc, "validate_label_macro_auroc": auroc - 0.05,
            "validate_retrieval_accuracy": 0.58,
        },
        provenance={
            "training_run": run.pk, "config_name": "tiny_cpu", "config": {"epochs": 5}, "seed": 7,
            "code_version": "0.1.0",
            "datasets": [{"id": 1, "name": "made"}], "rounds": [1, 2],
            "corrections": {"count": 31, "consensus_ids": list(range(31)), "recording_ids": list(range(31))},
        },
    )  # fmt: skip


def scored(point: Checkpoint, state: str = JobState.FINISHED) -> ScoringRun:
    """A scoring run of a checkpoint over every dataset."""
    run = ScoringRun.objects.create(checkpoint=point, **job_fields(state, done=300, total=480, unit="recordings"))
    run.datasets.set(Dataset.objects.all())
    return run


def release(state: str = JobState.FINISHED) -> CuratedRelease:
    """A release of the dataset `made`."""
    row = CuratedRelease.objects.create(
        number=CuratedRelease.objects.count() + 1, title="First reading of the registry",
        notes="Two rounds, two readers.",
        recording_count=480, consensus_count=200, manifest_sha256="cd" * 32, **job_fields(state, done=120, total=480),
    )  # fmt: skip
    row.datasets.set(Dataset.objects.all())
    return row


def small_world() -> dict[str, Any]:
    """One row of everything, for pages that only have to render."""
    scheme()
    recordings(6)
    rows = {
        "run": import_run(refused=3),
        "training": training_run(),
        "checkpoint": checkpoint("current"),
        "release": release(),
    }
    rows["prospective"] = ProspectiveTest.objects.create(
        name="Online month", checkpoint=rows["checkpoint"], dataset=rows["run"].dataset, threshold=0.5,
        threshold_origin="chosen by hand", reference={}, created_by=admin(),
    )  # fmt: skip
    row = Round.objects.create(number=1, scheme=scheme(), budget=6, created_by=admin())
    row.datasets.set(Dataset.objects.all())
    unreadable = store(beats(), quality={"readable": False, "score": 0.02, "findings": ["V2: flat"]})
    return rows | {"round": row, "person": someone("ada"), "recording": unreadable}
