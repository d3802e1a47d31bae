"""Hefei (Tianchi "High-tech Cup"): ``N.txt`` files and a list ``N.txt <tab> age <tab> sex <tab> statements``."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from ecgfm_core import formats
from ecgfm_core.datasets.layout import Entry, Files, Layout
from ecgfm_core.formats.comments import read_age, read_sex
from ecgfm_core.formats.files import read_text
from ecgfm_core.leads import STANDARD_LEADS
from ecgfm_core.recording import Recording, SourceCode

_LIST_BYTES_MAX = 50_000_000


def recordings(files: Files) -> list[str]:
    """Give the text files named by a number whose first line is lead names."""
    numbered = [path for path in files.with_suffix(".txt") if Path(path).stem.isdigit()]
    return [path for path in numbered if _is_recording(files.root / path)]


def _is_recording(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            words = file.readline(200).split()
    except OSError:
        return False
    return bool(words) and words[0].decode("latin-1") in STANDARD_LEADS


def _lists(files: Files) -> list[str]:
    return [path for path in files.with_suffix(".txt") if Path(path).name.startswith("hf_round")]


def _rows(files: Files) -> dict[str, list[str]]:
    rows: dict[str, list[str]] = {}
    for path in _lists(files):
        for line in read_text(files.root / path, path, _LIST_BYTES_MAX).splitlines():
            cells = [cell.strip() for cell in line.split("\t")]
            if len(cells) >= 3:
                rows[cells[0]] = cells
    return rows


def _entries(files: Files) -> Iterator[Entry]:
    rows = _rows(files)
    for path in recordings(files):
        yield Entry(path, _load(files, path, rows.get(Path(path).name)))


def _load(files: Files, path: str, row: list[str] | None) -> Callable[[], Recording]:
    def load() -> Recording:
        recording = formats.read(files.root / path, path)
        if row is None:
            return recording
        remarks: list[str] = []
        return replace(
            recording,
            age_years=read_age(row[1], remarks),
            sex=read_sex(row[2], remarks),
            source_codes=tuple(SourceCode("hefei", code) for code in dict.fromkeys(row[3:]) if code),
            remarks=(*recording.remarks, *remarks),
        )

    return load


LAYOUT = Layout("hefei", "Hefei (Tianchi)", lambda files: bool(_lists(files)) and bool(recordings(files)), _entries)
