"""CPSC 2018 in its native form: ``A0001.mat`` structs and, where it is there, ``REFERENCE.csv`` with classes 1 to 9."""

import csv
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from ecgfm_core import formats
from ecgfm_core.datasets.layout import Entry, Files, Layout
from ecgfm_core.datasets.wfdb_folder import lone_mat_files
from ecgfm_core.formats.files import read_text
from ecgfm_core.recording import Recording, SourceCode


def _classes(files: Files) -> dict[str, tuple[str, ...]]:
    path = files.find("REFERENCE.csv")
    if path is None:
        return {}
    rows = list(csv.reader(read_text(path, path.name, 10_000_000).splitlines()))
    return {row[0]: tuple(cell.strip() for cell in row[1:] if cell.strip()) for row in rows[1:] if row}


def _entries(files: Files) -> Iterator[Entry]:
    classes = _classes(files)
    for path in lone_mat_files(files):
        name = path[: -len(".mat")]
        yield Entry(name, _load(files, path, name, classes.get(Path(path).stem, ())))


def _load(files: Files, path: str, name: str, classes: tuple[str, ...]) -> Callable[[], Recording]:
    def load() -> Recording:
        recording = formats.read(files.root / path, name)
        codes = tuple(SourceCode("cpsc", code) for code in dict.fromkeys(classes))
        return replace(recording, centre="CPSC", source_codes=codes)

    return load


def _fits(files: Files) -> bool:
    return bool(lone_mat_files(files)) and not files.with_suffix(".hea")


LAYOUT = Layout("cpsc2018", "CPSC 2018, native", _fits, _entries)
