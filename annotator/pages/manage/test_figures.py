"""Figures on the frozen test split in words: of one checkpoint, or of two side by side."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from annotator.models import Checkpoint
from annotator.selectors.gate import name_of

MEASURES = (("auroc", "AUROC"), ("sensitivity", "Sensitivity"), ("specificity", "Specificity"), ("f1", "F1"))
SOURCES = {
    "adjudication": "adjudicated",
    "agreement": "settled by readers who agree",
    "single": "read by one reader",
    "source": "not read, with the label they came with",
    "unreadable": "unreadable and not counted",
}


@dataclass(frozen=True)
class Cell:
    """A figure before and after, and the interval of the later one."""

    value: str
    interval: str = ""


@dataclass(frozen=True)
class Row:
    """One subgroup or label; `title` is set on the first row of its kind."""

    title: str
    name: str
    recordings: int | None
    positives: int
    cells: list[Cell]


@dataclass(frozen=True)
class TestFigures:
    """What a page shows of the test split."""

    heads: list[str]
    before: Checkpoint | None
    after: Checkpoint
    rests_on: str
    differs: str = ""
    groups: list[Row] = field(default_factory=list)
    labels: list[Row] = field(default_factory=list)


def test_figures(before: Checkpoint | None, after: Checkpoint | None) -> TestFigures | None:
    """Return the figures of two checkpoints side by side, or of the one that has any; None without any."""
    found = [row for row in (before, after) if row is not None and row.test_metrics]
    if not found:
        return None
    old, new = (found[0], found[1]) if len(found) == 2 else (None, found[0])
    return TestFigures(
        heads=[words for _, words in MEASURES],
        before=old,
        after=new,
        rests_on=sources_words(new.test_metrics["recordings"], new.test_metrics["sources"]),
        differs=_differs(old, new),
        groups=list(_groups(old, new)),
        labels=list(_labels(old, new)),
    )


def sources_words(recordings: int, sources: dict[str, int]) -> str:
    """Say how many test recordings there are and where their labels are from."""
    parts = [f"{sources[kind]:,} {words}" for kind, words in SOURCES.items() if sources.get(kind)]
    return f"{recordings:,} test recordings: {', '.join(parts)}."


def _differs(old: Checkpoint | None, new: Checkpoint) -> str:
    if old is None:
        return ""
    a, b = old.test_metrics, new.test_metrics
    if (a["recordings"], a["basis"]["readings"]) == (b["recordings"], b["basis"]["readings"]):
        return ""
    return (
        f"Not on the same labels: checkpoint {old.pk} was judged on {a['recordings']:,} recordings, checkpoint "
        f"{new.pk} on {b['recordings']:,}, and readings may have come in between. The gate compares on the same ones."
    )


def _groups(old: Checkpoint | None, new: Checkpoint) -> Iterator[Row]:
    yield _row("All", "", old.test_metrics["abnormal"] if old else None, new.test_metrics["abnormal"])
    for way, parts in new.test_metrics["groups"].items():
        if len(parts) < 2:
            continue
        earlier = {part["name"]: part for part in old.test_metrics["groups"].get(way, [])} if old else {}
        for place, part in enumerate(parts):
            yield _row("" if place else way, part["name"], earlier.get(part["name"]), part)


def _row(title: str, name: str, old: dict[str, Any] | None, new: dict[str, Any]) -> Row:
    cells = [_cell(old[key] if old else None, new[key], old is not None) for key, _ in MEASURES]
    return Row(title, name, new["recordings"], new["positives"], cells)


def _labels(old: Checkpoint | None, new: Checkpoint) -> Iterator[Row]:
    earlier = {label["code"]: label["auroc"] for label in old.test_metrics["labels"]} if old else {}
    macro = old.test_metrics["macro_auroc"] if old else None
    told = sorted((one for one in new.test_metrics["labels"] if one["auroc"]), key=lambda one: -one["positives"])
    if told:
        cell = _cell(macro, new.test_metrics["macro_auroc"], old is not None)
        yield Row("", "Mean of these labels", None, sum(one["positives"] for one in told), [cell])
    for one in told:
        cell = _cell(earlier.get(one["code"]), one["auroc"], old is not None)
        yield Row("", name_of(one["code"], new), None, one["positives"], [cell])


def _cell(old: list[float] | None, new: list[float] | None, two: bool) -> Cell:
    if new is None:
        return Cell("too few")
    value = f"{new[0]:.3f}"
    if two:
        value = f"{old[0]:.3f} → {value}" if old else f"– → {value}"
    return Cell(value, f"{new[1]:.3f} to {new[2]:.3f}")
