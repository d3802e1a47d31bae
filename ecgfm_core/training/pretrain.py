"""A pretraining run in a folder of its own: the same command again goes on where the last one stopped."""

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
from ecgfm_core.training.checkpoint import Checkpoint, file_sha256, save_checkpoint
from ecgfm_core.training.dataset import Cache, Targets, check_splits, targets_of, trained_codes
from ecgfm_core.training.loop import Plan, Trainer
from ecgfm_core.training.run_folder import RunFolder, Stopped
from ecgfm_core.training.validation import validate

CURVE_POINTS = 200
_STATE, _TOKENIZER, _CACHE, CHECKPOINT = "state.safetensors", "tokenizer.json", "cache", "checkpoint"
_MEMORY_ADVICE = "lower batch (raise accumulate as much), crop_s or negatives, or choose a smaller config"


@dataclass(frozen=True)
class TrainingOptions:
    """Where and how to run; `parent` is the process whose end stops this one, `cache` a shared folder."""

    threads: int | None = None
    device: str = "auto"
    cache: Path | None = None
    parent: int | None = None


def pretrain(
    *, manifest_path: Path, waveform_folder: Path, config: Config, seed: int, out: Path, options: TrainingOptions
) -> Path:
    """Train a configuration on a manifest's training split; returns the checkpoint's folder.

    Refuses a folder of another run, a patient in two splits and a training split of fewer than 2 recordings.

    Raises
    ------
    TrainingError
        With the reason, which ``failure.txt`` holds too.
    Stopped
        When asked to stop; the state is saved.
    """
    with RunFolder(out).held(options.parent) as folder, in_words(_MEMORY_ADVICE):
        manifest_sha256 = file_sha256(manifest_path) if manifest_path.exists() else ""
        entries = [entry for entry in manifest.read(manifest_path) if entry.split != "test"]
        folder.bind({"command": "pretrain", "config": config.to_dict(), "seed": seed, "manifest": manifest_sha256})
        if (out / CHECKPOINT).exists():
            return out / CHECKPOINT
        run = _Run(folder, entries, waveform_folder, config, seed, options)
        run.train()
        provenance = {"manifest_sha256": manifest_sha256, **run.provenance()}
        metrics = run.trainer.remembered
        save_checkpoint(
            out / CHECKPOINT,
            Checkpoint(run.trainer.averaged, config, run.targets.label_codes, run.tokenizer, metrics, provenance),
        )
        (out / _STATE).unlink(missing_ok=True)
        shutil.rmtree(out / _CACHE, ignore_errors=True)
        folder.progress("done", **run.place(), force=True)
        return out / CHECKPOINT


def _tokenizer(path: Path, entries: Sequence[ManifestEntry], config: Config) -> TextTokenizer:
    """Learn the tokenizer from the training split, once a run."""
    if path.exists():
        return TextTokenizer.load(path)
    tokenizer = TextTokenizer.train((one.text for one in entries if one.split == "train"), config.vocabulary)
    partial = path.with_name(f".{path.name}.writing")
    tokenizer.save(partial)
    partial.replace(path)
    return tokenizer


class _Run:
    """The parts of a running training."""

    def __init__(
        self,
        folder: RunFolder,
        entries: Sequence[ManifestEntry],
        waveform_folder: Path,
        config: Config,
        seed: int,
        options: TrainingOptions,
    ) -> None:
        check_splits(entries)
        self.folder, self.entries, self.config, self.seed = folder, entries, config, seed
        rows = {
            split: np.array([n for n, one in enumerate(entries) if one.split == split])
            for split in ("train", "validate")
        }
        self.validate_rows = rows["validate"].astype(np.int64)
        if len(rows["train"]) < 2:
            raise TrainingError(f"{len(rows['train'])} recordings in the training split; 2 or more are needed")
        self.device = choose_device(options.device, options.threads)
        self.tokenizer = _tokenizer(folder.path / _TOKENIZER, entries, config)
        cache_folder = options.cache or folder.path / _CACHE
        self.cache = Cache.open(cache_folder, entries, waveform_folder, config.sampling_rate_hz, self._preparing)
        self.targets: Targets = targets_of(
            entries,
            trained_codes(entries, config.label_positives_min),
            lambda text: self.tokenizer.encode(text, config.text_tokens_max),
        )
        torch.manual_seed(seed)
        model = Ecgfm(config, len(self.targets.label_codes), self.tokenizer.count)
        self.plan = Plan(rows["train"], config, seed)
        self.trainer = Trainer(model, self.plan, self.device)
        self.log_every = max(1, self.plan.total_steps // CURVE_POINTS)
        self.rate = 0.0

    def _preparing(self, done: int, total: int) -> None:
        self.folder.check_stop()
        self.folder.progress(f"preparing recording {done:,} of {total:,}")

    def train(self) -> None:
        """Make every step that is left."""
        trainer, state = self.trainer, self.folder.path / _STATE
        self.folder.keep_metrics_until(trainer.resume(state))
        saved_at = marked_at = time.monotonic()
        seen = 0
        while trainer.step_count < self.plan.total_steps:
            if self.folder.stop_asked:
                trainer.save(state)
                raise Stopped
            seen += trainer.step(self.cache, self.targets)
            now = time.monotonic()
            self.rate = seen / max(1e-9, now - marked_at)
            self._report()
            if now - saved_at >= self.config.save_every_s or trainer.step_count == self.plan.total_steps:
                trainer.save(state)
                saved_at = time.monotonic()

    def _report(self) -> None:
        """Write progress, and the metrics that are due after this step."""
        step, last = self.trainer.step_count, self.trainer.step_count == self.plan.total_steps
        self.folder.progress(
            f"epoch {min(self.plan.epochs, self.plan.epoch_of(step) + 1)} of {self.plan.epochs}", **self.place()
        )
        if step % self.log_every == 0 or last:
            means = self.trainer.take_means()
            self.trainer.remembered |= {f"train_{name}": value for name, value in means.items()}
            rates = {"learning_rate": self.trainer.learning_rate(step - 1), "records_per_s": self.rate}
            self.folder.append_metrics(step, {**{f"train_{name}": value for name, value in means.items()}, **rates})
        if last or step % (self.config.validate_epochs * self.plan.steps_per_epoch) == 0:
            found = validate(self.trainer.averaged, self.cache, self.targets, self.validate_rows)
            self.trainer.remembered |= found
            self.folder.append_metrics(step, found)

    def place(self) -> dict[str, Any]:
        """Say how far the run is."""
        step, total = self.trainer.step_count, self.plan.total_steps
        left = (total - step) * len(self.plan.rows) / self.plan.steps_per_epoch
        return {
            "step": step, "total_steps": total, "epoch": self.plan.epoch_of(step), "records_per_s": round(self.rate, 1),
            "eta_s": round(left / self.rate, 1) if self.rate else None,
        }  # fmt: skip

    def provenance(self) -> dict[str, Any]:
        """Say what the weights came from."""
        trained = [self.entries[row] for row in self.plan.rows]
        return {
            "code_version": importlib.metadata.version("ecgfm"),
            "torch_version": torch.__version__,
            "device": str(self.device),
            "threads": torch.get_num_threads(),
            "config_name": self.config.name,
            "seed": self.seed,
            "steps": self.plan.total_steps,
            "recordings_trained_on": len(trained),
            "recordings_validated_on": len(self.validate_rows),
            "consensus_ids": sorted(one.id for one in trained if one.label_source == "consensus"),
        }
