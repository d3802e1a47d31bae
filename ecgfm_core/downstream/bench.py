"""One table of a task: five ways to learn it, several seeds, several shares of the labels; goes on where it stopped.

N recording, C class, S seed.
"""

import json
import os
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from ecgfm_core import manifest
from ecgfm_core.configs import Config
from ecgfm_core.downstream import challenge, learn, results
from ecgfm_core.downstream.learn import Recipe
from ecgfm_core.downstream.progress import Bar, watched
from ecgfm_core.downstream.sets import Protocol, public_set, task_of
from ecgfm_core.downstream.store import StoredSet, store_set
from ecgfm_core.downstream.task import Task
from ecgfm_core.errors import TrainingError
from ecgfm_core.model.device import choose_device, in_words
from ecgfm_core.training.checkpoint import Checkpoint, load_checkpoint
from ecgfm_core.training.dataset import Cache
from ecgfm_core.training.metrics import POSITIVES_MIN
from ecgfm_core.training.pretrain import TrainingOptions, pretrain
from ecgfm_core.training.run_folder import RunFolder, write_json

_ADVICE = "choose a smaller config, or lower batch in it"


@dataclass(frozen=True)
class BenchOptions:
    """What a bench asks for beside its set and its task.

    Attributes
    ----------
    rows, seeds, fractions : what the table shows; may be widened later in the same folder
    protocol : how the set is split
    checkpoint : a pretrained network; None to pretrain `config` on the training split, contrastively alone
    weights : table of the CinC 2020 challenge, for the tasks it scores
    store : folder of the set as stored, to share between tasks; None for one in the bench's own folder
    positives_min : a class with fewer positives or negatives in the test split is left out of macro means
    """

    config: Config
    rows: tuple[str, ...] = learn.ROWS
    seeds: int = 3
    fractions: tuple[float, ...] = (1.0,)
    protocol: Protocol = field(default_factory=Protocol)
    checkpoint: Path | None = None
    weights: Path | None = None
    store: Path | None = None
    recipe: Recipe = field(default_factory=Recipe)
    positives_min: int = POSITIVES_MIN
    threads: int | None = None
    device: str = "auto"
    parent: int | None = None

    def __post_init__(self) -> None:
        if unknown := sorted(set(self.rows) - set(learn.ROWS)):
            raise TrainingError(f"Rows {', '.join(unknown)} are unknown; {', '.join(learn.ROWS)} are known")
        if self.seeds < 1 or not self.fractions or not all(0 < share <= 1 for share in self.fractions):
            raise TrainingError(f"{self.seeds} seeds, fractions {self.fractions}: 1 or more, and 0 to 1, are allowed")
        if self.config.classification_weight or self.config.text_weight:
            raise TrainingError(
                "A bench pretrains contrastively alone, so that no row has seen a label: leave "
                "classification_weight and text_weight at 0, or train with ecgfm pretrain and name the checkpoint"
            )


@dataclass(frozen=True)
class Fit:
    """One training of one row: which part of the labels, which seed."""

    row: str
    fraction: float
    seed: int

    @property
    def name(self) -> str:
        """The name of its files."""
        return f"{self.row}-{100 * self.fraction:g}-{self.seed}"


@dataclass(frozen=True)
class Prepared:
    """A task with all that is needed to learn it."""

    title: str
    task: Task
    weights: challenge.Weights | None
    start: Checkpoint
    cache: Cache


@contextmanager
def unlabelled() -> Iterator[None]:
    """Let a network without labels pass in silence: torch warns of a label head without a label."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Initializing zero-element tensors")
        yield


def bench(set_key: str, source: Path, task_name: str, out: Path, options: BenchOptions) -> Path:
    """Fill the table and write ``results.json``, ``results.md`` and ``results.html``; returns the page's path.

    The set is stored once, the network pretrained once, and every row, fraction and seed kept as it is done, so that
    the same command goes on where one was stopped.

    Raises
    ------
    FormatError
        If the folder is not of the set or a split is empty.
    TrainingError
        If the checkpoint was trained on recordings that judge it, or the folder is of another bench.
    Stopped
        When asked to stop.
    """
    with RunFolder(out).held(options.parent) as folder, in_words(_ADVICE), unlabelled():
        ready = setup(set_key, source, task_name, out, options, folder, {"command": "bench"})
        fits = [
            Fit(row, share, seed)
            for seed in range(options.seeds)
            for share in options.fractions
            for row in options.rows
        ]  # fmt: skip
        _fit_all(fits, ready, out / "fits", options, folder)
        found = results.collect(ready.task, out / "fits", fits, ready.weights, options.positives_min)
        return results.write(out, {"title": ready.title, **_about(ready.task, ready.start, options), **found})


def setup(
    set_key: str,
    source: Path,
    task_name: str,
    out: Path,
    options: BenchOptions,
    folder: RunFolder,
    about: dict[str, Any],
) -> Prepared:
    """Store the set, make the task, pretrain or load the network, and prepare the waveforms; each is done once.

    `about` ties the run's folder to its command, with what else must stay the same.
    """
    chosen, task_name = public_set(set_key, task_name)
    weights = challenge.read_weights(options.weights) if options.weights else None
    with Bar("reading", "recording", folder) as bar:
        stored = store_set(source, options.store or out / "set", bar.to)
    task = task_of(set_key, task_name, stored, options.protocol)
    if weights and set(task.classes) != set(weights.classes):
        raise TrainingError(
            f"Task {task_name} is not what the challenge's weights score; take task scored of a CinC set"
        )
    folder.bind({**about, **_identity(task, options)})
    start = _start(task, stored, out, options)
    with Bar("preparing", "recording", folder) as bar:
        cache = Cache.open(out / "cache", task.entries, stored.waveforms, start.config.sampling_rate_hz, bar.to)
    return Prepared(f"{chosen.title}, {task_name}", task, weights, start, cache)


def _identity(task: Task, options: BenchOptions) -> dict[str, Any]:
    """Say what must stay the same for results to lie in one folder; rows, seeds and fractions may grow."""
    start = options.checkpoint or options.config
    return {
        "set": task.set_name, "task": task.name, "data": digest(task), "recipe": asdict(options.recipe),
        "start": load_checkpoint(start).sha256 if isinstance(start, Path) else start.to_dict(),
    }  # fmt: skip


def digest(task: Task) -> str:
    """Give a sha256 over recordings, splits and targets."""
    known = sha256(json.dumps([(one.sha256, one.split, one.group) for one in task.entries]).encode())
    known.update(json.dumps(task.classes).encode())
    known.update(np.ascontiguousarray(task.targets_NC.astype("<f4")).tobytes())
    return known.hexdigest()


def _start(task: Task, stored: StoredSet, out: Path, options: BenchOptions) -> Checkpoint:
    """Load the named checkpoint, or pretrain on the training split; refuses one that has seen what judges it."""
    named = options.checkpoint
    if named is None:
        folder = out / "pretraining"
        folder.mkdir(exist_ok=True)
        trained = [entry for entry in task.entries if entry.split == "train"]
        path = folder / "manifest.jsonl"
        manifest.write(path, trained)
        machine = TrainingOptions(options.threads, options.device, None, options.parent)
        with watched("pretraining", folder / "progress.json"):
            named = pretrain(
                manifest_path=path, waveform_folder=stored.waveforms, config=options.config, seed=0, out=folder,
                options=machine,
            )  # fmt: skip
    start = load_checkpoint(named, choose_device(options.device, options.threads))
    if leaks := seen(start, task):
        raise TrainingError(
            f"Checkpoint {named}: it was trained on {leaks:,} recordings of the validation and test splits, so its "
            "figures would mean nothing; name one that was not, or none, and one is pretrained"
        )
    return start


def seen(start: Checkpoint, task: Task) -> int:
    """Count the recordings of the validation and test splits that a checkpoint was trained on, as far as it says."""
    return start.seen(entry.sha256 for entry in task.entries if entry.split != "train")


def part_of(task: Task, fraction: float, seed: int) -> np.ndarray:
    """Give the training rows of a share of the labels: whole patients; a smaller share lies within a larger one."""
    rows = task.rows("train")
    if fraction == 1:
        return rows
    groups = np.array([task.entries[row].group for row in rows])
    order = np.random.default_rng([seed, 6]).permutation(np.unique(groups))
    place = {group: index for index, group in enumerate(order.tolist())}
    drawn = np.argsort([place[group] for group in groups.tolist()], kind="stable")
    ends = np.flatnonzero(np.append(np.diff([place[group] for group in groups[drawn].tolist()]) != 0, True)) + 1
    enough = int(ends[min(int(np.searchsorted(ends, fraction * len(rows))), len(ends) - 1)])
    return np.sort(rows[drawn[:enough]])


def _fit_all(fits: Sequence[Fit], ready: Prepared, folder: Path, options: BenchOptions, run: RunFolder) -> None:
    """Train what is not there yet."""
    folder.mkdir(exist_ok=True)
    task = ready.task
    left = [fit for fit in fits if not (folder / f"{fit.name}.json").exists()]
    validate_rows = task.rows("validate")
    asked_rows = np.concatenate((validate_rows, task.rows("test")))
    with Bar("training", "fit", run) as bar:
        for index, fit in enumerate(left):
            rows, began = part_of(task, fit.fraction, fit.seed), time.monotonic()
            with bar.part(index, len(left), fit.name) as steps:
                probability_NC = learn.fit(
                    fit.row, start=ready.start, cache=ready.cache, targets_NC=task.targets_NC, train_rows=rows,
                    validate_rows=validate_rows, asked_rows=asked_rows, recipe=options.recipe, seed=fit.seed,
                    progress=steps,
                )  # fmt: skip
            spent = time.monotonic() - began
            _keep(folder, fit, probability_NC, {"recordings": len(rows), "seconds": round(spent, 1)})


def _keep(folder: Path, fit: Fit, probability_NC: np.ndarray, values: dict[str, Any]) -> None:
    """Write one fit whole: the numbers first, then the line that says they are there."""
    partial = folder / f".{fit.name}.{os.getpid()}.npz"
    np.savez_compressed(partial, probability_NC=probability_NC)
    partial.replace(folder / f"{fit.name}.npz")
    write_json(folder / f"{fit.name}.json", {**asdict(fit), **values})


def _about(task: Task, start: Checkpoint, options: BenchOptions) -> dict[str, Any]:
    """Say what the figures were made from."""
    pretraining = {
        "named": str(options.checkpoint.name) if options.checkpoint else None, "sha256": start.sha256,
        "config": start.config.to_dict(),
        "recordings": start.provenance.get("recordings_trained_on"), "provenance": start.provenance,
    }  # fmt: skip
    return {
        "set": task.set_name, "task": task.name, "data_sha256": digest(task),
        "splits": dict(_sizes(task)), "remarks": [*task.remarks, _said_of(start, options)],
        "pretraining": pretraining, "recipe": asdict(options.recipe), "seeds": options.seeds,
        "protocol": asdict(options.protocol), "device": str(next(start.model.parameters()).device),
    }  # fmt: skip


def _sizes(task: Task) -> Iterator[tuple[str, dict[str, int]]]:
    for split in manifest.SPLITS:
        rows = task.rows(split)
        yield split, {"recordings": len(rows), "patients": len({task.entries[row].group for row in rows})}


def _said_of(start: Checkpoint, options: BenchOptions) -> str:
    if start.trained_on is None:
        return (
            "the checkpoint does not say which recordings it was trained on: those that judge it here may be among them"
        )
    checked = "none of them is in the validation or test split, by waveform"
    labelled = options.checkpoint is not None and start.config.classification_weight > 0
    more = "; its pretraining saw labels, so the curve over shares of the labels counts the task's alone"
    return f"pretrained on {len(start.trained_on):,} recordings; {checked}{more if labelled else ''}"
