"""The training loop: AdamW, warm-up and cosine, clipping, averaged weights, and a state that goes on bit for bit.

All randomness is a function of the seed, the step and the part of the step, so there is no generator to save, and it
does not matter which process makes which part.
"""

import copy
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ecgfm_core.configs import Config
from ecgfm_core.errors import TrainingError
from ecgfm_core.leads import STANDARD_LEADS
from ecgfm_core.model.ecgfm import Ecgfm
from ecgfm_core.training.checkpoint import load_state, save_state
from ecgfm_core.training.dataset import Cache, Targets, batch_of
from ecgfm_core.training.distributed import Team
from ecgfm_core.training.objectives import PARTS, TensorBatch, losses_of

_BETAS = (0.9, 0.98)
_FINAL_SHARE = 0.02  # of the learning rate, at the cosine's end


class Plan:
    """Which recordings each step sees: every epoch all of them once, in an order of its own, in near-equal batches."""

    def __init__(self, rows: np.ndarray, config: Config, seed: int) -> None:
        self.rows, self.seed = rows, seed
        self.parts = config.accumulate
        self.steps_per_epoch = max(1, math.ceil(len(rows) / (config.batch * config.accumulate)))
        self.epochs = max(config.epochs, math.ceil(config.steps_min / self.steps_per_epoch))
        self.total_steps = self.epochs * self.steps_per_epoch

    def epoch_of(self, step: int) -> int:
        """Epochs finished after `step` steps."""
        return step // self.steps_per_epoch

    def batches(self, step: int) -> list[np.ndarray]:
        """Rows of the forward passes of one step, 0-based."""
        epoch, place = divmod(step, self.steps_per_epoch)
        order = np.random.default_rng([self.seed, 1, epoch]).permutation(self.rows)
        rows = np.array_split(order, self.steps_per_epoch)[place]
        return [part for part in np.array_split(rows, self.parts) if len(part)]


class _Pass(nn.Module):
    """One forward pass with its losses as a module, which is what gradients are exchanged for."""

    def __init__(self, model: Ecgfm) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: TensorBatch) -> tuple[Tensor, dict[str, Tensor]]:
        losses, _ = losses_of(self.model, batch)
        return losses.total, losses.parts


class Trainer:
    """A network in training, its optimizer and its averaged copy; the same in every process of a team.

    What it is trained for is `forward_pass`, what that takes is `batch`, and what it reports are `parts`.
    """

    parts: tuple[str, ...] = PARTS

    def __init__(self, model: Ecgfm, plan: Plan, device: torch.device, team: Team | None = None) -> None:
        self.config, self.plan, self.device, self.team = model.config, plan, device, team or Team()
        self.model = model.to(device)
        self.averaged = copy.deepcopy(self.model).eval().requires_grad_(False)
        self.losses = self.team.wrapped(self.forward_pass())
        matrices = [one for one in self.model.parameters() if one.ndim > 1]
        others = [one for one in self.model.parameters() if one.ndim <= 1]
        self.optimizer = torch.optim.AdamW(
            [{"params": matrices, "weight_decay": self.config.weight_decay}, {"params": others, "weight_decay": 0.0}],
            lr=self.config.learning_rate,
            betas=_BETAS,
            fused=True,
        )
        self.room_BLT = np.empty((self.config.batch, len(STANDARD_LEADS), self.config.crop_samples), dtype=np.float32)
        self.step_count = 0
        self.sums: dict[str, float] = {}
        self.counts: dict[str, float] = {}
        self.remembered: dict[str, float | None] = {}  # the last value of every metric

    def forward_pass(self) -> nn.Module:
        """Make the module that gives a loss and its parts for what `batch` gives."""
        return _Pass(self.model)

    def batch(self, cache: Cache, targets: Targets, rows: np.ndarray, random: np.random.Generator) -> Any:
        """Cut crops of some recordings."""
        return TensorBatch.of(batch_of(cache, targets, rows, self.config, random, self.room_BLT), self.device)

    def learning_rate(self, step: int) -> float:
        """Warm up linearly, then fall along a cosine."""
        total = self.plan.total_steps
        warmup = max(1, round(self.config.warmup_share * total))
        if step < warmup:
            return self.config.learning_rate * (step + 1) / warmup
        turn = (step - warmup) / max(1, total - warmup)
        return self.config.learning_rate * (_FINAL_SHARE + (1 - _FINAL_SHARE) * (1 + math.cos(math.pi * turn)) / 2)

    def step(self, cache: Cache, targets: Targets) -> int:
        """Make one optimizer step; returns how many recordings all processes saw.

        Raises
        ------
        TrainingError
            If a loss is not finite.
        """
        batches = self.plan.batches(self.step_count)
        seen = sum(len(rows) for rows in batches)
        own = self.team.share(len(batches))
        found = np.zeros((2, len(self.parts)))
        for part in own:
            rows = batches[part]
            random = np.random.default_rng([self.plan.seed, 2, self.step_count, part])
            torch.manual_seed(int(random.integers(2**62)))
            batch = self.batch(cache, targets, rows, random)
            with self.team.held_back(self.losses, last=part == own[-1]):
                with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
                    total, parts = self.losses(batch)
                values = {name: value.item() for name, value in parts.items()}
                self._check(values)
                # The exchange takes the mean over the processes; the sum is meant.
                (total * (len(rows) / seen * self.team.count)).backward()
            found += [[values.get(name, 0.0) for name in self.parts], [name in values for name in self.parts]]
        self._count(self.team.sum(found))
        nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip_norm)
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate(self.step_count)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step_count += 1
        self._average()
        return seen

    def _check(self, values: dict[str, float]) -> None:
        if not math.isfinite(values["loss"]):
            broken = ", ".join(name for name, value in values.items() if not math.isfinite(value))
            raise TrainingError(
                f"Step {self.step_count + 1} of {self.plan.total_steps}: {broken} is not finite at learning rate "
                f"{self.learning_rate(self.step_count):.2g}; lower learning_rate (now {self.config.learning_rate:g}), "
                "raise warmup_share, or look for recordings with absurd amplitudes"
            )

    def _count(self, found: np.ndarray) -> None:
        for name, value, count in zip(self.parts, *found.tolist(), strict=True):
            if count:
                self.sums[name] = self.sums.get(name, 0.0) + value
                self.counts[name] = self.counts.get(name, 0.0) + count

    def take_means(self) -> dict[str, float]:
        """Give the means of all parts since the last call."""
        means = {name: value / self.counts[name] for name, value in self.sums.items()}
        self.sums, self.counts = {}, {}
        return means

    @torch.no_grad()
    def _average(self) -> None:
        """Follow the weights; young averages follow faster."""
        decay = min(self.config.ema, self.step_count / (self.step_count + 9))
        torch._foreach_lerp_(list(self.averaged.parameters()), list(self.model.parameters()), 1 - decay)

    def _state_tensors(self) -> Iterator[tuple[str, Tensor]]:
        for name, weight in self.model.named_parameters():
            yield f"model.{name}", weight
            for kind, value in self.optimizer.state.get(weight, {}).items():
                yield f"optimizer.{kind}.{name}", value
        for name, weight in self.averaged.named_parameters():
            yield f"averaged.{name}", weight

    def save(self, path: Path) -> None:
        """Write what is needed to go on."""
        values = {
            "step": self.step_count,
            "sums": self.sums,
            "counts": self.counts,
            "remembered": self.remembered,
        }
        save_state(path, dict(self._state_tensors()), values)

    @torch.no_grad()
    def resume(self, path: Path) -> int:
        """Go on from `path` if it is there; returns the step reached."""
        if (known := load_state(path)) is None:
            return 0
        tensors, values = known
        try:
            for name, weight in self.model.named_parameters():
                weight.copy_(tensors[f"model.{name}"])
                for kind in ("step", "exp_avg", "exp_avg_sq"):  # none of a weight that had no gradient yet
                    if (kept := tensors.get(f"optimizer.{kind}.{name}")) is not None:
                        self.optimizer.state[weight][kind] = kept.to(weight.device)
            for name, weight in self.averaged.named_parameters():
                weight.copy_(tensors[f"averaged.{name}"])
        except (KeyError, RuntimeError) as error:
            raise TrainingError(f"State {path} is of another network ({error}); name a new folder") from error
        self.step_count, self.sums, self.counts = values["step"], values["sums"], values["counts"]
        self.remembered = values["remembered"]
        return self.step_count
