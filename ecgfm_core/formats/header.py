"""WFDB headers: every number is checked before anything is done with it.

The form is that of header(5) of the WFDB Applications Guide: a record line, a line a signal or segment, comments.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from ecgfm_core.errors import FormatError
from ecgfm_core.formats.files import read_text
from ecgfm_core.recording import SAMPLING_RATE_HZ_RANGE, VALUES_MAX

DEFAULT_GAIN = 200.0
DEFAULT_RATE_HZ = 250.0
SIGNALS_MAX = 256
SEGMENTS_MAX = 10_000
FORMATS = ("8", "16", "24", "32", "61", "80", "160", "212", "310", "311", "508", "516", "524")

_NUMBER = r"[-+]?(?:\d{1,15}\.?\d{0,15}|\.\d{1,15})(?:[eE][-+]?\d{1,3})?"
_NAME = re.compile(r"[-\w]{1,200}")
_FILE = re.compile(r"[^/\\\0]{1,200}")
_RECORD = re.compile(
    rf"(?P<name>[^\s/]+)(?:/(?P<segments>\d{{1,9}}))?\s+(?P<signals>\d{{1,9}})"
    rf"(?:\s+(?P<rate>{_NUMBER})(?:/{_NUMBER}(?:\({_NUMBER}\))?)?(?:\s+(?P<samples>\d{{1,18}})(?:\s+(?P<rest>.*))?)?)?\s*"
)
_SIGNAL = re.compile(
    r"(?P<file>\S+)\s+(?P<format>\d{1,4})(?:x(?P<per_frame>\d{1,6}))?(?::(?P<skew>\d{1,9}))?(?:\+(?P<offset>\d{1,12}))?"
    rf"(?:\s+(?P<gain>{_NUMBER})(?:\((?P<baseline>[-+]?\d{{1,12}})\))?(?:/(?P<unit>\S+))?"
    r"(?:\s+(?P<resolution>\d{1,4})(?:\s+(?P<zero>[-+]?\d{1,12})(?:\s+(?P<initial>[-+]?\d{1,12})"
    r"(?:\s+(?P<checksum>[-+]?\d{1,12})(?:\s+(?P<block>\d{1,9})(?:\s+(?P<description>.*))?)?)?)?)?)?)?\s*"
)
_SEGMENT = re.compile(r"(?P<name>\S+)\s+(?P<samples>\d{1,18})\s*")


class SignalLine(NamedTuple):
    """One signal as its header describes it; `gain` is steps a `unit`, `calibrated` False where none is stated."""

    file: str
    format: str
    per_frame: int
    skew: int
    offset: int
    gain: float
    baseline: int
    unit: str
    calibrated: bool
    checksum: int | None
    description: str


@dataclass(frozen=True, slots=True)
class Header:
    """A checked header; `sample_count` is None where it is not stated; a record of segments has no signal lines."""

    name: str
    signal_count: int
    sampling_rate_hz: float
    sample_count: int | None
    acquired_at: datetime | None
    signals: tuple[SignalLine, ...]
    segments: tuple[tuple[str, int], ...]
    comments: tuple[str, ...]


def read_header(path: Path) -> Header:
    """Read and check the header at `path`.

    Raises
    ------
    FormatError
        If it is missing, not text, or says what can't be; nothing is allocated by its numbers.
    """
    return parse_header(read_text(path, f"header {path.name}"))


def parse_header(text: str) -> Header:
    """Parse the text of a header, see `read_header`."""
    lines = [line.strip() for line in text.splitlines()]
    body = [line for line in lines if line and not line.startswith("#")]
    comments = tuple(line[1:].strip() for line in lines if line.startswith("#"))
    if not body:
        raise FormatError("header: only comments; a record line is needed")
    match = _RECORD.fullmatch(body[0])
    if not match:
        raise FormatError(f"header: record line {_quote(body[0])} doesn't parse; `name signals rate samples` is needed")
    if not _NAME.fullmatch(match["name"]):
        raise FormatError(
            f"header: record name {_quote(match['name'])} in the record line; only letters, digits, _ and - are allowed"
        )
    signal_count, sample_count = int(match["signals"]), int(match["samples"]) if match["samples"] else None
    rate = float(match["rate"]) if match["rate"] else DEFAULT_RATE_HZ
    _check_size(signal_count, rate, sample_count)
    is_segmented = match["segments"] is not None
    wanted = int(match["segments"]) if is_segmented else signal_count
    if len(body) - 1 < wanted or wanted > SEGMENTS_MAX:
        raise FormatError(f"header: {len(body) - 1} lines for {wanted:,} signals or segments; each needs one")
    rows = body[1 : 1 + wanted]
    return Header(
        match["name"],
        signal_count,
        rate,
        sample_count or None,
        _acquired_at(match["rest"]),
        () if is_segmented else tuple(_signal(row, number) for number, row in enumerate(rows, start=1)),
        tuple(_segment(row) for row in rows) if is_segmented else (),
        comments,
    )


def _check_size(signal_count: int, rate: float, sample_count: int | None) -> None:
    if not 1 <= signal_count <= SIGNALS_MAX:
        raise FormatError(f"header: {signal_count:,} signals; 1 to {SIGNALS_MAX} are allowed")
    if not 0 < rate <= SAMPLING_RATE_HZ_RANGE[1]:
        raise FormatError(f"header: {rate:g} frames a second; up to {SAMPLING_RATE_HZ_RANGE[1]:g} are allowed")
    if sample_count is not None and sample_count * signal_count > VALUES_MAX:
        raise FormatError(
            f"header: {sample_count:,} samples of {signal_count} signals; at most {VALUES_MAX:,} values are allowed"
        )


def _signal(line: str, number: int) -> SignalLine:
    match = _SIGNAL.fullmatch(line)
    if not match:
        raise FormatError(f"header: signal line {number} {_quote(line)} doesn't parse; see header(5) of WFDB")
    file, kind, per_frame, skew, offset, gain, baseline, unit, _, zero, _, checksum, _, description = match.groups()
    if not _FILE.fullmatch(file) or file in (".", ".."):
        raise FormatError(f"header: signal file {_quote(file)}; a name in the header's own folder is needed")
    if kind not in FORMATS:
        raise FormatError(f"header: signal format {kind}; known are {', '.join(FORMATS)}")
    steps = float(gain) if gain else 0.0
    if not math.isfinite(steps) or steps < 0:
        raise FormatError(f"header: gain {gain} of signal {number}; a positive number is needed")
    frame_samples = int(per_frame) if per_frame else 1
    if not 1 <= frame_samples <= 10_000:
        raise FormatError(f"header: {frame_samples:,} samples a frame of signal {number}; 1 to 10,000 are allowed")
    return SignalLine(
        file,
        kind,
        frame_samples,
        int(skew) if skew else 0,
        int(offset) if offset else 0,
        steps or DEFAULT_GAIN,
        int(baseline) if baseline else int(zero) if zero else 0,
        unit or "mV",
        steps > 0,
        int(checksum) if checksum else None,
        description.strip() if description else "",
    )


def _segment(line: str) -> tuple[str, int]:
    match = _SEGMENT.fullmatch(line)
    if not match or not (match["name"] == "~" or _NAME.fullmatch(match["name"])):
        raise FormatError(f"header: segment line {_quote(line)} doesn't parse; `name samples` is needed")
    return match["name"], int(match["samples"])


def _acquired_at(rest: str | None) -> datetime | None:
    """Read `time date`; the challenges' `date time` is that of a conversion and says nothing of the patient."""
    parts: Sequence[str] = (rest or "").split()
    if len(parts) != 2:
        return None
    for form in ("%H:%M:%S %d/%m/%Y", "%H:%M:%S.%f %d/%m/%Y"):
        try:
            return datetime.strptime(" ".join(parts), form).replace(tzinfo=UTC)
        except ValueError:
            continue
    return None


def _quote(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")
