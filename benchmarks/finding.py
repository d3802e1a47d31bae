"""How well one score ranks wrong labels above right ones: ours, and others computed from the same probabilities.

cleanlab's scores come from cleanlab itself, which is AGPL and no dependency: a venv of its own is made for it, and it
is called as a subprocess with npz files in and out. Axes: N recordings, C labels, S seeds.
"""

import copy
import subprocess
import venv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats
from sklearn.metrics import average_precision_score, roc_auc_score

from ecgfm_core.active import dynamics, scores
from ecgfm_core.active.replay.data import ReplaySet
from ecgfm_core.active.replay.play import Cell, make_errors
from ecgfm_core.active.replay.strategies import Source

CLEANLAB = "cleanlab==2.7.1"
TITLES = {
    "ours": "label error (ours)", "cleanlab_self_confidence": "cleanlab, self-confidence",
    "cleanlab_normalized_margin": "cleanlab, normalized margin",
    "cleanlab_confidence_weighted_entropy": "cleanlab, confidence-weighted entropy",
    "bernhardt": "Bernhardt (cross-entropy less entropy)", "aum": "area under the margin", "bald": "BALD",
    "entropy": "entropy",
}  # fmt: skip
OTHERS = tuple(name for name in TITLES if name not in ("ours", "entropy"))
FIRST = 50

# Runs in cleanlab's own venv: every npz of a folder, scores beside it. Low is suspicious in cleanlab.
_ORACLE = """
import pathlib, sys
import numpy as np
from cleanlab.multilabel_classification import get_label_quality_scores as of_sets
from cleanlab.rank import get_label_quality_scores as of_classes
for path in sorted(pathlib.Path(sys.argv[1]).glob("*.npz")):
    kept, found = np.load(path), {}
    given, probability = kept["given_NC"], kept["probability_NC"].astype(float)
    for method in ("self_confidence", "normalized_margin", "confidence_weighted_entropy"):
        if given.shape[1] == 1:
            two = np.concatenate([1 - probability, probability], axis=1)
            quality = of_classes(given[:, 0], two, method=method)
        else:
            sets = [np.flatnonzero(row).tolist() for row in given]
            quality = of_sets(sets, probability, method=method)
        found["cleanlab_" + method] = -quality
    np.savez(pathlib.Path(sys.argv[2]) / path.name, **found)
"""


def judge(
    one: ReplaySet, make_source: Callable[[ReplaySet], Source], cells: Sequence[Cell], folder: Path, head_seeds: int
) -> None:
    """Make the errors of each cell, ask for probabilities and keep both with our scores; what is there stays."""
    folder.mkdir(parents=True, exist_ok=True)
    source, everyone = make_source(one), np.arange(len(one.truth_NC))
    for cell in cells:
        path = folder / f"{cell.kind}-{cell.rate:g}-{cell.seed}.npz"
        if path.exists():
            continue
        given_NC = make_errors(one, source.features_NR, everyone, cell)
        asking = copy.copy(source)  # heads tune themselves on the first labels that they are asked for
        asked = [asking.probabilities(labels_N, range(head_seeds)) for labels_N in given_NC.T]
        found = own_scores(source, given_NC, np.stack(asked, axis=2))
        partial = path.with_suffix(".partial")
        with partial.open("wb") as file:
            np.savez(file, given_NC=given_NC, probability_NC=np.mean(asked, axis=1).T, **found)  # type: ignore[arg-type]
        partial.replace(path)


def own_scores(source: Source, given_NC: np.ndarray, probability_SNC: np.ndarray) -> dict[str, np.ndarray]:
    """Scores ``[N]`` of this repository and Bernhardt's, the highest the most suspicious."""
    mean_NC, columns = probability_SNC.mean(axis=0), range(given_NC.shape[1])
    losses = [scores.label_error_scores(given_NC[:, c], mean_NC[:, c]) for c in columns]
    doubts = [scores.entropy(mean_NC[:, c]) * np.log(2) for c in columns]
    margins = [dynamics.area_under_margin(source.features_NR, given_NC[:, c]) for c in columns]
    return {
        "ours": losses[0] if len(losses) == 1 else scores.label_set_scores(given_NC, mean_NC),
        "bernhardt": np.sum(losses, axis=0) - np.sum(doubts, axis=0), "aum": -np.min(margins, axis=0),
        "bald": np.sum([scores.disagreement(probability_SNC[:, :, c]) for c in columns], axis=0),
        "entropy": np.sum(doubts, axis=0),
    }  # fmt: skip


def ask_cleanlab(folder: Path, venv_folder: Path) -> None:
    """Let cleanlab score every cell of a folder; makes its venv on the first call."""
    python, out = venv_folder / "bin" / "python", folder / "cleanlab"
    if not python.exists():
        venv.create(venv_folder, with_pip=True)
    if subprocess.run([python, "-c", "import cleanlab"], capture_output=True).returncode:
        subprocess.run([python, "-m", "pip", "install", "--quiet", CLEANLAB], check=True)
    out.mkdir(exist_ok=True)
    subprocess.run([python, "-c", _ORACLE, folder, out], check=True)


def measure(one: ReplaySet, folder: Path) -> dict[tuple[str, float], dict[str, dict[str, list[float]]]]:
    """Figures of each score a seed: {(kind, rate): {score: {figure: [of each seed]}}}."""
    table: dict[tuple[str, float], dict[str, dict[str, list[float]]]] = {}
    for path in sorted(folder.glob("*.npz")):
        kind, rate, _ = path.stem.split("-")
        with np.load(path) as kept:
            found = {name: kept[name] for name in kept.files if name in TITLES}
            wrong_N = (kept["given_NC"] != one.truth_NC).any(axis=1)
        if (path.parent / "cleanlab" / path.name).exists():
            with np.load(path.parent / "cleanlab" / path.name) as kept:
                found |= {name: kept[name] for name in kept.files}
        of_cell = table.setdefault((kind, float(rate)), {})
        for name, score_N in found.items():
            figures = of_cell.setdefault(name, {"precision": [], "auroc": [], "first": [], "times": []})
            for figure, value in figures_of(wrong_N, score_N).items():
                figures[figure].append(value)
    return table


def figures_of(wrong_N: np.ndarray, score_N: np.ndarray) -> dict[str, float]:
    """Average precision, AUROC, precision of the first 50, and corrections at a budget of the rate over random's."""
    order = np.argsort(-score_N, kind="stable")
    return {
        "precision": float(average_precision_score(wrong_N, score_N)), "auroc": float(roc_auc_score(wrong_N, score_N)),
        "first": float(wrong_N[order[:FIRST]].mean()),
        "times": float(wrong_N[order[: wrong_N.sum()]].mean() / wrong_N.mean()),
    }  # fmt: skip


def in_words(values: Sequence[float], form: str = "{:.3f}") -> str:
    """Mean over seeds with its 95 % interval (Student's t)."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return form.format(mean)
    half = float(stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values)))
    return f"{form.format(mean)} ({form.format(mean - half)} to {form.format(mean + half)})"


def headline(table: dict[tuple[str, float], Any]) -> list[str]:
    """What our score finds, a line a kind and rate."""
    heads = (
        "errors", "wrong", "average precision", "AUROC", "precision, first 50",
        "corrections at a budget equal to the error rate, times random",
    )  # fmt: skip
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for (kind, rate), by_score in sorted(table.items(), key=lambda item: (item[0][1], item[0][0] != "uniform")):
        own = by_score["ours"]
        cells = [in_words(own["precision"]), in_words(own["auroc"]), in_words(own["first"], "{:.2f}")]
        lines.append(f"| {kind} | {rate:.0%} | {' | '.join(cells)} | {in_words(own['times'], '{:.1f}')} |")
    return lines


def against_others(table: dict[tuple[str, float], Any], rate: float) -> list[str]:
    """Average precision of every score at one rate, and ours less the best other one, in pairs over the seeds."""
    kinds = [kind for kind, at in table if at == rate]
    lines = ["| average precision | " + " | ".join(kinds) + " |", "|---" * (len(kinds) + 1) + "|"]
    for name, title in TITLES.items():
        cells = [in_words(table[kind, rate][name]["precision"]) if name in table[kind, rate] else "-" for kind in kinds]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    cells = []
    for kind in kinds:
        known = {name: table[kind, rate][name]["precision"] for name in OTHERS if name in table[kind, rate]}
        best = max(known, key=lambda name: float(np.mean(known[name])))
        less = np.subtract(table[kind, rate]["ours"]["precision"], known[best])
        cells.append(f"{in_words(less, '{:+.3f}')}, {TITLES[best]}")
    return [*lines, f"| ours less the best other | {' | '.join(cells)} |"]


def above_the_flips(one: ReplaySet, folder: Path, count: int = 25) -> list[dict[str, Any]]:
    """Labels that nobody flipped and that rank among the first 50 at 10 % uniform errors, the most often so first."""
    often, said = np.zeros(len(one.truth_NC)), np.zeros(one.truth_NC.shape)
    paths = sorted(folder.glob("uniform-0.1-*.npz"))
    for path in paths:
        with np.load(path) as kept:
            kept_N = (kept["given_NC"] == one.truth_NC).all(axis=1)
            first = np.argsort(-kept["ours"], kind="stable")[:FIRST]
            often[first[kept_N[first]]] += 1
            said += kept["probability_NC"] / len(paths)
    top = np.argsort(-often, kind="stable")[:count]
    return [
        {"row": int(row), "often": int(often[row]), "of": len(paths), "said": said[row].tolist()}
        for row in top
        if often[row]
    ]
