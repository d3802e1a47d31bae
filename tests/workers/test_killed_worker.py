"""A worker killed in mid-training: noticed, gone on with, never run twice, the same weights as without it."""

import re

import psutil
import pytest

from annotator.models import Checkpoint, TrainingRun
from annotator.models.jobs import JobState
from annotator.services import checkpoints
from tests.workers.conftest import SMALL, ended, wait_for
from workers import training

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
    assert len(list((settings.CHECKPOINT_DIR / training.CACHE).glob("*/index.json"))) == 1  # prepared once for both
    timeless = [[point for point in curve if not re.search("per_s|memory", point[0])] for curve in curves]
    assert timeless[0] == timeless[1]


def test_a_training_is_split_over_processes(worker, dataset, admin):
    worker.stop()
    worker.start(TRAINING_PROCESSES="2")
    run = start(dataset, admin, epochs=3, accumulate=2, batch=4)
    wait_for(lambda: ended(run), "the end")
    assert run.state == JobState.FINISHED, run.failure + run.log
    assert Checkpoint.objects.get(run=run).provenance["processes"] == 2
    assert run.metrics.filter(name="peak_memory_mb").exists()


@pytest.mark.parametrize(
    ("allowed", "accumulate", "expected"), [(2, 1, 1), (2, 4, 2), (4, 6, 3), (8, 8, 8), (0, 4, 1), (0, 1, 1)]
)
def test_processes_share_every_step_evenly(settings, allowed, accumulate, expected):
    settings.TRAINING_PROCESSES = allowed  # 0: one a GPU, of which there is none here
    run = TrainingRun(config_name="tiny_cpu", config={"accumulate": accumulate})
    if allowed or accumulate == 1 or not training.gpu_count():
        assert training.process_count(run) == expected


def test_cancelling_a_training_of_two_processes(worker, dataset, admin):
    worker.stop()
    worker.start(TRAINING_PROCESSES="2")
    run = start(dataset, admin, epochs=5000, accumulate=2, batch=4)
    wait_for(lambda: TrainingRun.objects.get(pk=run.pk).progress.get("step", 0) > 2, "two steps")
    assert len(trainers(run)) == 3  # torchrun and its two
    checkpoints.cancel_training(run=run, by=admin)
    wait_for(lambda: ended(run), "the end", 30)
    assert run.state == JobState.CANCELLED
    assert not trainers(run)
    assert not Checkpoint.objects.exists()
    assert (checkpoints.run_folder(run) / "stopped").exists()  # by themselves, after the step they were in


def test_a_trainer_that_fails_says_why(worker, dataset, admin, settings):
    for file in settings.WAVEFORM_DIR.glob("*/*"):
        file.unlink()
    run = start(dataset, admin)
    wait_for(lambda: ended(run), "the end", 60)
    assert run.state == JobState.FAILED
    assert "Waveform" in run.failure
    assert run.log
