"""Several processes make the training of one: the same losses, gone on with by any number, and an end in words."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from ecgfm_core import configs
from ecgfm_core.errors import TrainingError
from ecgfm_core.model.device import in_words
from ecgfm_core.training.distributed import Team
from ecgfm_core.training.pretrain import TrainingOptions, pretrain
from ecgfm_core.training.run_folder import RunFolder, read_metrics
from tests.ecgfm_core.tiny_data import TINY, make

# 20 steps of two parts; validation in two passes, so that each process has one.
SHORT = {**TINY, "batch": 6, "accumulate": 2, "epochs": 10, "validate_epochs": 5, "save_every_s": 0, "width": 16}
STEPS, TIMEOUT_S = 20, 120


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make(tmp_path_factory.mktemp("data"), 24, 72, seconds=2.5)


def command(data: tuple[Path, Path], out: Path, **changes: object) -> list[str]:
    """Two processes."""
    sets = [part for key, value in {**SHORT, **changes}.items() for part in ("--set", f"{key}={value}")]
    words = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
    words += ["ecgfm_core.cli", "pretrain", "--threads", "1", "--device", "cpu", "--seed", "1"]
    return [*words, "--manifest", str(data[0]), "--waveforms", str(data[1]), "--out", str(out), *sets]


def train_alone(data: tuple[Path, Path], out: Path, **changes: object) -> Path:
    """One process, this one, makes both parts of every step."""
    config = configs.build("tiny_cpu", {**SHORT, **changes})
    options = TrainingOptions(device="cpu")
    pretrain(manifest_path=data[0], waveform_folder=data[1], config=config, seed=1, out=out, options=options)
    torch.use_deterministic_algorithms(False)
    return out


@contextmanager
def running(words: list[str]) -> Iterator["subprocess.Popen[bytes]"]:
    """A training in a session of its own; nothing of it outlives the test."""
    process = subprocess.Popen(words, start_new_session=True)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def curves(out: Path) -> dict[tuple[int, str], float]:
    """Every figure that does not speak of the machine."""
    machine = ("records_per_s", "peak_memory_mb")
    return {(one["step"], one["name"]): one["value"] for one in read_metrics(out) if one["name"] not in machine}


def weights(out: Path) -> dict[str, np.ndarray]:
    return load_file(out / "checkpoint" / "weights.safetensors")


def wait_for_step(process: "subprocess.Popen[bytes]", out: Path, step: int) -> int:
    """Wait until a run has saved a state after `step`; gives the process that leads."""
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        assert process.poll() is None, "the run ended before it could be stopped"
        if (out / "state.safetensors").exists() and max(one["step"] for one in read_metrics(out)) >= step:
            return int(json.loads((out / "progress.json").read_text())["pid"])
        time.sleep(0.02)
    pytest.fail(f"no state of step {step} within {TIMEOUT_S} s")


def children(pid: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid and fields[0] != "Z":
            found.append(int(stat.parent.name))
    return found


@pytest.fixture(scope="module")
def alone(data: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_alone(data, tmp_path_factory.mktemp("alone"))


def test_two_processes_give_the_losses_and_the_weights_of_one(
    data: tuple[Path, Path], alone: Path, tmp_path: Path
) -> None:
    done = subprocess.run(command(data, tmp_path), capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("checkpoint: ") == 1
    found, expected = curves(tmp_path), curves(alone)
    assert {step for step, name in found if name == "train_loss"} == set(range(1, STEPS + 1))
    assert found == pytest.approx(expected, rel=1e-4, abs=1e-4)
    for name, weight in weights(alone).items():
        np.testing.assert_allclose(weights(tmp_path)[name], weight, atol=1e-4, err_msg=name)
    progress = json.loads((tmp_path / "progress.json").read_text())
    assert (progress["message"], progress["processes"]) == ("done", 2)
    assert progress["peak_memory_mb"] > 100
    assert json.loads((tmp_path / "checkpoint" / "checkpoint.json").read_text())["provenance"]["processes"] == 2


def test_a_killed_process_ends_the_other_in_words_and_one_alone_goes_on(
    data: tuple[Path, Path], alone: Path, tmp_path: Path
) -> None:
    """The state is one that any number of processes can take up."""
    with running(command(data, tmp_path)) as process:
        leader = wait_for_step(process, tmp_path, 3)
        (other,) = set(children(process.pid)) - {leader}
        os.kill(other, signal.SIGKILL)
        assert process.wait(60) != 0
    assert not any(Path(f"/proc/{pid}").exists() for pid in (leader, other))
    words = (tmp_path / "failure.txt").read_text()
    assert "Process 1 of 2 lost another process" in words
    assert "goes on from the last state" in words
    assert not (tmp_path / "checkpoint").exists()
    assert curves(train_alone(data, tmp_path)) == pytest.approx(curves(alone), rel=1e-4, abs=1e-4)
    assert not (tmp_path / "failure.txt").exists()
    lines = [(one["step"], one["name"]) for one in read_metrics(tmp_path)]
    assert len(lines) == len(set(lines))
    _same_curves_in_tensorboard(tmp_path)


def _same_curves_in_tensorboard(out: Path) -> None:
    """What the event files of several starts hold is what the metrics hold, each point once."""
    board = EventAccumulator(str(out / "tensorboard"), size_guidance={"scalars": 0})
    board.Reload()
    expected: dict[str, list[tuple[int, float]]] = {}
    for one in read_metrics(out):
        split, _, rest = one["name"].partition("_")
        name = f"{split}/{rest}" if split in ("train", "validate") else one["name"]
        expected.setdefault(name, []).append((one["step"], one["value"]))
    assert set(board.Tags()["scalars"]) == set(expected) > {"train/loss", "validate/loss", "peak_memory_mb"}
    for name, points in expected.items():
        found = [(event.step, event.value) for event in board.Scalars(name)]
        assert [step for step, _ in found] == [step for step, _ in points]
        np.testing.assert_allclose([value for _, value in found], [value for _, value in points], rtol=1e-6)


HOLD = """
import sys, time
from pathlib import Path
from ecgfm_core.training.run_folder import RunFolder, Stopped
with RunFolder(Path(sys.argv[1])).held(int(sys.argv[2])) as folder:
    print("held", flush=True)
    while True:
        folder.check_stop()
        time.sleep(0.02)
"""
BETWEEN = "import subprocess, sys; subprocess.run([sys.executable, '-c', *sys.argv[1:]])"
START = "import os, subprocess, sys; subprocess.run([sys.executable, '-c', *sys.argv[1:], str(os.getpid())])"


def test_processes_end_with_the_worker_that_started_torchrun(tmp_path: Path) -> None:
    """A worker killed with -9 leaves no orphans that train on, though torchrun between them lives."""
    words = [sys.executable, "-c", START, BETWEEN, HOLD, str(tmp_path)]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"held\n"
        (between,) = children(parent.pid)
        (holder,) = children(between)
        time.sleep(0.7)  # it has looked, and the one that started torchrun was there
        assert children(between) == [holder]
        parent.kill()
    deadline = time.monotonic() + 10
    while Path(f"/proc/{between}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(f"/proc/{holder}").exists()


def test_failures_name_the_process_and_the_first_reason_stands(tmp_path: Path) -> None:
    leading, other = RunFolder(tmp_path), RunFolder(tmp_path, leads=False)

    def fail_too() -> None:
        with pytest.raises(TrainingError), other.held(), Team(1, 2).in_words(), in_words("lower batch"):
            raise MemoryError("Unable to allocate 3 TiB")
        raise RuntimeError("[gloo/transport/tcp/pair.cc:534] Connection closed by peer")

    with pytest.raises(TrainingError, match="lost another process"), leading.held(), Team(0, 2).in_words():
        fail_too()
    assert "Process 2 of 2: Out of memory: lower batch (Unable" in (tmp_path / "failure.txt").read_text()
    with pytest.raises(RuntimeError, match=r"^shapes differ$"), Team(0, 2).in_words():
        raise RuntimeError("shapes differ")


def test_only_the_leading_process_writes(tmp_path: Path) -> None:
    with RunFolder(tmp_path, leads=False).held() as folder:
        folder.bind({"seed": 1})
        folder.progress("training", force=True)
        folder.append_metrics(1, {"loss": 1.0})
        folder.keep_metrics_until(0)
    assert list(tmp_path.iterdir()) == []


def test_an_uneven_share_is_refused() -> None:
    with pytest.raises(TrainingError, match="set accumulate to a multiple of 2"):
        Team(0, 2).check_shares(3, 8, 100)


def test_shares_are_even_and_whole() -> None:
    parts = [part for rank in range(4) for part in Team(rank, 4).share(8)]
    assert parts == list(range(8))
    assert list(Team().share(3)) == [0, 1, 2]
    Team(0, 4).check_shares(8, 2, 8)
    with pytest.raises(TrainingError, match="5 recordings in the training split are too few for accumulate=8"):
        Team(0, 4).check_shares(8, 2, 5)
    Team().check_shares(8, 2, 5)
