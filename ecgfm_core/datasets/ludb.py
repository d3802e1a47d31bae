"""LUDB: records ``1.hea`` ... with one annotation file a lead (``1.i`` to ``1.v6``); each record is another person."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from ecgfm_core.datasets import wfdb_folder
from ecgfm_core.datasets.layout import Entry, Files, Layout
from ecgfm_core.recording import Recording


def _amend(recording: Recording, path: str) -> Recording:
    return replace(recording, centre="LUDB", patient_key=Path(path).stem)


def _entries(files: Files) -> Iterator[Entry]:
    yield from wfdb_folder.records(files, _amend)


def _fits(files: Files) -> bool:
    return any(f"{path[: -len('.avf')]}.hea" in files.known for path in files.with_suffix(".avf"))


LAYOUT = Layout("ludb", "LUDB", _fits, _entries)
