"""CinC 2011: recordings judged acceptable or unacceptable, in ``labels.csv`` or two lists ``RECORDS-...``."""

import csv
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from ecgfm_core.datasets import wfdb_folder
from ecgfm_core.datasets.layout import Entry, Files, Layout
from ecgfm_core.formats.files import read_text
from ecgfm_core.recording import Recording, SourceCode

_JUDGEMENTS = ("acceptable", "unacceptable")


def _judgements(files: Files) -> dict[str, str]:
    table = files.find("labels.csv")
    if table is not None:
        rows = csv.DictReader(read_text(table, table.name).splitlines())
        return {row["record"]: row["quality"] for row in rows if row.get("quality") in _JUDGEMENTS}
    found: dict[str, str] = {}
    for judgement in _JUDGEMENTS:
        path = files.find(f"RECORDS-{judgement}")
        if path is not None:
            found |= dict.fromkeys(read_text(path, path.name).split(), judgement)
    return found


def _entries(files: Files) -> Iterator[Entry]:
    judgements = _judgements(files)

    def amend(recording: Recording, path: str) -> Recording:
        judgement = judgements.get(Path(path).stem)
        codes = (SourceCode("quality", judgement),) if judgement else ()
        return replace(recording, centre="CinC 2011", source_codes=codes)

    yield from wfdb_folder.records(files, amend)


def _fits(files: Files) -> bool:
    table = files.find("labels.csv")
    if table is not None:
        with table.open("rb") as file:
            return file.readline(200).split() == [b"record,quality"] and bool(files.with_suffix(".hea"))
    return files.find("RECORDS-unacceptable") is not None and bool(files.with_suffix(".hea"))


LAYOUT = Layout("cinc2011", "CinC 2011", _fits, _entries)
