"""A pretraining run in a folder of its own: the same command again goes on where the last one stopped.

One process, or several that ``torchrun`` started; either may go on where the other stopped.
"""

import importlib.metadata
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ecgfm_core import manifest
from ecgfm_core.configs import Config
from ecgfm_core.errors import TrainingError
from ecgfm_core.manifest import ManifestEntry
from ecgfm_core.model.device import choose_device, in_words
from ecgfm_core.model.ecgfm import Ecgfm
from ecgfm_core.model.text import TextTokenizer
from ecgfm_core.training.checkpoint import (
    Checkpoint,
    begin_with,
    file_sha256,
    load_checkpoint,
    save_checkpoint,
    waveform_marks,
)
from ecgfm_core.training.dataset import Cache, Targets, check_splits, targets_of, trained_codes
from ecgfm_core.training.distributed import Team
from ecgfm_core.training.loop import Plan, Trainer
from ecgfm_core.training.reporting import Report
from ecgfm_core.training.run_folder import RunFolder, Stopped
from ecgfm_core.training.validation import validate

CURVE_POINTS = 200
_STATE, _TOKENIZER, _CACHE, CHECKPOINT = "state.safetensors", "tokenizer.json", "cache", "checkpoint"
_MEMORY_ADVICE = "lower batch (raise accumulate as much), crop_s or negatives, or choose a smaller config"


@dataclass(frozen=True)
class TrainingOptions:
    """Where and how to run; `parent` is the process whose end stops this one, `cache` a shared folder.

    `start` is a checkpoint folder whose encoder, context network and predictors the training begins with.
    """

    threads: int | None = None
    device: str = "auto"
    cache: Path | None = None
    parent: int | None = None
    start: Path | None = None


def pretrain(
    *, manifest_path: Path, waveform_folder: Path, config: Config, seed: int, out: Path, options: TrainingOptions
) -> Path:
    """Train a configuration on a manifest's training split; returns the checkpoint's folder.

    Under ``torchrun`` every process calls this, and together they make one training.

    Refuses a folder of another run, a patient in two splits and a training split of fewer than 2 recordings.

    Raises
    ------
    TrainingError
        With the reason, which ``failure.txt`` holds too.
    Stopped
        When asked to stop; the state is saved.
    """
    team = Team.of_environment()
    with RunFolder(out, team.leads).held(options.parent) as folder, team.in_words(), in_words(_MEMORY_ADVICE):
        manifest_sha256 = file_sha256(manifest_path) if manifest_path.exists() else ""
        entries = [entry for entry in manifest.read(manifest_path) if entry.split != "test"]
        start = load_checkpoint(options.start) if options.start else None
        identity: dict[str, Any] = {"start": start.sha256} if start else {}
        identity |= {"command": "pretrain", "config": config.to_dict(), "seed": seed, "manifest": manifest_sha256}
        folder.bind(identity)
        if (out / CHECKPOINT).exists():
            return out / CHECKPOINT
        run = Run(folder, team, entries, config, seed, start)
        device = choose_device(team.device_name(options.device), options.threads)
        cache = run.open_cache(options, waveform_folder)
        with team.joined(device):
            run.train(device, cache)
            if team.leads:
                run.finish({"manifest_sha256": manifest_sha256, **run.provenance()})
        return out / CHECKPOINT


def _tokenizer(path: Path, entries: Sequence[ManifestEntry], config: Config, team: Team) -> TextTokenizer:
    """Learn the tokenizer from the training split, once a run."""
    if team.leads and not path.exists():
        tokenizer = TextTokenizer.train((one.text for one in entries if one.split == "train"), config.vocabulary)
        partial = path.with_name(f".{path.name}.writing")
        tokenizer.save(partial)
        partial.replace(path)
    team.any(False)  # the others wait for the file
    return TextTokenizer.load(path)


class Run:
    """The parts of a running training; what is particular to pretraining are `make_trainer` and `validate`."""

    def __init__(
        self,
        folder: RunFolder,
        team: Team,
        entries: Sequence[ManifestEntry],
        config: Config,
        seed: int,
        start: Checkpoint | None = None,
    ) -> None:
        check_splits(entries)
        self.start = start
        self.folder, self.team, self.entries, self.config, self.seed = folder, team, entries, config, seed
        rows = {
            split: np.array([n for n, one in enumerate(entries) if one.split == split])
            for split in ("train", "validate")
        }
        self.validate_rows = rows["validate"].astype(np.int64)
        if len(rows["train"]) < 2:
            raise TrainingError(f"{len(rows['train'])} recordings in the training split; 2 or more are needed")
        team.check_shares(config.accumulate, config.batch, len(rows["train"]))
        self.plan = Plan(rows["train"], config, seed)
        self.log_every = max(1, self.plan.total_steps // CURVE_POINTS)

    def open_cache(self, options: TrainingOptions, waveform_folder: Path) -> Cache:
        """Find or make the packed waveforms; the processes of a host make them once."""
        folder, rate = options.cache or self.folder.path / _CACHE, self.config.sampling_rate_hz
        return Cache.open(folder, self.entries, waveform_folder, rate, self._preparing, options.threads or 1)

    def _preparing(self, done: int, total: int) -> None:
        self.folder.check_stop()
        self.folder.progress(f"preparing recording {done:,} of {total:,}")

    def train(self, device: torch.device, cache: Cache) -> None:
        """Make every step that is left."""
        self.cache, state = cache, self.folder.path / _STATE
        self.trainer = self.make_trainer(device)
        step = self.trainer.resume(state)
        if self.team.largest(step) != -self.team.largest(-step):
            raise TrainingError(f"{self.folder.path} is not the same folder on every host; share it and start again")
        self.report = Report(self.folder, self.plan, self.team, device, step)
        try:
            self._steps(state)
        finally:
            self.report.close()

    def make_trainer(self, device: torch.device) -> Trainer:
        """Learn the tokenizer, collect the targets and make the network."""
        self.tokenizer = _tokenizer(self.folder.path / _TOKENIZER, self.entries, self.config, self.team)
        self.targets: Targets = targets_of(
            self.entries,
            trained_codes(self.entries, self.config.label_positives_min),
            lambda text: self.tokenizer.encode(text, self.config.text_tokens_max),
        )
        torch.manual_seed(self.seed)
        model = Ecgfm(self.config, len(self.targets.label_codes), self.tokenizer.count)
        if self.start:
            begin_with(model, self.start, (self.entries[row].sha256 for row in self.validate_rows))
        return Trainer(model, self.plan, device, self.team)

    def validate(self) -> dict[str, float | None]:
        """Give the figures of the averaged weights on the validation split."""
        return validate(self.trainer.averaged, self.cache, self.targets, self.validate_rows, self.team)

    def _steps(self, state: Path) -> None:
        saved_at = time.monotonic()
        while self.trainer.step_count < self.plan.total_steps:
            if self.team.any(self.folder.stop_asked):
                self._save(state)
                raise Stopped
            self.report.passed(self.trainer.step_count + 1, self.trainer.step(self.cache, self.targets))
            self._figures()
            last = self.trainer.step_count == self.plan.total_steps
            if last or time.monotonic() - saved_at >= self.config.save_every_s:
                self._save(state)
                saved_at = time.monotonic()

    def _save(self, state: Path) -> None:
        if self.team.leads:
            self.report.flush()
            self.trainer.save(state)
            self.cache.keep()

    def _figures(self) -> None:
        """Write the figures that are due after this step."""
        step, last = self.trainer.step_count, self.trainer.step_count == self.plan.total_steps
        if step % self.log_every == 0 or last:
            means = {f"train_{name}": value for name, value in self.trainer.take_means().items()}
            self.trainer.remembered |= means
            rate = self.trainer.learning_rate(step - 1)
            self.report.figures({**means, "learning_rate": rate, **self.report.machine()})
        if last or step % (self.config.validate_epochs * self.plan.steps_per_epoch) == 0:
            found = self.validate()
            self.trainer.remembered |= found
            self.report.figures(found)

    def finish(self, provenance: dict[str, Any]) -> None:
        """Keep the averaged weights, and drop what only a run that goes on needs."""
        out, metrics = self.folder.path, self.trainer.remembered
        kept = Checkpoint(
            self.trainer.averaged, self.config, self.targets.label_codes, self.tokenizer, metrics, provenance,
            trained_on=self.trained_on(),
        )  # fmt: skip
        save_checkpoint(out / CHECKPOINT, kept)
        (out / _STATE).unlink(missing_ok=True)
        shutil.rmtree(out / _CACHE, ignore_errors=True)
        self.folder.progress("done", **self.report.place(), force=True)

    def trained_on(self) -> np.ndarray | None:
        """Give the marks of the recordings trained on, by the start too; None where that does not tell."""
        marks = waveform_marks(self.entries[row].sha256 for row in self.plan.rows)
        if self.start is None:
            return marks
        return None if self.start.trained_on is None else np.union1d(self.start.trained_on, marks)

    def provenance(self) -> dict[str, Any]:
        """Say what the weights came from."""
        trained = [self.entries[row] for row in self.plan.rows]
        return {
            "code_version": importlib.metadata.version("ecgfm"),
            "torch_version": torch.__version__,
            "device": str(self.trainer.device),
            "processes": self.team.count,
            "threads": torch.get_num_threads(),
            "config_name": self.config.name,
            "seed": self.seed,
            **({"start_sha256": self.start.sha256} if self.start else {}),
            "steps": self.plan.total_steps,
            "recordings_trained_on": len(trained),
            "recordings_validated_on": len(self.validate_rows),
            "consensus_ids": sorted(one.id for one in trained if one.label_source == "consensus"),
        }
