"""A worker killed in mid-training: noticed, gone on with, never run twice, the same weights as without it."""

import psutil

from annotator.models import Checkpoint, TrainingRun
from annotator.models.jobs import JobState
from annotator.services import checkpoints
from tests.workers.conftest import SMALL, ended, wait_for

LONGER = {**SMALL, "epochs": 12, "save_every_s": 0.2}


def trainers(run: TrainingRun) -> list[psutil.Process]:
    """Return the training processes of a run."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or []
        if "pretrain" in command and str(checkpoints.run_folder(run)) in command:
            found.append(process)
    return found


def start(dataset, admin, **changes: object) -> TrainingRun:
    config = {**LONGER, **changes}
    return checkpoints.start_training(config_name="tiny_cpu", config=config, dataset_ids=[dataset.pk], seed=1, by=admin)


def test_a_worker_killed_in_mid_training(worker, dataset, admin, settings):
    assert settings.JOB_STALE_S + 10 < 60, "a dead worker must be noticed within 60 s"
    broken = start(dataset, admin)
    state = checkpoints.run_folder(broken) / "metrics.jsonl"
    wait_for(lambda: state.exists() and TrainingRun.objects.get(pk=broken.pk).progress.get("step", 0) > 10, "ten steps")
    assert len(trainers(broken)) == 1
    worker.kill()
    assert not ended(broken)
    wait_for(lambda: not trainers(broken), "the orphan's end", 30)

    worker.start("--beat", "--schedule", str(worker.log.with_name("beat")), JOB_STALE_S="3")
    twice = []

    def watch() -> bool:
        twice.append(len(trainers(broken)) > 1)
        return ended(broken)

    wait_for(watch, "the second attempt")
    assert broken.state == JobState.FINISHED, broken.failure + broken.log
    assert broken.attempt == 2
    assert not any(twice)

    whole = start(dataset, admin)
    wait_for(lambda: ended(whole), "the unbroken run")
    assert whole.attempt == 1
    weights = {run.pk: Checkpoint.objects.get(run=run).sha256 for run in (broken, whole)}
    assert weights[broken.pk] == weights[whole.pk]
    curves = [
        list(run.metrics.order_by("name", "step").values_list("name", "step", "value")) for run in (broken, whole)
    ]
    timeless = [[point for point in curve if "per_s" not in point[0]] for curve in curves]
    assert timeless[0] == timeless[1]


def test_cancelling_a_training(worker, dataset, admin):
    run = start(dataset, admin, epochs=5000)
    wait_for(lambda: TrainingRun.objects.get(pk=run.pk).progress.get("step", 0) > 2, "two steps")
    checkpoints.cancel_training(run=run, by=admin)
    wait_for(lambda: ended(run), "the end", 30)
    assert run.state == JobState.CANCELLED
    assert not trainers(run)
    assert not Checkpoint.objects.exists()


def test_a_trainer_that_fails_says_why(worker, dataset, admin, settings):
    for file in settings.WAVEFORM_DIR.glob("*/*"):
        file.unlink()
    run = start(dataset, admin)
    wait_for(lambda: ended(run), "the end", 60)
    assert run.state == JobState.FAILED
    assert "Waveform" in run.failure
    assert run.log
