"""PTB-XL: ``ptbxl_database.csv`` tells of every recording; its 500 Hz file is taken where it is there, else 100 Hz."""

import ast
import csv
import io
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import PurePosixPath

from ecgfm_core import formats
from ecgfm_core.datasets.layout import Entry, Files, Layout
from ecgfm_core.errors import FormatError
from ecgfm_core.formats.files import read_text
from ecgfm_core.recording import Recording, SourceCode

TABLE = "ptbxl_database.csv"
_TABLE_BYTES_MAX = 200_000_000
_NEEDED = ("ecg_id", "patient_id", "scp_codes", "filename_lr")
_SEXES = {"0": "M", "1": "F"}  # the set's own coding
_AGE_OVER_89 = 300


def _entries(files: Files) -> Iterator[Entry]:
    table = files.find(TABLE)
    if table is None:
        raise FormatError(f"{TABLE} is missing")
    rows = csv.DictReader(io.StringIO(read_text(table, TABLE, _TABLE_BYTES_MAX), newline=""))
    missing = [name for name in _NEEDED if name not in (rows.fieldnames or ())]
    if missing:
        raise FormatError(f"{TABLE}: columns {', '.join(missing)} are missing; take the official table")
    root = table.parent.relative_to(files.root).as_posix()
    prefix = "" if root == "." else f"{root}/"
    for row in rows:
        name = _file_of(files, row, prefix)
        fallback = f"{TABLE}, ecg_id {row['ecg_id']}"
        load = _load(files, f"{prefix}{name}.hea", name, row) if name else _refuse(fallback)
        yield Entry(name or fallback, load, _fold(row))


def _file_of(files: Files, row: Mapping[str, str | None], prefix: str) -> str:
    """Choose the record that lies there, in 500 Hz before 100 Hz; its name without the suffix."""
    names = [name for name in (row.get("filename_hr"), row.get("filename_lr")) if name]
    safe = [name for name in names if not {"..", ""} & set(PurePosixPath(name).parts) and not name.startswith("/")]
    return next((name for name in safe if f"{prefix}{name}.hea" in files.known), safe[-1] if safe else "")


def _load(files: Files, path: str, name: str, row: Mapping[str, str | None]) -> Callable[[], Recording]:
    return lambda: _told(formats.read(files.root / path, name), row)


def _refuse(name: str) -> Callable[[], Recording]:
    def load() -> Recording:
        raise FormatError(f"{name}: no usable file name; a path inside the set is needed")

    return load


def _fold(row: Mapping[str, str | None]) -> int | None:
    fold = _number(row.get("strat_fold"))
    return int(fold) if fold is not None else None


def _told(recording: Recording, row: Mapping[str, str | None]) -> Recording:
    remarks = list(recording.remarks)
    age = _number(row.get("age"))
    if age == _AGE_OVER_89:
        remarks.append("age left out; the set gives 300 for anyone over 89")
        age = None
    elif age is not None and not 0 <= age <= 120:
        remarks.append(f"age {age:g} left out; 0 to 120 years are believed")
        age = None
    patient = _number(row.get("patient_id"))
    return replace(
        recording,
        age_years=age,
        sex=_SEXES.get((row.get("sex") or "").split(".")[0], ""),
        acquired_at=_date(row.get("recording_date")),
        centre="PTB-XL",
        patient_key=str(int(patient)) if patient is not None else "",
        fold=_fold(row),
        report_text=(row.get("report") or "").strip(),
        source_codes=_source_codes(recording.name, row.get("scp_codes") or ""),
        remarks=tuple(remarks),
    )


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _date(text: str | None) -> datetime | None:
    try:
        return datetime.fromisoformat(text or "").replace(tzinfo=UTC)
    except ValueError:
        return None


def _source_codes(name: str, text: str) -> tuple[SourceCode, ...]:
    """Read ``{'NORM': 100.0, 'SR': 0.0}``: a likelihood of 0 stands for one that is not known."""
    try:
        codes = ast.literal_eval(text) if text else {}
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        codes = None
    if not isinstance(codes, dict) or not all(
        isinstance(code, str) and isinstance(value, int | float) and 0 <= value <= 100 for code, value in codes.items()
    ):
        raise FormatError(f"{name}: scp_codes {text[:60]!r} don't parse; {{'NORM': 100.0}} is the form, 0 to 100")
    return tuple(SourceCode("scp", code, value / 100 if value else None) for code, value in codes.items())


LAYOUT = Layout("ptb-xl", "PTB-XL", lambda files: files.find(TABLE) is not None, _entries)
