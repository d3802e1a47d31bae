"""Finding label errors made on purpose in PTB-XL: one ranking, rounds of re-reading, and other scores beside ours.

    python benchmarks/replay_ptbxl.py --data FOLDER_OF_PTB-XL --out build/replay --threads 1

It goes on where it was stopped; `--only` runs parts: embed, finding, oracles, replay, report. Without `--checkpoint` a
network is pretrained on all recordings, contrastively alone: it sees no label, so none leaks. PTB-XL's table names no
centre here: patients are put into eight pseudo-centres by a hash, which centre-specific errors then follow.
"""

import argparse
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import finding
import numpy as np

from ecgfm_core import configs, manifest, predict
from ecgfm_core.active import errors
from ecgfm_core.active.doubt import LABEL_SEEDS, SEEDS
from ecgfm_core.active.replay import data
from ecgfm_core.active.replay.data import ReplaySet
from ecgfm_core.active.replay.play import Cell, MakeSource, ReplayOptions, heads_of
from ecgfm_core.active.replay.run import replay
from ecgfm_core.active.replay.strategies import STRATEGIES
from ecgfm_core.downstream.sets import Protocol, task_of
from ecgfm_core.downstream.store import store_set
from ecgfm_core.downstream.task import Task
from ecgfm_core.training.run_folder import Stopped

PARTS = ("embed", "finding", "oracles", "replay", "report")
TASKS = {"abnormal": "normal or abnormal", "super": "five superclasses"}
CONTRASTIVE = {"classification_weight": 0, "text_weight": 0}
HEAD_SEEDS = {"abnormal": len(SEEDS), "super": len(LABEL_SEEDS)}  # as a scoring run asks
# Aims of average precision, of precision in the first 50 and of corrections over random's, at uniform errors
AIMS = {0.1: {"precision": 0.78, "first": 0.85, "times": 6.0}, 0.2: {"precision": 0.82, "times": 3.5}}
# name -> what makes the source of probabilities from the set; `--source` chooses
SOURCES: dict[str, MakeSource] = {"heads": heads_of}


def main() -> None:
    """Run the parts that were asked for, each from what the ones before left."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="PTB-XL as published")
    parser.add_argument("--out", type=Path, default=Path("build/replay"))
    parser.add_argument("--checkpoint", type=Path, help="a network that saw no label; without it, one is pretrained")
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="of tiny_cpu, if pretrained")
    parser.add_argument(
        "--embeddings", type=Path, help="npz with the array embedding [N, D] in the set's order instead"
    )
    parser.add_argument("--source", choices=SOURCES, default="heads", help="where probabilities come from")
    parser.add_argument("--oracle-venv", type=Path, help="where cleanlab is installed (default OUT/cleanlab-venv)")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--kinds", nargs="+", choices=errors.KINDS, default=errors.KINDS)
    parser.add_argument("--rates", nargs="+", type=float, default=(0.05, 0.1, 0.2))
    parser.add_argument("--strategies", nargs="+", choices=STRATEGIES, default=STRATEGIES)
    parser.add_argument("--seeds", type=int, default=5, help="of replays; one ranking takes twice as many")
    parser.add_argument("--budget", type=float, default=0.05, help="reads a round, as a share of the pool")
    parser.add_argument("--threads", type=int, default=1)
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    task = task_of("ptb-xl", "super", store_set(chosen.data, chosen.out / "set", lambda *_: None), Protocol())
    try:
        embedding_ND = embed(task, chosen)
        sets = {name: set_of(task, name, embedding_ND) for name in chosen.tasks}
        for name, one in sets.items():
            for part, run in (("finding", find), ("oracles", oracles), ("replay", play)):
                if part in chosen.only:
                    run(name, one, chosen)
    except Stopped:
        raise SystemExit(3) from None
    if "report" in chosen.only:
        print(report(task, sets, chosen))


def embed(task: Task, chosen: argparse.Namespace) -> np.ndarray:
    """Embeddings ``[N, D]`` as a scoring run stores them, of a network that saw no label."""
    if chosen.embeddings:
        with np.load(chosen.embeddings) as kept:
            return kept["embedding"]
    parts, checkpoint = chosen.out / "parts", chosen.checkpoint
    if "embed" in chosen.only:
        from ecgfm_core.model.scoring_run import ScoringOptions
        from ecgfm_core.model.scoring_run import predict as score

        waveforms, everyone = chosen.out / "set" / "waveforms", chosen.out / "all.jsonl"
        # Nothing is judged by a split here: the validation fold says when contrastive training stops gaining.
        manifest.write(everyone, [replace(one, split=one.split.replace("test", "train")) for one in task.entries])
        checkpoint = checkpoint or pretrained(everyone, waveforms, chosen)
        score(
            checkpoint_folder=checkpoint, manifest_path=everyone, waveform_folder=waveforms, out=parts,
            options=ScoringOptions(threads=chosen.threads),
        )  # fmt: skip
    return np.concatenate([part.embedding for part in predict.read_parts(parts)]).astype(np.float32)


def pretrained(everyone: Path, waveforms: Path, chosen: argparse.Namespace) -> Path:
    """Pretrain on all recordings, contrastively alone."""
    from ecgfm_core.training.pretrain import TrainingOptions, pretrain

    changes = dict(one.split("=", 1) for one in chosen.set)
    return pretrain(
        manifest_path=everyone, waveform_folder=waveforms, config=configs.build("tiny_cpu", {**CONTRASTIVE, **changes}),
        seed=0, out=chosen.out / "pretraining", options=TrainingOptions(threads=chosen.threads),
    )  # fmt: skip


def set_of(task: Task, name: str, embedding_ND: np.ndarray) -> ReplaySet:
    """Recordings of which the superclasses are known, with what is asked: abnormal, or all of them."""
    known = np.flatnonzero(~np.isnan(task.targets_NC).any(axis=1))
    truth_NC, names = task.targets_NC[known], task.classes
    if name == "abnormal":
        truth_NC, names = 1 - truth_NC[:, [names.index("NORM")]], ("abnormal",)
    groups = [task.entries[row].group for row in known]
    return data.make(embedding_ND[known], truth_NC, groups, names)


def find(name: str, one: ReplaySet, chosen: argparse.Namespace) -> None:
    """Rank once, all recordings, with each kind and rate of errors."""
    kinds, rates = chosen.kinds, chosen.rates
    cells = [Cell(kind, rate, "", seed) for seed in range(2 * chosen.seeds) for kind in kinds for rate in rates]
    finding.judge(one, SOURCES[chosen.source], cells, folder_of(name, chosen), HEAD_SEEDS[name])


def folder_of(name: str, chosen: argparse.Namespace) -> Path:
    """Where one task's rankings lie."""
    return Path(chosen.out / f"finding-{name}-{chosen.source}")


def oracles(name: str, _one: ReplaySet, chosen: argparse.Namespace) -> None:
    """Let cleanlab score the same probabilities."""
    finding.ask_cleanlab(folder_of(name, chosen), chosen.oracle_venv or chosen.out / "cleanlab-venv")


def play(name: str, one: ReplaySet, chosen: argparse.Namespace) -> None:
    """Replay rounds; see ``ecgfm replay``."""
    options = ReplayOptions(
        tuple(chosen.kinds), tuple(chosen.rates), tuple(chosen.strategies), chosen.seeds, chosen.budget, head_seeds=3
    )
    source, title = SOURCES[chosen.source], f"Re-reading PTB-XL: {TASKS[name]}"
    page = replay(one, options, replays_of(name, chosen), title, source, chosen.source)
    print(f"page: {page}")


def replays_of(name: str, chosen: argparse.Namespace) -> Path:
    """Where one task's replays lie."""
    return Path(chosen.out / f"replay-{name}-{chosen.source}")


def report(task: Task, sets: dict[str, ReplaySet], chosen: argparse.Namespace) -> str:
    """Write the tables of what is there, as Markdown, into ``results.md``."""
    lines = [f"{len(task.entries):,} recordings, {len({one.group for one in task.entries}):,} patients."]
    for name, one in sets.items():
        folder = folder_of(name, chosen)
        table = finding.measure(one, folder)
        lines += ["", f"## {TASKS[name].capitalize()}: one ranking", "", *finding.headline(table)]
        lines += ["", *against_aims(table)] if name == "abnormal" else []
        for rate in sorted({rate for _, rate in table}):
            lines += ["", f"### Other scores from the same probabilities, {rate:.0%} wrong", ""]
            lines += finding.against_others(table, rate)
        lines += ["", "### What ranks above the flips", "", *suspected(task, one, folder)]
        if (replays := replays_of(name, chosen) / "results.md").exists():
            lines += ["", replays.read_text(encoding="utf-8").replace("\n## ", "\n### ").replace("# ", "## ", 1)]
            lines += headline_budgets(json.loads(replays.with_suffix(".json").read_text(encoding="utf-8")))
    text = "\n".join(lines) + "\n"
    (chosen.out / "results.md").write_text(text, encoding="utf-8")
    return text


def against_aims(table: dict[tuple[str, float], Any]) -> list[str]:
    """Uniform errors against what is aimed at, plainly."""
    words = {"precision": "average precision", "first": "precision, first 50", "times": "corrections, times random"}
    lines = ["| uniform errors | measured | aim | |", "|---|---|---|---|"]
    for rate, aims in AIMS.items():
        for name, aim in aims.items() if ("uniform", rate) in table else ():
            values = table["uniform", rate]["ours"][name]
            verdict = "reached" if np.mean(values) >= aim else "missed"
            lines.append(f"| {rate:.0%}: {words[name]} | {finding.in_words(values)} | {aim:g} | {verdict} |")
    return lines


def suspected(task: Task, one: ReplaySet, folder: Path) -> list[str]:
    """Recordings whose published label our score doubts more than most flips: PTB-XL's own errors are among them."""
    known = np.flatnonzero(~np.isnan(task.targets_NC).any(axis=1))
    lines = ["| recording | published | models say | among the first 50 |", "|---|---|---|---|"]
    for found in finding.above_the_flips(one, folder):
        row = int(known[found["row"]])
        held = [name for name, value in zip(task.classes, task.targets_NC[row], strict=True) if value == 1]
        said = ", ".join(f"{name} {value:.2f}" for name, value in zip(one.names, found["said"], strict=True))
        mark = task.entries[row].sha256[:12]
        lines.append(f"| {row} ({mark}) | {', '.join(held)} | {said} | {found['often']} of {found['of']} |")
    return lines


def headline_budgets(collected: dict[str, Any]) -> list[str]:
    """Budget of the strategy relabel to 95 % of the full gain, over random's."""
    named: Callable[[dict[str, Any] | None], str] = lambda one: page_words(one and one["ratio"])  # noqa: E731
    lines = ["", "| budget of relabel over random's to 95 % of the gain | right labels | macro AUROC | macro F1 |"]
    lines.append("|---|---|---|---|")
    for part in collected["parts"]:
        for line in part["strategies"]:
            if line["strategy"] == "relabel":
                cells = [named(line["budget_to_gain"][gain]) for gain in ("accuracy", "auroc", "f1")]
                lines.append(f"| {part['kind']}, {part['rate']:.0%} | {' | '.join(cells)} |")
    return lines


def page_words(value: dict[str, float | None] | None) -> str:
    """A ratio with its interval."""
    from ecgfm_core.active.replay.page import in_words

    return in_words(value, "{:.2f}")


if __name__ == "__main__":
    main()
