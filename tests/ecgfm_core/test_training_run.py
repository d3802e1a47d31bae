"""A training run: stopped or killed and gone on with, it ends in the same weights bit for bit; it fails in words."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from ecgfm_core import configs, manifest
from ecgfm_core.errors import EcgfmError, TrainingError
from ecgfm_core.model import device
from ecgfm_core.model.ecgfm import Ecgfm
from ecgfm_core.training.checkpoint import load_checkpoint
from ecgfm_core.training.dataset import Cache, targets_of
from ecgfm_core.training.loop import Plan, Trainer
from ecgfm_core.training.pretrain import TrainingOptions, pretrain
from ecgfm_core.training.run_folder import read_metrics
from tests.ecgfm_core.tiny_data import TINY, make

SHORT = {**TINY, "epochs": 4, "validate_epochs": 2, "save_every_s": 1000}
ONE = TrainingOptions(threads=1, device="cpu")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make(tmp_path_factory.mktemp("data"), 24, 12)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)
    torch.use_deterministic_algorithms(False)


def train(data: tuple[Path, Path], out: Path, seed: int = 1, **changes: object) -> Path:
    config = configs.build("tiny_cpu", {**SHORT, **changes})
    return pretrain(manifest_path=data[0], waveform_folder=data[1], config=config, seed=seed, out=out, options=ONE)


def command(data: tuple[Path, Path], out: Path, *more: str, **changes: object) -> list[str]:
    sets = [part for key, value in {**SHORT, **changes}.items() for part in ("--set", f"{key}={value}")]
    words = [sys.executable, "-m", "ecgfm_core.cli", "pretrain", "--threads", "1", "--device", "cpu", "--seed", "1"]
    return [*words, "--manifest", str(data[0]), "--waveforms", str(data[1]), "--out", str(out), *sets, *more]


def weights(checkpoint: Path) -> bytes:
    return (checkpoint / "weights.safetensors").read_bytes()


def wait_for_step(process: "subprocess.Popen[bytes]", out: Path, step: int) -> None:
    """Wait until the run has passed `step` and saved a state."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert process.poll() is None, "the run ended before it could be stopped"
        reached = json.loads((out / "progress.json").read_text())["step"] if (out / "progress.json").exists() else 0
        if reached >= step and (out / "state.safetensors").exists():
            return
        time.sleep(0.02)
    pytest.fail(f"no state of step {step} within 60 s")


def test_a_run_killed_with_minus_9_ends_in_the_weights_of_an_unbroken_one(
    data: tuple[Path, Path], tmp_path: Path
) -> None:
    unbroken = train(data, tmp_path / "unbroken", epochs=20, save_every_s=0.1)
    out = tmp_path / "killed"
    words = command(data, out, epochs=20, save_every_s=0.1)
    process = subprocess.Popen(words)
    wait_for_step(process, out, 7)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (out / "checkpoint").exists()
    assert subprocess.run(words, check=False).returncode == 0
    assert weights(out / "checkpoint") == weights(unbroken)
    lines = [(one["step"], one["name"]) for one in read_metrics(out)]
    assert len(lines) == len(set(lines))
    assert lines == [(one["step"], one["name"]) for one in read_metrics(tmp_path / "unbroken")]


def test_sigterm_stops_after_a_step_with_exit_3_and_the_same_command_goes_on(
    data: tuple[Path, Path], tmp_path: Path
) -> None:
    words = command(data, tmp_path, epochs=20)
    process = subprocess.Popen(words)
    deadline = time.monotonic() + 60
    while not list(read_metrics(tmp_path)) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.terminate()
    assert process.wait(30) == 3
    assert (tmp_path / "state.safetensors").exists()
    assert not (tmp_path / "failure.txt").exists()
    assert weights(train(data, tmp_path, epochs=20)) == weights(train(data, tmp_path / "unbroken", epochs=20))


def test_the_run_ends_with_its_parent(data: tuple[Path, Path], tmp_path: Path) -> None:
    """A worker killed with -9 leaves no orphan that trains on."""
    words = command(data, tmp_path / "run", epochs=100_000, save_every_s=0.1)
    starter = f"import subprocess, sys; print(subprocess.Popen({words!r}).pid, flush=True); sys.stdin.read()"
    parent = subprocess.Popen([sys.executable, "-c", starter], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    deadline = time.monotonic() + 60
    while not (tmp_path / "run" / "state.safetensors").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 15
    while _alive(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _alive(child)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_the_same_seed_gives_the_same_loss_and_another_seed_another(data: tuple[Path, Path], tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("one", "same", "other")]
    found = [train(data, folder, seed) for folder, seed in zip(folders, (1, 1, 2), strict=True)]
    assert weights(found[0]) == weights(found[1])
    assert weights(found[0]) != weights(found[2])

    def curve(folder: Path) -> list[tuple[int, float]]:
        return [(one["step"], one["value"]) for one in read_metrics(folder) if one["name"] == "train_loss"]

    assert curve(folders[0]) == curve(folders[1]) != curve(folders[2])


def test_a_finished_run_leaves_a_checkpoint_with_provenance_and_metrics(
    data: tuple[Path, Path], tmp_path: Path
) -> None:
    folder = train(data, tmp_path, epochs=12, learning_rate=3e-3)
    header = json.loads((folder / "checkpoint.json").read_text())
    assert header["label_codes"] == ["426783006", "59931005"]
    assert header["embedding_width"] == 128
    assert header["config"]["name"] == "tiny_cpu"
    assert header["provenance"]["recordings_trained_on"] == 24
    assert header["provenance"]["seed"] == 1
    assert header["provenance"]["manifest_sha256"]
    assert header["metrics"]["validate_abnormal_auroc"] > 0.8
    progress = json.loads((tmp_path / "progress.json").read_text())
    assert (progress["step"], progress["total_steps"], progress["message"]) == (36, 36, "done")
    assert {"train_contrastive", "train_retrieval_accuracy", "train_text", "records_per_s", "validate_loss"} <= {
        one["name"] for one in read_metrics(tmp_path)
    }
    assert not (tmp_path / "state.safetensors").exists()
    assert not (tmp_path / "cache").exists()
    before = weights(folder)
    assert train(data, tmp_path, epochs=12, learning_rate=3e-3) == folder  # again: nothing left to do
    assert weights(folder) == before


def test_consensus_recordings_are_named_and_the_test_split_is_not_used(data: tuple[Path, Path], tmp_path: Path) -> None:
    entries = manifest.read(data[0])
    entries = [
        replace(
            one, label_source="consensus" if one.id in (3, 5) else "source", split="test" if one.id < 2 else one.split
        )
        for one in entries
    ]
    manifest.write(tmp_path / "m.jsonl", entries)
    header = json.loads((train((tmp_path / "m.jsonl", data[1]), tmp_path / "run") / "checkpoint.json").read_text())
    assert header["provenance"]["consensus_ids"] == [3, 5]
    assert header["provenance"]["recordings_trained_on"] == 22


def test_another_command_in_the_same_folder_is_refused(data: tuple[Path, Path], tmp_path: Path) -> None:
    train(data, tmp_path)
    with pytest.raises(TrainingError, match="another seed; go on with the same command"):
        train(data, tmp_path, seed=2)
    with pytest.raises(TrainingError, match="another config"):
        train(data, tmp_path, epochs=9)


def test_a_second_process_in_the_same_folder_is_refused(data: tuple[Path, Path], tmp_path: Path) -> None:
    process = subprocess.Popen(command(data, tmp_path, epochs=100_000, save_every_s=0.1))
    wait_for_step(process, tmp_path, 1)
    with pytest.raises(TrainingError, match="held by another process"):
        train(data, tmp_path, epochs=100_000, save_every_s=0.1)
    assert not (tmp_path / "failure.txt").exists()
    process.terminate()
    assert process.wait(30) == 3


def test_a_loss_that_is_not_finite_fails_in_words(data: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="not finite"):
        train(data, tmp_path, learning_rate=1e30, warmup_share=0)
    reason = (tmp_path / "failure.txt").read_text()
    assert "lower learning_rate (now 1e+30)" in reason
    assert "Step " in reason


def test_out_of_memory_fails_in_words(data: tuple[Path, Path], tmp_path: Path) -> None:
    """A network that no machine holds: the allocator itself says no."""
    with pytest.raises(TrainingError, match="Out of memory: lower batch"):
        train(data, tmp_path, width=2**40, heads=2)
    assert "choose a smaller config" in (tmp_path / "failure.txt").read_text()


def test_a_gpu_without_memory_fails_in_words() -> None:
    with pytest.raises(TrainingError, match=r"Out of memory: less .CUDA out of memory"), device.in_words("less"):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")


def test_other_errors_are_not_called_memory() -> None:
    with pytest.raises(RuntimeError, match="shapes"), device.in_words("less"):
        raise RuntimeError("shapes differ")


def test_what_cannot_be_trained_is_refused(data: tuple[Path, Path], tmp_path: Path) -> None:
    manifest.write(tmp_path / "m.jsonl", [replace(one, split="validate") for one in manifest.read(data[0])])
    with pytest.raises(TrainingError, match="0 recordings in the training split"):
        train((tmp_path / "m.jsonl", data[1]), tmp_path / "a")
    with pytest.raises(EcgfmError, match=r"nothing.jsonl"):
        train((tmp_path / "nothing.jsonl", data[1]), tmp_path / "b")
    with pytest.raises(TrainingError, match="'abacus' is not here"):
        device.choose_device("abacus", None)
    with pytest.raises(TrainingError, match="0 threads"):
        device.choose_device("cpu", 0)


def test_recordings_without_text_labels_or_validation_can_be_trained(data: tuple[Path, Path], tmp_path: Path) -> None:
    entries = [
        replace(one, text="", labels={}, abnormal=None) for one in manifest.read(data[0]) if one.split == "train"
    ]
    manifest.write(tmp_path / "m.jsonl", entries)
    folder = train((tmp_path / "m.jsonl", data[1]), tmp_path / "run")
    assert load_checkpoint(folder).label_codes == ()


def test_a_run_without_text_goes_on_too(data: tuple[Path, Path], tmp_path: Path) -> None:
    """Weights that never had a gradient have no optimizer state to go on with."""
    manifest.write(tmp_path / "m.jsonl", [replace(one, text="") for one in manifest.read(data[0])])
    config = configs.build("tiny_cpu", SHORT)
    plan = Plan(np.arange(24), config, 0)
    entries = manifest.read(tmp_path / "m.jsonl")
    cache = Cache.open(tmp_path / "cache", entries, data[1], 100.0, lambda *_: None)
    known = targets_of(entries, ["59931005"], lambda _: [])
    torch.manual_seed(0)
    one = Trainer(Ecgfm(config, 1, 10), plan, torch.device("cpu"))
    one.step(cache, known)
    one.save(tmp_path / "state.safetensors")
    other = Trainer(Ecgfm(config, 1, 10), plan, torch.device("cpu"))
    assert other.resume(tmp_path / "state.safetensors") == 1
    for trainer in (one, other):
        trainer.step(cache, known)
    for left, right in zip(one.averaged.parameters(), other.averaged.parameters(), strict=True):
        assert torch.equal(left, right)


def test_a_damaged_checkpoint_is_refused(data: tuple[Path, Path], tmp_path: Path) -> None:
    folder = train(data, tmp_path)
    kept = bytearray(weights(folder))
    kept[-1] ^= 1
    (folder / "weights.safetensors").write_bytes(kept)
    with pytest.raises(TrainingError, match=r"weights.safetensors is damaged"):
        load_checkpoint(folder)
    (folder / "weights.safetensors").unlink()
    with pytest.raises(TrainingError, match="can't be read"):
        load_checkpoint(folder)


def test_a_damaged_state_is_refused(data: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "state.safetensors").write_bytes(b"not a state")
    with pytest.raises(TrainingError, match="delete it to start from the first step"):
        train(data, tmp_path)


def test_every_epoch_sees_every_recording_once() -> None:
    config = configs.build("tiny_cpu", {**TINY, "batch": 4, "accumulate": 2, "epochs": 3})
    plan = Plan(np.arange(100, 121), config, seed=5)
    assert (plan.steps_per_epoch, plan.total_steps) == (3, 9)
    orders = []
    for epoch in range(3):
        steps = range(epoch * 3, epoch * 3 + 3)
        orders.append(np.concatenate([part for step in steps for part in plan.batches(step)]).tolist())
    assert all(sorted(order) == list(range(100, 121)) for order in orders)
    assert orders[0] != orders[1]
    longer = Plan(np.arange(8), configs.build("tiny_cpu", {**TINY, "epochs": 1, "steps_min": 7}), seed=5)
    assert longer.total_steps == 7


def test_the_learning_rate_warms_up_and_falls() -> None:
    config = configs.build("tiny_cpu", {**TINY, "epochs": 100, "warmup_share": 0.1})
    model = Ecgfm(config, 1, 10)
    trainer = Trainer(model, Plan(np.arange(8), config, 0), torch.device("cpu"))
    rates = [trainer.learning_rate(step) for step in range(100)]
    assert rates[0] == pytest.approx(config.learning_rate / 10)
    assert max(rates) == pytest.approx(config.learning_rate)
    assert rates.index(max(rates)) in (9, 10)
    assert rates[-1] < 0.03 * config.learning_rate


def test_accumulated_passes_change_the_weights_as_one_step(data: tuple[Path, Path], tmp_path: Path) -> None:
    header = json.loads((train(data, tmp_path, batch=4, accumulate=2, epochs=1) / "checkpoint.json").read_text())
    assert header["provenance"]["steps"] == 3


def test_the_progress_of_a_running_process_can_be_read_at_any_time(data: tuple[Path, Path], tmp_path: Path) -> None:
    process = subprocess.Popen(command(data, tmp_path, epochs=100_000, validate_epochs=100_000, save_every_s=0.1))
    wait_for_step(process, tmp_path, 1)
    for _ in range(50):
        progress = json.loads((tmp_path / "progress.json").read_text())
        assert progress["pid"] == process.pid
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGINT)
    assert process.wait(30) == 3
