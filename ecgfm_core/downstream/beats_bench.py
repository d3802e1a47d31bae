"""The MIT-BIH table: one backbone, frozen, against the same network from scratch, left random, and RR intervals alone.

Training and every choice in `BeatRecipe` saw DS1 alone; DS2 is scored at the end.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ecgfm_core import configs, formats, waveform
from ecgfm_core.configs import Config
from ecgfm_core.downstream import beat_metrics, beat_report, beats
from ecgfm_core.downstream.beat_learning import (
    TRAINED,
    BeatHead,
    BeatRecipe,
    Beats,
    Source,
    Windows,
    keep_features,
    kept_features,
    no_features,
    predict,
    train,
)
from ecgfm_core.errors import TrainingError
from ecgfm_core.model.device import choose_device
from ecgfm_core.model.ecgfm import Ecgfm
from ecgfm_core.training.checkpoint import Checkpoint, load_checkpoint
from ecgfm_core.training.run_folder import RunFolder, write_json

FROZEN, FROM_SCRATCH, RANDOM_FROZEN, RR_ONLY = ROWS = ("frozen", "from_scratch", "random_frozen", "rr_only")
_RANDOM_SEED = 1000  # of the weights that are never trained
_RECIPE = BeatRecipe()

Say = Callable[[str], None]


class _Bench:
    """Records, backbone and folder of one run; what is done already is read from the folder."""

    def __init__(
        self, sets: tuple[Beats, Beats], backbone: Ecgfm | None, config: Config, out: Path, recipe: BeatRecipe, say: Say
    ) -> None:
        self.train_beats, self.test_beats = sets
        self.backbone, self.config, self.out, self.recipe, self.say = backbone, config, out, recipe, say

    def said(self, row: str, seed: int) -> np.ndarray:
        """Give log-probabilities `[M, C]` of the test beats."""
        path = self.out / f"{row}-{seed}.npy"
        if not path.exists():
            self.say(f"{row}, seed {seed}")
            partial = path.with_name(f".{path.name}")
            np.save(partial, self._scratch(seed) if row == FROM_SCRATCH else self._frozen(row, seed))
            partial.replace(path)
        return np.load(path)

    def random_backbone(self, seed: int) -> Ecgfm:
        """Make the same network with random weights."""
        torch.manual_seed(seed)
        return Ecgfm(self.config, 1, 260)

    def _sources(self, row: str) -> tuple[Source, Source]:
        """Give the features of training and test beats, kept on disk."""
        if row == RR_ONLY:
            return no_features, no_features
        model = self.backbone if row == FROZEN else self.random_backbone(_RANDOM_SEED)
        assert model is not None
        sources = []
        for name, some in (("train", self.train_beats), ("test", self.test_beats)):
            path = self.out / f"features-{row}-{name}.npy"
            sources.append(kept_features(some, path) if path.exists() else keep_features(model, some, path))
        return sources[0], sources[1]

    def _frozen(self, row: str, seed: int) -> np.ndarray:
        source, test_source = self._sources(row)
        first = source(np.arange(1)).beat_BNF
        torch.manual_seed(seed)
        head = BeatHead(first.shape[2], first.shape[1], self.recipe)
        train(source, self.train_beats, np.arange(len(self.train_beats.class_M)), head, self.recipe, seed)
        return predict(test_source, self.test_beats, np.arange(len(self.test_beats.class_M)), head)

    def _scratch(self, seed: int) -> np.ndarray:
        backbone = self.random_backbone(seed)
        windows, test_windows = Windows(self.train_beats, backbone), Windows(self.test_beats, backbone)
        tokens = windows.usual.shape[2] // backbone.hop_samples
        head = BeatHead(2 * self.config.width, tokens, self.recipe)
        recipe = replace(self.recipe, epochs=self.recipe.scratch_epochs, normal_beats=self.recipe.scratch_normal_beats)
        rows = np.arange(len(self.train_beats.class_M))
        train(windows.source(backbone), self.train_beats, rows, head, recipe, seed, backbone)
        every = np.arange(len(self.test_beats.class_M))
        return predict(test_windows.source(backbone), self.test_beats, every, head)


def run(
    data: Path,
    checkpoint: Path | None,
    out: Path,
    seeds: Sequence[int] = (0, 1, 2),
    rows: Sequence[str] | None = None,
    recipe: BeatRecipe = _RECIPE,
    threads: int | None = None,
    parent: int | None = None,
    say: Say = lambda _line: None,
) -> dict[str, Any]:
    """Train on DS1, score DS2, and write ``mit-bih.json`` and ``mit-bih.md`` into `out`; the same call goes on.

    Parameters
    ----------
    data : folder or zip file of MIT-BIH
    checkpoint : folder of a pretrained network whose pretraining saw no recording of DS2; None leaves its row out
    out : folder of this run; intermediate features need about 15 KB a beat and backbone, 1.4 GB in all
    threads, parent : of the CPU; the process whose end stops this one

    Returns
    -------
    What stands in ``mit-bih.json``.

    Raises
    ------
    FormatError, TrainingError
        If the set is not whole, a row is unknown, the frozen row is asked for without a checkpoint, or the checkpoint
        was trained on a record of DS2.
    """
    asked = tuple(rows) if rows is not None else tuple(row for row in ROWS if checkpoint or row != FROZEN)
    if unknown := sorted(set(asked) - set(ROWS)):
        raise TrainingError(f"Row {', '.join(unknown)} is unknown; {', '.join(ROWS)} are known")
    if FROZEN in asked and checkpoint is None:
        raise TrainingError("The frozen row needs a checkpoint; name one with --checkpoint")
    choose_device("cpu", threads)
    with RunFolder(out).held(parent) as folder:
        loaded = load_checkpoint(checkpoint) if checkpoint else None
        config = loaded.config if loaded else configs.build("tiny_cpu")
        identity = {"checkpoint": loaded.sha256 if loaded else None, "recipe": asdict(recipe)}
        folder.bind({"command": "bench mitdb", **identity})
        home = beats.open_set(data, out)
        if loaded:
            _refuse_what_saw_ds2(loaded, home)
        known, test = (
            Beats.of([beats.load_record(home, name, config.sampling_rate_hz) for name in names])
            for names in (beats.DS1, beats.DS2)
        )
        bench = _Bench((known, test), loaded.model if loaded else None, config, out, recipe, say)
        said: dict[str, list[np.ndarray]] = {}
        for row in asked:
            said[row] = []
            for seed in seeds:
                folder.check_stop()
                said[row].append(bench.said(row, seed))
        results = {**identity, "seeds": list(seeds), **_results(said, test, recipe)}
        write_json(out / "mit-bih.json", results)
        (out / "mit-bih.md").write_text(beat_report.markdown(results), encoding="utf-8")
        return json.loads((out / "mit-bih.json").read_text(encoding="utf-8"))


def _refuse_what_saw_ds2(start: Checkpoint, home: Path) -> None:
    """Refuse a network trained on records that judge it, as far as it says what it was trained on."""
    judging = (waveform.pack(formats.read(home / f"{name}.hea", name)).sha256 for name in beats.DS2)
    if start.trained_on is not None and (leaks := start.seen(judging)):  # reading 22 records takes seconds
        raise TrainingError(
            f"The checkpoint was trained on {leaks} of the {len(beats.DS2)} records of DS2, which judge it; name one "
            "that saw DS1 at most"
        )


def _results(said: dict[str, list[np.ndarray]], test: Beats, recipe: BeatRecipe) -> dict[str, Any]:
    """Score every row with and without record 202."""
    keep = np.array([one.name != "202" for one in test.records])
    offsets = np.array([0.0, *recipe.offsets])
    tables = {
        row: np.stack(
            [beat_metrics.record_confusions(test.class_M, (one + offsets).argmax(1), test.record_M) for one in each]
        )
        for row, each in said.items()
    }
    return {
        "trained": list(TRAINED),
        "rows": {row: beat_metrics.intervals(one, seed=0) for row, one in tables.items()},
        "without 202": {row: beat_metrics.intervals(one[:, keep], seed=0) for row, one in tables.items()},
        "frozen above": {
            row: beat_metrics.difference(tables[FROZEN], one, seed=0)
            for row, one in tables.items()
            if FROZEN in tables and row != FROZEN
        },
        "confusion": {row: one.sum(1).mean(0).round(1).tolist() for row, one in tables.items()},
        "records": {
            row: {of.name: one[:, index].mean(0).round(1).tolist() for index, of in enumerate(test.records)}
            for row, one in tables.items()
        },
    }
