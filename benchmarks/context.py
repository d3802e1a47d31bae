"""Both context networks on PTB-XL's superclasses: the same pretraining, the same rows, seeds and recordings, in pairs.

python benchmarks/context.py --data FOLDER_OF_PTB-XL --out build/context --set epochs=40 --threads 1

It goes on where it was stopped. A network that is there already is named: --checkpoint state_space=FOLDER.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
import training

from ecgfm_core import configs
from ecgfm_core.configs import Config
from ecgfm_core.downstream import bootstrap, learn, metrics
from ecgfm_core.downstream.bench import BenchOptions, bench
from ecgfm_core.downstream.sets import Protocol, task_of
from ecgfm_core.downstream.store import store_set
from ecgfm_core.downstream.task import Task
from ecgfm_core.model.ecgfm import CONTEXTS, Ecgfm

SET, TASK = "ptb-xl", "super"
ROWS = (learn.FROZEN_ATTENTION, learn.FINE_TUNED, learn.FROM_SCRATCH, learn.RANDOM_FROZEN)
ROUNDS = 5


def main() -> None:
    """Print the table of scores and the table of speed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="PTB-XL as published; without it only the speed is measured")
    parser.add_argument("--out", type=Path, default=Path("build/context"))
    parser.add_argument(
        "--set", action="append", default=[], metavar="FIELD=VALUE", help="of the configuration tiny_cpu"
    )
    parser.add_argument("--checkpoint", action="append", default=[], metavar="CONTEXT=FOLDER")
    parser.add_argument("--rows", nargs="+", default=ROWS)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    changes = {"classification_weight": 0, "text_weight": 0, **dict(one.split("=", 1) for one in chosen.set)}
    made = {context: configs.build("tiny_cpu", {**changes, "context": context}) for context in CONTEXTS}
    if chosen.data:
        known = {context: Path(path) for context, path in (one.split("=", 1) for one in chosen.checkpoint)}
        for context, config in made.items():
            options = BenchOptions(
                config, rows=tuple(chosen.rows), seeds=chosen.seeds, checkpoint=known.get(context),
                store=chosen.out / "set", threads=chosen.threads,
            )  # fmt: skip
            bench(SET, chosen.data, TASK, chosen.out / context, options)
        scores(chosen.data, chosen.out, chosen.rows, chosen.seeds)
    speeds(made)


def scores(data: Path, out: Path, rows: list[str], seeds: int) -> None:
    """Print macro AUROC on the test split a row, and the difference in pairs with its 95 % interval."""
    task = task_of(SET, TASK, store_set(data, out / "set", lambda *_: None), Protocol())
    test, (first, second) = task.rows("test"), CONTEXTS
    groups = [task.entries[row].group for row in test]
    print(f"macro AUROC of {len(task.classes)} superclasses, {len(test)} test recordings, {seeds} seeds")
    print(f"{'row':<18}{first:>26}{second:>26}{'difference':>28}")
    for row in rows:
        answers = [probabilities(task, out / context / "fits", row, seeds) for context in (first, second)]
        drawn = [
            bootstrap.draw(metrics.resampled_macro_auroc, task.targets_NC[test], one, 0, groups=groups)
            for one in answers
        ]
        less = drawn[1] - drawn[0]
        print(f"{row:<18}{drawn[0].interval()!s:>26}{drawn[1].interval()!s:>26}{less.interval()!s:>28}")


def probabilities(task: Task, fits: Path, row: str, seeds: int) -> np.ndarray:
    """Give what a row said of the test split `[S, N, C]`; the bench keeps validation and test in that order."""
    kept = [np.load(fits / f"{row}-100-{seed}.npz")["probability_NC"] for seed in range(seeds)]
    return np.stack(kept)[:, len(task.rows("validate")) :]


def speeds(made: dict[str, Config]) -> None:
    """Print records/s of a training step and of scoring, and their ratio to the matrix product measured beside them."""
    work, size = {}, {}
    for context, config in made.items():
        model = Ecgfm(config, training.LABELS, training.VOCABULARY)
        size[context] = sum(weight.numel() for weight in model.decoder.parameters())
        work[context] = (training.training_step(model, config), training.scoring(model, config))
    found = {context: np.zeros((ROUNDS, 3)) for context in made}
    for turn in range(ROUNDS):  # in turns, since others may compute beside
        for context, parts in work.items():
            rates = [training.rate_of(part, 1.0) * made[context].batch for part in parts]
            found[context][turn] = (training.matrix_rate(1.0), *rates)
    print(
        f"\n{'context':<14}{'parameters':>12}{'training/s':>12}{'scoring/s':>12}{'a GFLOP/s of the matrix product':>34}"
    )
    for context, values in found.items():
        _, train, score = np.median(values, axis=0)
        share = np.median(values[:, 1:] / values[:, :1], axis=0)
        print(f"{context:<14}{size[context]:>12,}{train:>12.1f}{score:>12.1f}{share[0]:>24.2f}{share[1]:>10.2f}")
    print(json.dumps({context: values.round(2).tolist() for context, values in found.items()}))


if __name__ == "__main__":
    main()
