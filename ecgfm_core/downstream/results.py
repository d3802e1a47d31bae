"""Figures of a bench with intervals, as JSON, as a Markdown table, and as one page.

N recording of the test split, C class, S seed.
"""

import functools
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ecgfm_core.downstream import bootstrap, challenge, metrics, page
from ecgfm_core.downstream.bootstrap import Drawn, Metric
from ecgfm_core.downstream.task import Task
from ecgfm_core.errors import FormatError
from ecgfm_core.training.run_folder import write_json

if TYPE_CHECKING:
    from ecgfm_core.downstream.bench import Fit

_SEED = 0  # of the bootstrap
_SUBGROUP_MIN = 20
# What a table is read for: row less row, row over row
COMPARISONS = (
    ("difference", "frozen_attention", "random_frozen"),
    ("difference", "fine_tuned", "from_scratch"),
    ("difference", "frozen_attention", "from_scratch"),
    ("ratio", "frozen_attention", "from_scratch"),
)


@dataclass(frozen=True)
class Answers:
    """What the seeds of one row at one share of the labels say of the test split; thresholds are from validation."""

    target_NC: np.ndarray
    probability_SNC: np.ndarray
    thresholds_SC: np.ndarray
    challenge_SNC: np.ndarray | None
    groups: tuple[str, ...]
    recordings: float
    seconds: float

    def said(self) -> np.ndarray:
        """What is said to be present, `[S, N, C]`."""
        return self.probability_SNC >= self.thresholds_SC[:, None]


def answers_of(task: Task, folder: Path, fits: Sequence["Fit"], weights: challenge.Weights | None) -> Answers:
    """Read the fits of one row at one share, a seed each, and choose thresholds on the validation split."""
    validate, test = task.rows("validate"), task.rows("test")
    found, thresholds, said, notes = [], [], [], []
    for fit in fits:
        try:
            with np.load(folder / f"{fit.name}.npz", allow_pickle=False) as arrays:
                probability_NC = arrays["probability_NC"]
            notes.append(json.loads((folder / f"{fit.name}.json").read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError) as error:
            raise FormatError(
                f"Fit {folder / fit.name} can't be read ({error}); delete its files, run again"
            ) from error
        judged_NC, found_NC = probability_NC[: len(validate)], probability_NC[len(validate) :]
        found.append(found_NC)
        thresholds.append(metrics.best_f1_thresholds(task.targets_NC[validate], judged_NC))
        if weights is not None:
            chosen_C = challenge.choose_thresholds(task.targets_NC[validate], judged_NC, weights, thresholds[-1])
            said.append(found_NC >= chosen_C)
    return Answers(
        task.targets_NC[test], np.stack(found), np.stack(thresholds), np.stack(said) if said else None,
        tuple(task.entries[row].group for row in test), float(np.mean([one["recordings"] for one in notes])),
        float(np.mean([one["seconds"] for one in notes])),
    )  # fmt: skip


def collect(
    task: Task, folder: Path, fits: Sequence["Fit"], weights: challenge.Weights | None, positives_min: int
) -> dict[str, Any]:
    """Give every figure that the pages show, each with its 95 % interval."""
    weights = weights_in_order(weights, task.classes) if weights else None
    groups: dict[tuple[str, float], list[Fit]] = {}
    for fit in fits:
        groups.setdefault((fit.row, fit.fraction), []).append(fit)
    answers = {key: answers_of(task, folder, some, weights) for key, some in groups.items()}
    drawn = {key: dict(_draw(one, weights, positives_min)) for key, one in answers.items()}
    largest = max(fraction for _, fraction in answers)
    full = {row: one for (row, fraction), one in answers.items() if fraction == largest}
    return {
        "metrics": [name for name in page.METRICS if name != "challenge" or weights is not None],
        "largest_fraction": largest,
        "positives_min": positives_min,
        "table": [
            {
                "row": row, "fraction": fraction, "recordings": answers[row, fraction].recordings,
                "seconds": answers[row, fraction].seconds,
                **{name: one.interval().to_dict() for name, one in drawn[row, fraction].items()},
            }
            for row, fraction in sorted(answers, key=lambda key: -key[1])
        ],
        "comparisons": list(_compare({row: drawn[row, largest]["macro_auroc"] for row in full})),
        "classes": _classes(task, full, positives_min),
        "subgroups": list(_subgroups(task, full, positives_min)),
    }  # fmt: skip


def weights_in_order(weights: challenge.Weights, classes: tuple[str, ...]) -> challenge.Weights:
    """Put the weights in the order of a task's columns."""
    place = [weights.classes.index(name) for name in classes]
    return challenge.Weights(classes, weights.weights_CC[np.ix_(place, place)])


def _draw(answers: Answers, weights: challenge.Weights | None, positives_min: int) -> Iterator[tuple[str, Drawn]]:
    def draw(metric: Metric, answer_SNC: np.ndarray) -> Drawn:
        return bootstrap.draw(metric, answers.target_NC, answer_SNC, _SEED, groups=answers.groups)

    yield (
        "macro_auroc",
        draw(functools.partial(metrics.resampled_macro_auroc, positives_min=positives_min), answers.probability_SNC),
    )
    for name, micro in (("macro_f1", False), ("micro_f1", True)):
        metric = functools.partial(metrics.resampled_f1, micro=micro, positives_min=positives_min)
        yield name, draw(metric, answers.said())
    if weights is not None and answers.challenge_SNC is not None:
        yield "challenge", draw(functools.partial(challenge.resampled, weights=weights), answers.challenge_SNC)


def _compare(macro: dict[str, Drawn]) -> Iterator[dict[str, Any]]:
    for kind, first, second in COMPARISONS:
        if first in macro and second in macro:
            one = macro[first] - macro[second] if kind == "difference" else macro[first] / macro[second]
            yield {"kind": kind, "first": first, "second": second, **one.interval().to_dict()}


def _classes(task: Task, full: dict[str, Answers], positives_min: int) -> list[dict[str, Any]]:
    """Give each class's figures in every row, the mean over seeds, and the interval of its AUROC."""
    any_answers = next(iter(full.values()))
    scored = set(metrics.scored_classes(any_answers.target_NC, positives_min).tolist())
    rows: list[dict[str, Any]] = [
        {
            "name": name, "title": task.title(name), "scored": column in scored,
            "positives": int((any_answers.target_NC[:, column] == 1).sum()), "rows": {},
        }
        for column, name in enumerate(task.classes)
    ]  # fmt: skip
    for row, one in full.items():
        seeds = [
            metrics.by_class(one.target_NC, probability_NC, thresholds_C)
            for probability_NC, thresholds_C in zip(one.probability_SNC, one.thresholds_SC, strict=True)
        ]
        for column, line in enumerate(rows):
            line["rows"][row] = {
                name: _mean([seed[column][name] for seed in seeds])
                for name in ("auroc", "sensitivity", "precision", "f1")
            }
            line["rows"][row]["threshold"] = float(one.thresholds_SC[:, column].mean())
            if column in scored:
                probability_SN1 = one.probability_SNC[..., [column]]
                area = bootstrap.interval(
                    functools.partial(metrics.resampled_macro_auroc, positives_min=1), one.target_NC[:, [column]],
                    probability_SN1, _SEED, groups=one.groups,
                )  # fmt: skip
                line["rows"][row]["auroc_interval"] = area.to_dict()
    return rows


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _subgroups(task: Task, full: dict[str, Answers], positives_min: int) -> Iterator[dict[str, Any]]:
    test = task.rows("test")
    for name, words_N in task.subgroups.items():
        for word in sorted(set(words_N[test].tolist()) - {""}):
            inside = np.flatnonzero(words_N[test] == word)
            if len(inside) >= _SUBGROUP_MIN:
                macro = _macro_within(inside, positives_min)
                rows = {row: macro(one) for row, one in full.items()}
                yield {"name": name, "word": word, "recordings": len(inside), "rows": rows}


def _macro_within(inside: np.ndarray, positives_min: int) -> Callable[[Answers], dict[str, float | None]]:
    metric = functools.partial(metrics.resampled_macro_auroc, positives_min=positives_min)

    def macro(one: Answers) -> dict[str, float | None]:
        groups = [one.groups[row] for row in inside]
        return bootstrap.interval(
            metric, one.target_NC[inside], one.probability_SNC[:, inside], _SEED, groups=groups
        ).to_dict()  # fmt: skip

    return macro


def write(out: Path, results: dict[str, Any]) -> Path:
    """Write ``results.json``, ``results.md`` and ``results.html``; returns the page's path."""
    write_json(out / "results.json", results)
    (out / "results.md").write_text(markdown(results), encoding="utf-8")
    path = out / "results.html"
    path.write_text(page.render(results), encoding="utf-8")
    return path


def in_words(value: dict[str, float | None] | None) -> str:
    """Write ``0.931 (0.920 to 0.941)``; a dash where a figure is not defined."""
    if not value or value["value"] is None:
        return "-"
    if value["low"] is None or value["high"] is None:
        return f"{value['value']:.3f}"
    return f"{value['value']:.3f} ({value['low']:.3f} to {value['high']:.3f})"


def markdown(results: dict[str, Any]) -> str:
    """Write the tables for a document."""
    names = results["metrics"]
    lines = [f"# {results['title']}", "", _splits_in_words(results), ""]
    lines += ["| row | labels | recordings | " + " | ".join(page.METRICS[name] for name in names) + " | s a fit |"]
    lines += ["|---" * (len(names) + 4) + "|"]
    for line in results["table"]:
        cells = " | ".join(in_words(line[name]) for name in names)
        head = f"{page.ROW_TITLES[line['row']]} | {line['fraction']:.0%} | {line['recordings']:.0f}"
        lines.append(f"| {head} | {cells} | {line['seconds']:.0f} |")
    lines += ["", *(f"- {page.comparison_in_words(one)}: {in_words(one)}" for one in results["comparisons"])]
    lines += ["", *(f"- {remark}" for remark in results["remarks"])]
    rows = list(dict.fromkeys(line["row"] for line in results["table"]))
    lines += ["", "| class | positives | " + " | ".join(page.ROW_TITLES[row] for row in rows) + " |"]
    lines += ["|---" * (len(rows) + 2) + "|"]
    for one in results["classes"]:
        cells = " | ".join(in_words(one["rows"][row].get("auroc_interval")) for row in rows)
        lines.append(f"| {one['title']} | {one['positives']} | {cells} |")
    return "\n".join(lines) + "\n"


def _splits_in_words(results: dict[str, Any]) -> str:
    parts = [f"{split} {size['recordings']:,}" for split, size in results["splits"].items()]
    counted = sum(one["scored"] for one in results["classes"])
    return (
        f"Recordings: {', '.join(parts)}. {counted} of {len(results['classes'])} classes have at least "
        f"{results['positives_min']} positives and negatives in the test split; macro means are over them. "
        f"{results['seeds']} seeds; 95 % intervals of 1,000 bootstrap resamples of patients and seeds jointly."
    )
