"""What a running training says of itself: progress, metrics, and the same curves as TensorBoard files.

In the run folder: ``progress.json`` (now), ``metrics.jsonl`` (one line a value) and ``tensorboard/`` (event files; of
two that overlap after a kill, the later holds). Losses are in units of their chance level: 1.0 is guessing.
"""

import resource
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch.utils.tensorboard import SummaryWriter

from ecgfm_core.training.distributed import Team
from ecgfm_core.training.loop import Plan
from ecgfm_core.training.run_folder import RunFolder

TENSORBOARD = "tensorboard"
_MB = 1e6
_SPLITS = ("train_", "validate_")  # groups of curves


def peak_memory_mb() -> float:
    """Most memory that this process has held at once, in MB."""
    try:  # the peak that getrusage gives is also that of the process this one was started from
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1]) * 1024 / _MB
    except (OSError, StopIteration):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak * (1 if sys.platform == "darwin" else 1024) / _MB


def peak_gpu_memory_mb(device: torch.device) -> float:
    """Most GPU memory that this process has held at once, in MB; 0 on a CPU."""
    return torch.cuda.max_memory_reserved(device) / _MB if device.type == "cuda" else 0.0


class Report:
    """Follows a training from `step` on; called by every process of the team, written by the one that leads."""

    def __init__(self, folder: RunFolder, plan: Plan, team: Team, device: torch.device, step: int) -> None:
        self.folder, self.plan, self.team, self.device = folder, plan, team, device
        folder.keep_metrics_until(step)
        self.board = SummaryWriter(folder.path / TENSORBOARD, purge_step=step + 1) if team.leads else None
        self.started, self.seen, self.rate, self.step = time.monotonic(), 0, 0.0, step
        self.said: dict[str, float] = {}

    def passed(self, step: int, seen: int) -> None:
        """Count a step in which all processes saw `seen` recordings, and say how far the run is."""
        self.step, self.seen = step, self.seen + seen
        self.rate = self.seen / max(1e-9, time.monotonic() - self.started)
        epoch = min(self.plan.epochs, self.plan.epoch_of(step) + 1)
        self.folder.progress(f"epoch {epoch} of {self.plan.epochs}", **self.place())

    def place(self) -> dict[str, Any]:
        """Say how far the run is, how fast, at what cost, and the newest figures."""
        left = (self.plan.total_steps - self.step) * len(self.plan.rows) / self.plan.steps_per_epoch
        return {
            "step": self.step, "total_steps": self.plan.total_steps, "epoch": self.plan.epoch_of(self.step),
            "records_per_s": round(self.rate, 1), "eta_s": round(left / self.rate, 1) if self.rate else None,
            "processes": self.team.count, **self.said,
        }  # fmt: skip

    def figures(self, values: Mapping[str, float | None]) -> None:
        """Write figures of the current step; None is left out."""
        known = {name: float(value) for name, value in values.items() if value is not None}
        self.said |= {name: float(f"{value:.4g}") for name, value in known.items() if name != "records_per_s"}
        self.folder.append_metrics(self.step, known)
        if self.board:
            for name, value in known.items():
                self.board.add_scalar(name.replace("_", "/", 1) if name.startswith(_SPLITS) else name, value, self.step)

    def machine(self) -> dict[str, float]:
        """Give the rate, and the peak memory of the process that took most."""
        gpu = self.team.largest(peak_gpu_memory_mb(self.device))
        host = {"records_per_s": self.rate, "peak_memory_mb": self.team.largest(peak_memory_mb())}
        return {**host, "peak_gpu_memory_mb": gpu} if gpu else host

    def flush(self) -> None:
        """Put on disk what was said, before a state is saved that goes on from here."""
        if self.board:
            self.board.flush()

    def close(self) -> None:
        """End the event file."""
        if self.board:
            self.board.close()
