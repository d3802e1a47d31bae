"""The steps of the demo: recordings, import, training, scoring, a round. Each is left out where its result is there."""

import re
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from django.conf import settings
from django.db.models import Model
from tqdm import tqdm

from annotator.models import Checkpoint, Dataset, ImportRun, Round, ScoringRun, TrainingRun, User
from annotator.models.jobs import Job, JobState
from annotator.services import checkpoints, ingest, job_state, rounds
from ecgfm_core.datasets import simulated
from launcher.errors import DemoError
from launcher.people import ensure_people

SIMULATED = "simulated"
SIMULATED_COUNT = 600
SIMULATED_RATE_HZ = 500.0
SIMULATED_LABEL_ERRORS = 0.1
SIMULATED_ERROR_KIND = "class_conditional"  # what a hurried reader mixes up
SEED = 0
BUDGET = 100
POLL_S = 0.2
ACTIVE = (JobState.QUEUED, JobState.RUNNING, JobState.CANCELLING)
Check = Callable[[], None]


def go(data: str, changes: str, check: Check) -> Round:
    """Go through all steps on simulated recordings, or on those of a folder or zip; return the open round.

    `changes` are fields of the training's configuration that differ, as `epochs=5 batch=16`.
    """
    ensure_people()
    admin = User.objects.get(username="admin")
    path, name = source(data)
    dataset = import_recordings(path, name, check)
    checkpoint = train(dataset, fields(changes), admin, check)
    score(checkpoint, dataset, admin, check)
    return open_round(checkpoint, dataset, admin, check)


def fields(changes: str) -> dict[str, str]:
    """Return the configuration's fields that differ; refuses what is not of the form field=value."""
    pairs = [change.partition("=") for change in changes.split()]
    if wrong := [name for name, equals, value in pairs if not (name and equals and value)]:
        raise DemoError(f"SET={changes!r}: {wrong[0]!r} is not of the form field=value, as in SET='epochs=5 batch=16'.")
    return {name: value for name, _, value in pairs}


def source(data: str) -> tuple[Path, str]:
    """Return where the recordings are and the name of their dataset; simulated ones are written first."""
    if not data:
        return simulated_folder(), SIMULATED
    path = Path(data).expanduser().resolve()
    if not path.exists():
        raise DemoError(f"DATA={data}: there is no folder or zip file {path}. Check the path for a typing error.")
    return path, re.sub(r"[^A-Za-z0-9]+", "-", path.stem).strip("-").lower()[:60] or "recordings"


def simulated_folder() -> Path:
    """Write the simulated recordings unless they are there; half-written ones are never seen under the final name."""
    folder = settings.IMPORT_DIR / SIMULATED
    if not folder.exists():
        with Bar("Recordings", SIMULATED_COUNT) as bar:
            draft = folder.with_name(f".{SIMULATED}-draft")
            simulated.write_dataset(
                draft,
                count=SIMULATED_COUNT,
                seed=SEED,
                sampling_rate_hz=SIMULATED_RATE_HZ,
                label_error_rate=SIMULATED_LABEL_ERRORS,
                label_error_kind=SIMULATED_ERROR_KIND,
                progress=bar.show,
            )
            draft.rename(folder)
    return folder


def import_recordings(path: Path, name: str, check: Check) -> Dataset:
    """Import the recordings; return their dataset."""
    runs = ImportRun.objects.filter(dataset__name=name, source_path=str(path))
    run = runs.filter(state=JobState.FINISHED).first()
    if run is None:
        active = runs.filter(state__in=ACTIVE).last()
        run = active or ingest.start_import(path=str(path), dataset_name=name, by=None)
        follow(run, "Import", check)
    if not run.dataset.recordings.exists():
        raise DemoError(f"{path}: no recording could be imported. `manage.py import_recordings` lists the reasons.")
    return run.dataset


def train(dataset: Dataset, config: dict[str, str], admin: User, check: Check) -> Checkpoint:
    """Train the smallest configuration; return its checkpoint, made the current one if there was none."""
    runs = TrainingRun.objects.filter(datasets=dataset)
    run = runs.filter(state=JobState.FINISHED, checkpoint__isnull=False).last()
    if run is None:
        run = runs.filter(state__in=ACTIVE).last() or checkpoints.start_training(
            config_name="tiny_cpu", config=dict(config), dataset_ids=[dataset.pk], seed=SEED, by=admin
        )
        follow(run, "Training", check)
    checkpoint = Checkpoint.objects.get(run=run)
    if not Checkpoint.objects.filter(state=Checkpoint.State.CURRENT).exists():
        checkpoints.promote(checkpoint=checkpoint, by=admin)
    return checkpoint


def score(checkpoint: Checkpoint, dataset: Dataset, admin: User, check: Check) -> None:
    """Score the dataset with the checkpoint."""
    runs = ScoringRun.objects.filter(checkpoint=checkpoint, datasets=dataset)
    if not runs.filter(state=JobState.FINISHED).exists():
        run = runs.filter(state__in=ACTIVE).last() or checkpoints.start_scoring(
            checkpoint=checkpoint, dataset_ids=[dataset.pk], by=admin
        )
        follow(run, "Scoring", check)


def open_round(checkpoint: Checkpoint, dataset: Dataset, admin: User, check: Check) -> Round:
    """Create, fill and open a round that looks for label errors."""
    turn = Round.objects.filter(datasets=dataset).order_by("number").first() or rounds.create_round(
        dataset_ids=[dataset.pk],
        strategy=Round.Strategy.RELABEL,
        budget=min(BUDGET, dataset.recordings.filter(split="train").count()),
        audit_share=0.1,
        readers_per_item=1,
        reveal=Round.Reveal.AFTER_FIRST_READ,
        checkpoint=checkpoint,
        seed=SEED,
        by=admin,
    )
    if turn.state == Round.State.DRAFT:
        rounds.request_fill(round=turn, by=admin)
        turn.refresh_from_db()
    if turn.state == Round.State.FILLING:
        follow_fill(turn, check)
    if turn.state == Round.State.FILLED:
        rounds.open_round(round=turn, by=admin)
        turn.refresh_from_db()
    return turn


def follow(job: Job, title: str, check: Check) -> None:
    """Show a job's own progress until it has finished."""
    with Bar(title) as bar:
        while job.state in ACTIVE:
            bar.show(job.progress.get("done", 0), job.progress.get("total"), str(job.progress.get("message", "")))
            pause(job, check)
        if job.state != JobState.FINISHED:
            raise DemoError(f"{title} {job.state}: {job.failure or 'no reason was given'}\n`make demo` tries again.")


def follow_fill(turn: Round, check: Check) -> None:
    """Wait until the round's queue is filled."""
    with Bar("Round") as bar:
        while turn.state == Round.State.FILLING:
            pause(turn, check)
        if turn.state == Round.State.DRAFT:
            raise DemoError(f"The round was not filled: {turn.failure}\n`make demo` tries again.")
        bar.show(1, 1)


def pause(row: Model, check: Check) -> None:
    """Wait a moment, then read the row anew."""
    check()
    time.sleep(POLL_S)
    row.refresh_from_db()


def put_back_held_jobs() -> None:
    """Queue again what workers held that are known to be dead; their leases on jobs need not run out first."""
    for job_class in job_state.TASK_OF:
        held = job_class._default_manager.filter(state__in=(JobState.RUNNING, JobState.CANCELLING))
        held.update(heartbeat_at=datetime.fromtimestamp(0, UTC))
    job_state.recover_stale()


class Bar:
    """A progress bar on a terminal; elsewhere one line when the step has ended."""

    def __init__(self, title: str, total: int | None = None) -> None:
        self.title, self.started = title, time.monotonic()
        layout = "{desc}{percentage:3.0f}% |{bar:30}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}]{postfix}"
        self.bar = tqdm(total=total, desc=f"{title:<12}", bar_format=layout if total else None, disable=None)
        self.layout = layout

    def show(self, done: float, total: float | None = None, message: str = "") -> None:
        """Move the bar."""
        if total:
            self.bar.total, self.bar.bar_format = total, self.layout
        self.bar.n = done
        self.bar.set_postfix_str(message[:40], refresh=False)
        self.bar.refresh()

    def __enter__(self) -> "Bar":
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None and self.bar.total:
            self.bar.n = self.bar.total
            self.bar.refresh()
        self.bar.close()
        if not sys.stderr.isatty():
            words = "done" if kind is None else "stopped"
            print(f"{self.title:<12}{words} after {time.monotonic() - self.started:.1f} s", flush=True)
