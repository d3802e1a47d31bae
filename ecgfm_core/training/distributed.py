"""The processes of one training, as ``torchrun`` starts them: who leads, what they add up, how they end together.

A step is made of `Config.accumulate` parts, each one forward pass of up to `Config.batch` recordings with randomness of
its own, and the processes share the parts evenly. So any number of processes that divides `accumulate` makes the same
steps, but for rounding; the negatives of other patients come from the same part.

Without torchrun's environment there is one process, and nothing here does anything. Several GPUs (NCCL) take the same
way as several CPUs (gloo), but for the backend's name and the device.
"""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from ecgfm_core.errors import TrainingError

_MEET = timedelta(hours=6)  # another host may still prepare its waveforms
_LOST_AFTER = timedelta(minutes=10)  # without an answer in the middle of a step
_LOST_WORDS = ("gloo", "nccl", "connection closed", "connection reset", "timed out", "broken pipe", "tcpstore")


@dataclass
class Team:
    """This process among those of one training; ranks count from 0, and rank 0 writes."""

    rank: int = 0
    count: int = 1
    local_rank: int = 0
    group: distributed.ProcessGroup | None = None

    @classmethod
    def of_environment(cls) -> "Team":
        """Read what ``torchrun`` says; one process without it."""
        if "TORCHELASTIC_RUN_ID" not in os.environ:
            return cls()
        rank, count, local_rank = (int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
        return cls(rank, count, local_rank)

    @property
    def leads(self) -> bool:
        """Whether this process writes the run's folder."""
        return self.rank == 0

    def device_name(self, asked: str) -> str:
        """Give each process of a host a GPU of its own where GPUs are asked for."""
        several = self.count > 1 and asked in ("auto", "cuda") and torch.cuda.is_available()
        return f"cuda:{self.local_rank}" if several else asked

    def check_shares(self, parts: int, batch: int, rows: int) -> None:
        """Refuse a number of processes that can't share every step evenly.

        Raises
        ------
        TrainingError
            If the parts of a step don't divide, or there are too few recordings for every part to hold one.
        """
        if parts % self.count:
            raise TrainingError(
                f"{self.count} processes can't share accumulate={parts} forward passes a step evenly; set accumulate "
                f"to a multiple of {self.count}, or start a number of processes that divides {parts}"
            )
        steps = max(1, -(-rows // (parts * batch)))
        if self.count > 1 and rows // steps < parts:
            raise TrainingError(
                f"{rows} recordings in the training split are too few for accumulate={parts} forward passes a step on "
                f"{self.count} processes; lower accumulate or start one process"
            )

    def share(self, parts: int) -> range:
        """Say which parts of a step are this process's."""
        each = parts // self.count
        return range(self.rank * each, (self.rank + 1) * each)

    @contextmanager
    def joined(self, device: torch.device) -> Iterator[None]:
        """Meet the other processes, and part at a good end; what fails leaves at once, so that the others notice."""
        if self.count == 1:
            yield
            return
        distributed.init_process_group("gloo" if device.type == "cpu" else "cpu:gloo,cuda:nccl", timeout=_MEET)
        self.group = distributed.new_group(timeout=_LOST_AFTER)
        yield
        self.any(False)
        distributed.destroy_process_group()

    @contextmanager
    def in_words(self) -> Iterator[None]:
        """Say which process failed, and in words that another one was lost."""
        if self.count == 1:
            yield
            return
        name = f"Process {self.rank + 1} of {self.count}"
        try:
            yield
        except TrainingError as error:
            raise TrainingError(f"{name}: {error}") from error
        except RuntimeError as error:
            if not any(words in str(error).lower() for words in _LOST_WORDS):
                raise
            first = str(error).splitlines()[0]
            raise TrainingError(
                f"{name} lost another process of this training, which failed, was killed (for memory, perhaps) or "
                f"can't be reached; see the log for its last words. The same command goes on from the last state. "
                f"({first})"
            ) from error

    def wrapped(self, module: nn.Module) -> nn.Module:
        """Let the gradients of a module be the mean over the processes (Li et al., PyTorch Distributed, 2020)."""
        if self.count == 1:
            return module
        # A part without text, say, leaves weights without a gradient: hence find_unused_parameters.
        return DistributedDataParallel(module, process_group=self.group, find_unused_parameters=True)

    def held_back(self, module: nn.Module, *, last: bool) -> AbstractContextManager[None]:
        """Exchange gradients in the last pass of a step only."""
        return module.no_sync() if isinstance(module, DistributedDataParallel) and not last else nullcontext()

    def sum(self, values: np.ndarray) -> np.ndarray:
        """Add up float64 numbers over the processes."""
        return self._reduced(values, distributed.ReduceOp.SUM)

    def largest(self, value: float) -> float:
        """Give the largest of the processes' numbers."""
        return float(self._reduced(np.array([value]), distributed.ReduceOp.MAX)[0])

    def any(self, said: bool) -> bool:
        """Whether one process says so; all of them hear the same answer."""
        return self.largest(said) > 0

    def _reduced(self, values: np.ndarray, how: distributed.ReduceOp.RedOpType) -> np.ndarray:
        if self.count == 1 or not values.size:
            return values
        tensor = torch.from_numpy(np.array(values, dtype=np.float64))
        distributed.all_reduce(tensor, how, group=self.group)
        return tensor.numpy()
