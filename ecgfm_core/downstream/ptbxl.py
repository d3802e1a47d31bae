"""PTB-XL's six tasks: Wagner et al., "PTB-XL" (2020), Strodthoff et al., "Deep learning for ECG analysis" (2020).

A statement is present whatever its likelihood; a recording without any statement of a task is no part of it.
"""

import csv
import io
from collections.abc import Callable, Mapping
from pathlib import Path

from ecgfm_core.datasets.layout import list_files
from ecgfm_core.errors import FormatError
from ecgfm_core.formats.files import read_text

STATEMENTS = "scp_statements.csv"
_NEEDED = ("description", "diagnostic", "form", "rhythm", "diagnostic_class", "diagnostic_subclass")
_BYTES_MAX = 1_000_000
Row = Mapping[str, str]


def _of_kind(kind: str) -> Callable[[str, Row], str]:
    return lambda code, row: code if _flag(row[kind]) else ""


# task -> the class that a statement belongs to, empty for none
TASKS: dict[str, Callable[[str, Row], str]] = {
    "all": lambda code, _row: code,
    "diag": _of_kind("diagnostic"),
    "sub": lambda _code, row: row["diagnostic_subclass"] if _flag(row["diagnostic"]) else "",
    "super": lambda _code, row: row["diagnostic_class"] if _flag(row["diagnostic"]) else "",
    "form": _of_kind("form"),
    "rhythm": _of_kind("rhythm"),
}
_SUPERCLASSES = {
    "NORM": "Normal ECG", "MI": "Myocardial infarction", "STTC": "ST/T change", "CD": "Conduction disturbance",
    "HYP": "Hypertrophy",
}  # fmt: skip


def _flag(cell: str) -> bool:
    try:
        return float(cell or 0) == 1
    except ValueError:
        return False


def read_statements(source: Path) -> dict[str, Row]:
    """Read the set's own table of statements: code -> its row.

    Raises
    ------
    FormatError
        If the table or one of its columns is missing.
    """
    path = list_files(source).find(STATEMENTS)
    if path is None:
        raise FormatError(f"{source.name}: {STATEMENTS} is missing; take it from the official set")
    rows = csv.DictReader(io.StringIO(read_text(path, STATEMENTS, _BYTES_MAX), newline=""))
    names = list(rows.fieldnames or ())
    if missing := [name for name in _NEEDED if name not in names]:
        raise FormatError(f"{STATEMENTS}: columns {', '.join(missing)} are missing; take the official table")
    return {row[names[0]]: row for row in rows}


def class_of(task: str, statements: Mapping[str, Row]) -> dict[str, str]:
    """Say which class of a task each statement belongs to; statements of no class are not there.

    Raises
    ------
    FormatError
        If the task is unknown.
    """
    if task not in TASKS:
        raise FormatError(f"PTB-XL has no task {task!r}; {', '.join(TASKS)} are its tasks")
    found = {code: TASKS[task](code, row) for code, row in statements.items()}
    return {code: name for code, name in found.items() if name}


def titles(statements: Mapping[str, Row]) -> dict[str, str]:
    """Give a class in words, where it is a statement or a superclass."""
    return {**{code: row["description"] for code, row in statements.items()}, **_SUPERCLASSES}
