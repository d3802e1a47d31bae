"""Training runs and the checkpoints they leave: start, cancel, store, promote, go back, retrain by rule."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from annotator import jobs
from annotator.errors import HeldBack, InvalidInput, WrongState
from annotator.models import Checkpoint, Recording, TrainingMetric, TrainingRun, User
from annotator.selectors import gate, training_pool
from annotator.services import audit, job_state
from annotator.services.schemes import ensure_scheme
from annotator.services.scoring import datasets_of, start_scoring, store_predictions
from ecgfm_core import configs

__all__ = ["cancel_training", "go_back", "promote", "record_metrics", "retrain_when_due", "run_folder", "start_scoring",
           "start_training", "store_checkpoint", "store_predictions"]  # fmt: skip
State = Checkpoint.State
REASON_MAX = 500
WEIGHTS = "weights.safetensors"
CURRENT_LOCK, RETRAIN_LOCK = (7003, 0), (7003, 1)  # which checkpoint is current; whether a training is due


@transaction.atomic
def start_training(
    *,
    config_name: str,
    config: dict[str, Any],
    dataset_ids: Iterable[int],
    seed: int,
    by: User | None,
    trigger: str = "started by hand",
) -> TrainingRun:
    """Queue a training run; refuses unknown configs and fields, and datasets with nothing to train on."""
    configs.build(config_name, config)
    found = datasets_of(dataset_ids)
    if not Recording.objects.filter(dataset__in=found, split=Recording.Split.TRAIN).exists():
        raise InvalidInput("These datasets hold no recording in the train split. Import recordings first.")
    run = TrainingRun.objects.create(
        config_name=config_name, config=config, seed=seed, scheme=ensure_scheme(), trigger=trigger, created_by=by
    )
    run.datasets.set(found)
    audit.record(actor=by, action="training started", target=run, config=config_name, trigger=trigger)
    job_state.submit(run)
    return run


@transaction.atomic
def cancel_training(*, run: TrainingRun, by: User) -> TrainingRun:
    """Stop a queued or running training; refuses one that has ended."""
    job_state.request_cancel(run)
    audit.record(actor=by, action="training cancelled", target=run)
    run.refresh_from_db()
    return run


def run_folder(run: TrainingRun) -> Path:
    """Return the folder that holds a run's manifest, state and checkpoint."""
    return settings.CHECKPOINT_DIR / f"run-{run.pk}"


def provenance_of(run: TrainingRun) -> dict[str, Any]:
    """Return what a run trains on, in words and numbers, for its checkpoint."""
    dataset_ids = list(run.datasets.order_by("pk").values_list("pk", flat=True))
    corrected = training_pool.corrections(dataset_ids).order_by("pk").values("pk", "recording_id", "round__number")
    return {
        "training_run": run.pk,
        "config_name": run.config_name,
        "config": run.config,
        "seed": run.seed,
        "scheme": run.scheme.version,
        "datasets": list(run.datasets.order_by("pk").values("id", "name")),
        "trigger": run.trigger,
        "corrections": {
            "count": len(corrected),
            "consensus_ids": [row["pk"] for row in corrected],
            "recording_ids": [row["recording_id"] for row in corrected],
        },
        "rounds": sorted({row["round__number"] for row in corrected}),
    }


def record_metrics(*, run: TrainingRun, rows: Iterable[dict[str, Any]]) -> None:
    """Store points of the curves; one that is there already is written over, as a resumed run repeats some."""
    points = {(str(row["name"])[:60], int(row["step"])): float(row["value"]) for row in rows}
    TrainingMetric.objects.bulk_create(
        [TrainingMetric(run=run, name=name, step=step, value=value) for (name, step), value in points.items()],
        update_conflicts=True,
        unique_fields=["run", "name", "step"],
        update_fields=["value"],
    )


@transaction.atomic
def store_checkpoint(
    *, run: TrainingRun, attempt: int, folder: Path, provenance: dict[str, Any], log: str = ""
) -> Checkpoint:
    """Finish a run with its checkpoint and queue its scoring; the first of all becomes current, others candidates."""
    job_state.finish(run, attempt, log=log)
    header = _sound_header(folder)
    checkpoint = Checkpoint.objects.create(
        run=run,
        path=str(folder.relative_to(settings.CHECKPOINT_DIR)),
        sha256=header["sha256"][WEIGHTS],
        label_codes=list(header["label_codes"]),
        provenance={**header.get("provenance", {}), **provenance},
        metrics=header.get("metrics", {}),
    )
    _lock(CURRENT_LOCK)
    if not Checkpoint.objects.filter(state=State.CURRENT).exists():
        _make_current(checkpoint)
        audit.record(actor=None, action="checkpoint promoted", target=checkpoint, reason="the first of all")
    dataset_ids = run.datasets.values_list("pk", flat=True)
    start_scoring(checkpoint=checkpoint, dataset_ids=dataset_ids, by=run.created_by)
    return checkpoint


def _sound_header(folder: Path) -> dict[str, Any]:
    """Read checkpoint.json; refuses files that are not what it says they are."""
    header: dict[str, Any] = json.loads((folder / "checkpoint.json").read_text(encoding="utf-8"))
    for name, sha256 in header["sha256"].items():
        with (folder / name).open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != sha256:
                raise InvalidInput(f"Checkpoint {folder.name}: {name} is damaged (its sha256 differs). Train again.")
    return header


def promote(*, checkpoint: Checkpoint, by: User, override_reason: str = "") -> Checkpoint:
    """Make a checkpoint the current one; refuses the one that is, and one held back by the gate without a reason.

    The gate compares it with the current one on the frozen test split; a written reason, kept and audited, opens it.
    """
    reason = override_reason.strip()
    if len(reason) > REASON_MAX:
        raise InvalidInput(f"A reason of {len(reason):,} characters: up to {REASON_MAX} are allowed.")
    try:
        return _promote(checkpoint, by, reason)
    except HeldBack as refusal:
        if refusal.detail["waits"]:
            jobs.enqueue("judge_checkpoint", checkpoint.pk)
        raise


@transaction.atomic
def _promote(checkpoint: Checkpoint, by: User, reason: str) -> Checkpoint:
    _lock(CURRENT_LOCK)
    checkpoint.refresh_from_db()
    if checkpoint.state == State.CURRENT:
        raise WrongState(f"Checkpoint {checkpoint.pk} is the current one already.")
    current = gate.current_checkpoint()
    found = gate.gate(checkpoint, current)
    if not found.open and not reason:
        raise HeldBack(f"{found.words} {gate.OVERRIDE}", waits=found.waits)
    overridden = {} if found.open else {"override_reason": reason, "against": found.words}
    _retire_current()
    _make_current(checkpoint, override_reason="" if found.open else reason)
    replaced = current.pk if current else None
    audit.record(actor=by, action="checkpoint promoted", target=checkpoint, replaces=replaced, **overridden)
    return checkpoint


@transaction.atomic
def go_back(*, by: User) -> Checkpoint:
    """Make the checkpoint current that was so before; refuses when there was none. No gate stands in the way."""
    left = _retire_current()
    earlier = Checkpoint.objects.filter(state=State.RETIRED, promoted_at__isnull=False)
    if left:
        earlier = earlier.filter(promoted_at__lt=left.promoted_at)
    previous = earlier.order_by("-promoted_at").first()
    if previous is None:
        raise WrongState("There is no earlier checkpoint to go back to.")
    Checkpoint.objects.filter(pk=previous.pk).update(state=State.CURRENT)
    previous.refresh_from_db()
    audit.record(actor=by, action="checkpoint went back", target=previous, leaves=left.pk if left else None)
    return previous


def _lock(key: tuple[int, int]) -> None:
    """Put those who decide the same thing at once in line, until the transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", key)


def _retire_current() -> Checkpoint | None:
    _lock(CURRENT_LOCK)
    current = Checkpoint.objects.filter(state=State.CURRENT).first()
    if current:
        Checkpoint.objects.filter(pk=current.pk).update(state=State.RETIRED)
    return current


def _make_current(checkpoint: Checkpoint, **changes: str) -> None:
    Checkpoint.objects.filter(pk=checkpoint.pk).update(state=State.CURRENT, promoted_at=timezone.now(), **changes)
    checkpoint.refresh_from_db()


@transaction.atomic
def retrain_when_due() -> TrainingRun | None:
    """Train again, as the current checkpoint was trained, once enough corrections came since the newest run began."""
    needed = settings.RETRAIN_AFTER_CORRECTIONS
    _lock(RETRAIN_LOCK)
    last = TrainingRun.objects.order_by("-pk").first()
    current = Checkpoint.objects.filter(state=State.CURRENT).select_related("run").first()
    if not needed or current is None or last is None or last.state in job_state.OPEN:
        return None
    model = current.run
    dataset_ids = list(model.datasets.values_list("pk", flat=True))
    since = last.started_at or last.created_at
    fresh = training_pool.corrections(dataset_ids).filter(created_at__gt=since)
    count = fresh.values("recording").distinct().count()
    if count < needed:
        return None
    return start_training(
        config_name=model.config_name,
        config=model.config,
        dataset_ids=dataset_ids,
        seed=model.seed,
        by=None,
        trigger=f"{count} corrections since run {last.pk} (rule: {needed})",
    )
