"""``ecgfm bench``: one table of a public set's task, five ways to learn it side by side."""

import argparse
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecgfm_core import configs
from ecgfm_core.commands import bench_mitdb
from ecgfm_core.commands.options import Subparsers, add_config_options, add_machine_options, changes
from ecgfm_core.errors import EcgfmError

if TYPE_CHECKING:
    from ecgfm_core.downstream.learn import Recipe

CONTRASTIVE = {"classification_weight": 0.0, "text_weight": 0.0}


def add(commands: Subparsers) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser("bench", help="judge a network on a public set; the same command goes on")
    add_set_options(parser)
    add_config_options(parser)
    parser.add_argument("--checkpoint", type=Path, help="a pretrained network; without it, one is pretrained")
    parser.add_argument("--rows", help="comma-separated rows of the table (default all five)")
    parser.add_argument("--seeds", type=int, default=3, help="trainings a row (default 3)")
    parser.add_argument("--fractions", default="1.0", help="shares of the labels, for example 0.05,0.1,0.25,0.5,1.0")
    parser.add_argument("--positives-min", type=int, help="positives that a class needs in the test split (default 5)")
    parser.add_argument("--out", type=Path, required=True, help="folder of this bench")
    parser.set_defaults(run=run)


def add_set_options(parser: argparse.ArgumentParser, needed: bool = True) -> None:
    """Add what names a task: the set, its folder, its splits, and what is learnt how."""
    parser.add_argument(
        "set_key",
        metavar="SET",
        nargs=None if needed else "?",
        help="ptb-xl, cpsc2018, georgia, ptb, incart, cinc2020, hefei" + (", mitdb" if needed else ""),
    )
    parser.add_argument("--data", type=Path, required=needed, help="folder of the set as published")
    parser.add_argument("--task", default="", help="a task of the set (default its usual one)")
    parser.add_argument("--train-folds", default="", help="for example 1-6 (default all that don't judge)")
    parser.add_argument("--validate-fold", type=int, help="default the last but one")
    parser.add_argument("--test-fold", type=int, help="default the last")
    parser.add_argument("--split-seed", type=int, default=0, help="of the split of a set without folds")
    parser.add_argument("--weights", type=Path, help="weights.csv of the CinC 2020 challenge, for its metric")
    parser.add_argument("--store", type=Path, help="folder of the set as stored, to share between benches of one set")
    parser.add_argument(
        "--recipe", action="append", default=[], metavar="FIELD=VALUE", help="change how rows are learnt"
    )
    add_machine_options(parser)


def run(parsed: argparse.Namespace) -> int:
    """Bench and say where the page lies."""
    if parsed.set_key == "mitdb":
        return bench_mitdb.run(parsed)
    if parsed.checkpoint and parsed.set:
        raise EcgfmError(f"--set {parsed.set[0]}: --checkpoint brings a network already; leave one of them out")
    config = configs.build(parsed.config, {**CONTRASTIVE, **changes(parsed.set)})
    from ecgfm_core.downstream import bench, learn

    rows = tuple(parsed.rows.split(",")) if parsed.rows else learn.ROWS
    shared = bench_options(parsed, config)
    if parsed.positives_min is not None:
        shared["positives_min"] = parsed.positives_min
    options = bench.BenchOptions(rows=rows, seeds=parsed.seeds, fractions=_fractions(parsed.fractions), **shared)
    page = bench.bench(parsed.set_key, parsed.data, parsed.task, parsed.out, options)
    print((parsed.out / "results.md").read_text(encoding="utf-8"))
    print(f"page: {page}")
    return 0


def bench_options(parsed: argparse.Namespace, config: configs.Config) -> dict[str, Any]:
    """Give the options of `add_set_options` as a bench takes them."""
    from ecgfm_core.downstream.sets import Protocol

    protocol = Protocol(parsed.train_folds, parsed.validate_fold, parsed.test_fold, parsed.split_seed)
    return {
        "config": config, "checkpoint": parsed.checkpoint, "protocol": protocol, "weights": parsed.weights,
        "store": parsed.store, "recipe": recipe(parsed.recipe),
        "threads": parsed.threads, "device": parsed.device, "parent": parsed.parent,
    }  # fmt: skip


def recipe(assignments: list[str]) -> "Recipe":
    """Change fields of the usual recipe; refuses unknown ones."""
    from ecgfm_core.downstream.learn import Recipe

    usual = Recipe()
    kinds = {one.name: type(getattr(usual, one.name)) for one in fields(Recipe)}
    changed = changes(assignments)
    if unknown := sorted(set(changed) - set(kinds)):
        raise EcgfmError(f"--recipe {', '.join(unknown)}: unknown; {', '.join(kinds)} are known")
    try:
        return replace(usual, **{name: kinds[name](value) for name, value in changed.items()})
    except ValueError as error:
        raise EcgfmError(f"--recipe {' '.join(assignments)}: {error}; a number is needed") from None


def _fractions(text: str) -> tuple[float, ...]:
    try:
        return tuple(dict.fromkeys(float(part) for part in text.split(",")))
    except ValueError:
        raise EcgfmError(f"--fractions {text}: numbers joined by commas are needed, for example 0.1,0.5,1.0") from None
