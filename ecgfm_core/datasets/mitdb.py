"""MIT-BIH Arrhythmia and sets of its form: ``.atr`` beside the header; beats and rhythms become source codes."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ecgfm_core.datasets import wfdb_folder
from ecgfm_core.datasets.layout import Entry, Files, Layout
from ecgfm_core.errors import FormatError
from ecgfm_core.formats.files import refuse_pointer, refuse_short
from ecgfm_core.formats.header import read_header
from ecgfm_core.recording import Recording, SourceCode

# Beat symbols of the PhysioBank annotation codes; others (noise, comments, waves) say nothing of the diagnosis.
BEATS = frozenset("NLRBAaJSVrFejnE/fQx!")
_END_MARK = b"\0\0"
_SAME_PATIENT = {"202": "201"}  # both are of one person


@dataclass(frozen=True)
class BeatMarks:
    """Where each beat lies and what it is; samples rise, at the rate of the recording's own file."""

    sample_M: np.ndarray
    symbols: tuple[str, ...]


def read_marks(path: Path) -> BeatMarks:
    """Give every beat of an annotation file with its place; marks that are no beat are left out.

    Raises
    ------
    FormatError
        If the file is empty, a pointer, or can't be read as WFDB annotations.
    """
    annotation = _annotation(path)
    beats = [index for index, symbol in enumerate(annotation.symbol) if symbol in BEATS]
    samples = np.asarray(annotation.sample, dtype=np.int64)[beats]
    return BeatMarks(samples, tuple(annotation.symbol[index] for index in beats))


def read_beats(path: Path) -> tuple[SourceCode, ...]:
    """Give the beat symbols and rhythms that an annotation file holds, each once, in the order of their first time.

    Raises
    ------
    FormatError
        If the file is empty, a pointer, or can't be read as WFDB annotations.
    """
    annotation = _annotation(path)
    codes: dict[str, None] = {}
    for symbol, note in zip(annotation.symbol, annotation.aux_note, strict=True):
        rhythm = note.strip("\0 ")
        if symbol in BEATS:
            codes[symbol] = None
        elif symbol == "+" and rhythm.startswith("("):
            codes[rhythm[:60]] = None
    return tuple(SourceCode("aami", code) for code in codes)


def _annotation(path: Path):  # type: ignore[no-untyped-def]  # wfdb has no types
    import wfdb  # loads slowly

    refuse_short(path, f"annotation file {path.name}", len(_END_MARK))
    data = path.read_bytes()
    refuse_pointer(data, f"annotation file {path.name}")
    if not data.endswith(_END_MARK):
        raise FormatError(f"annotation file {path.name} is cut off: its end mark is missing; fetch it again")
    try:
        return wfdb.rdann(str(path.with_suffix("")), path.suffix[1:])
    except Exception as error:  # whatever the package trips over is a fault of the file
        raise FormatError(f"annotations {path.name} can't be read: {type(error).__name__}: {error}") from error


def _entries(files: Files) -> Iterator[Entry]:
    is_mitdb = "100.atr" in {path.rsplit("/", 1)[-1] for path in files.with_suffix(".atr")}

    def amend(recording: Recording, path: str) -> Recording:
        annotations = f"{path[: -len('.hea')]}.atr"
        codes = read_beats(files.root / annotations) if annotations in files.known else ()
        stem = Path(path).stem
        return replace(
            recording,
            source_codes=(*recording.source_codes, *codes),
            centre="MIT-BIH" if is_mitdb else recording.centre,
            patient_key=_SAME_PATIENT.get(stem, stem) if is_mitdb else recording.patient_key,
            report_text=_report(files.root / path) if is_mitdb else recording.report_text,
        )

    yield from wfdb_folder.records(files, amend)


def _report(header: Path) -> str:
    """Give the annotators' remarks: what follows the lines of patient and medication."""
    return " ".join(read_header(header).comments[2:])


LAYOUT = Layout(
    "mitdb",
    "MIT-BIH Arrhythmia",
    lambda files: any(f"{path[: -len('.atr')]}.hea" in files.known for path in files.with_suffix(".atr")),
    _entries,
)
