"""The manifest: a JSONL file, one recording a line, that training and scoring read beside a folder of waveforms."""

import json
import math
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from ecgfm_core.errors import FormatError

SPLITS = ("train", "validate", "test")
LABEL_SOURCES = ("source", "consensus")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class ManifestEntry:
    """One recording to train on or to score.

    Attributes
    ----------
    id : the recording's number
    sha256 : names its waveform
    scale_mv : millivolt a stored step
    split : train, validate or test, decided by patient
    group : a keyed hash of the patient, or ``r<id>`` where the patient is unknown; no group lies in two splits
    labels : scheme code -> 1 present, 0 absent; a code that is not there is unknown
    abnormal : 1 abnormal, 0 normal, None unknown
    label_source : source, or consensus where readers settled it
    weight : of this recording in the loss, above 0
    text : diagnostic text; empty if there is none
    """

    id: int
    sha256: str
    lead_names: tuple[str, ...]
    sampling_rate_hz: float
    sample_count: int
    scale_mv: float = 0.001
    calibrated: bool = True
    split: str = "train"
    group: str = ""
    labels: dict[str, int] = field(default_factory=dict)
    abnormal: int | None = None
    label_source: str = "source"
    weight: float = 1.0
    text: str = ""

    def __post_init__(self) -> None:
        for problem, value, allowed in self._problems():
            raise FormatError(f"Manifest, recording {self.id}: {problem} {value!r}; {allowed}")

    def _problems(self) -> Iterable[tuple[str, object, str]]:
        if not isinstance(self.id, int) or isinstance(self.id, bool):
            yield "id", self.id, "a whole number is needed"
        if not isinstance(self.sha256, str) or not _SHA256.fullmatch(self.sha256):
            yield "sha256", self.sha256, "64 hex digits are needed"
        if not self.lead_names or not all(isinstance(name, str) for name in self.lead_names):
            yield "lead names", self.lead_names, "at least one name is needed"
        if not _is_positive(self.sampling_rate_hz):
            yield "sampling rate", self.sampling_rate_hz, "a positive number of Hz is needed"
        if not isinstance(self.sample_count, int) or self.sample_count < 1:
            yield "sample count", self.sample_count, "at least one sample is needed"
        if not _is_positive(self.scale_mv):
            yield "scale", self.scale_mv, "a positive number of mV is needed"
        if not isinstance(self.calibrated, bool):
            yield "calibrated", self.calibrated, "true or false is needed"
        if self.split not in SPLITS:
            yield "split", self.split, f"{', '.join(SPLITS)} are allowed"
        yield from self._label_problems()

    def _label_problems(self) -> Iterable[tuple[str, object, str]]:
        if not isinstance(self.labels, dict) or any(value not in (0, 1) for value in self.labels.values()):
            yield "labels", self.labels, "codes with 0 or 1 are allowed; leave an unknown one out"
        if self.abnormal not in (0, 1, None):
            yield "abnormal", self.abnormal, "0, 1 or null are allowed"
        if self.label_source not in LABEL_SOURCES:
            yield "label source", self.label_source, f"{', '.join(LABEL_SOURCES)} are allowed"
        if not _is_positive(self.weight):
            yield "weight", self.weight, "a positive number is needed"
        if not isinstance(self.text, str) or not isinstance(self.group, str):
            yield "text or group", (self.text, self.group), "text is needed"

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.sample_count / self.sampling_rate_hz


_FIELDS = tuple(one.name for one in fields(ManifestEntry))
_NEEDED = _FIELDS[:5]


def _is_positive(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value > 0


def write(path: Path, entries: Iterable[ManifestEntry]) -> int:
    """Write entries one a line, whole or not at all; returns how many. Refuses the same id twice and split groups."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    checks = _Checks()
    try:
        with partial.open("w", encoding="utf-8") as file:
            for entry in entries:
                checks.add(entry)
                file.write(json.dumps(asdict(entry), ensure_ascii=False, sort_keys=True) + "\n")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return len(checks.ids)


def read(path: Path) -> list[ManifestEntry]:
    """Read and check every line, see `stream`."""
    return list(stream(path))


def stream(path: Path) -> Iterator[ManifestEntry]:
    """Read and check line after line.

    Raises
    ------
    FormatError
        If the file can't be read, a line is not an entry, an id comes twice, or a group lies in two splits.
    """
    checks = _Checks()
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    entry = _entry(line, f"{path.name}, line {number}")
                    checks.add(entry)
                    yield entry
    except OSError as error:
        raise FormatError(f"Manifest {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise FormatError(f"Manifest {path}: not UTF-8 text ({error.reason})") from error


def _entry(line: str, where: str) -> ManifestEntry:
    try:
        values = json.loads(line)
    except ValueError as error:
        raise FormatError(f"Manifest {where}: not JSON ({error})") from error
    if not isinstance(values, dict):
        raise FormatError(f"Manifest {where}: {type(values).__name__}; an object is needed")
    unknown, missing = sorted(set(values) - set(_FIELDS)), [name for name in _NEEDED if name not in values]
    if unknown or missing:
        raise FormatError(
            f"Manifest {where}: unknown fields {unknown}, missing fields {missing}; known: {list(_FIELDS)}"
        )
    leads = values["lead_names"]
    return ManifestEntry(**{**values, "lead_names": tuple(leads) if isinstance(leads, list) else ()})


class _Checks:
    """What only several entries together can break."""

    def __init__(self) -> None:
        self.ids: set[int] = set()
        self.split_of: dict[str, str] = {}

    def add(self, entry: ManifestEntry) -> None:
        if entry.id in self.ids:
            raise FormatError(f"Manifest, recording {entry.id}: comes twice; each recording is allowed once")
        self.ids.add(entry.id)
        if entry.group and self.split_of.setdefault(entry.group, entry.split) != entry.split:
            raise FormatError(
                f"Manifest, recording {entry.id}: its group lies in the {self.split_of[entry.group]} split and in the "
                f"{entry.split} split; one patient's recordings must stay in one"
            )
