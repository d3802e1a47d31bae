"""Checkpoints side by side: the metrics that matter, each with its difference to the current checkpoint."""

from dataclasses import dataclass, field
from typing import Any

from annotator.models import Checkpoint

COLUMNS = 5
TELLING = ("auroc", "f1", "accuracy", "loss")  # what a name holds to come first, in this order


@dataclass(frozen=True)
class Cell:
    """One metric of one checkpoint; `difference` to the current checkpoint, None where either has none."""

    name: str
    value: float | None
    difference: float | None


@dataclass(frozen=True)
class Row:
    """A checkpoint with the metrics of the table, then the others."""

    checkpoint: Checkpoint
    cells: list[Cell]
    others: list[Cell] = field(default_factory=list)


def flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested values as one level: `{"validate": {"auroc": 0.9}}` becomes `{"validate auroc": 0.9}`."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix} {key}".strip().replace("_", " ").replace("/", " ")
        found.update(flat(value, name) if isinstance(value, dict) else {name: value})
    return found


def numbers(checkpoint: Checkpoint) -> dict[str, float]:
    """Return the metrics of a checkpoint that are numbers."""
    found = flat(checkpoint.metrics)
    return {name: float(value) for name, value in found.items() if isinstance(value, int | float)}


def compared(checkpoints: list[Checkpoint]) -> tuple[list[str], list[Row]]:
    """Return the names of the table's metrics and a row a checkpoint."""
    current = next((row for row in checkpoints if row.state == Checkpoint.State.CURRENT), None)
    against = numbers(current) if current else {}
    held = {row.pk: numbers(row) for row in checkpoints}
    names = sorted({name for values in held.values() for name in values}, key=_order)
    shown, others = names[:COLUMNS], names[COLUMNS:]
    rows = []
    for row in checkpoints:
        base = {} if row is current else against
        cells = [_cell(name, held[row.pk], base) for name in shown]
        rows.append(Row(row, cells, [_cell(name, held[row.pk], base) for name in others if name in held[row.pk]]))
    return shown, rows


def _cell(name: str, values: dict[str, float], against: dict[str, float]) -> Cell:
    value, base = values.get(name), against.get(name)
    return Cell(name, value, value - base if value is not None and base is not None else None)


def _order(name: str) -> tuple[bool, int, str]:
    rank = next((place for place, word in enumerate(TELLING) if word in name), len(TELLING))
    return name.startswith("train"), rank, name
