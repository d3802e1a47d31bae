"""CinC 2020 and 2021: ``.hea`` with ``#Dx`` in SNOMED CT, ``.mat`` in WFDB format 16+24; the name tells the centre."""

import itertools
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from ecgfm_core.datasets import wfdb_folder
from ecgfm_core.datasets.layout import Entry, Files, Layout
from ecgfm_core.recording import Recording

_CENTRES = {
    "A": "CPSC",
    "Q": "CPSC-Extra",
    "I": "INCART",
    "S": "PTB",
    "HR": "PTB-XL",
    "E": "Georgia",
    "JS": "Chapman-Ningbo",
}
_NAME = re.compile(r"([A-Z]{1,2})\d{4,5}")
_PEEK = 20


def _amend(recording: Recording, path: str) -> Recording:
    match = _NAME.fullmatch(Path(path).stem)
    return replace(recording, centre=_CENTRES.get(match[1], recording.centre)) if match else recording


def _entries(files: Files) -> Iterator[Entry]:
    yield from wfdb_folder.records(files, _amend)


def _fits(files: Files) -> bool:
    pairs = (path for path in files.with_suffix(".hea") if f"{path[: -len('.hea')]}.mat" in files.known)
    for path in itertools.islice((path for path in pairs if _NAME.fullmatch(Path(path).stem)), _PEEK):
        with (files.root / path).open("rb") as file:
            if b"#Dx" in file.read(8192).replace(b"# Dx", b"#Dx"):
                return True
    return False


LAYOUT = Layout("cinc2020", "CinC 2020/2021", _fits, _entries)
