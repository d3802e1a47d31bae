"""Any WFDB record as a recording: plain files by our own reader, every other kind by the `wfdb` package.

Signals that are no ECG (pressures, pleth, respiration) are left out with a remark. Where a header states no gain, or
a unit that is no voltage, the recording is not calibrated.
"""

import functools
import re
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np

from ecgfm_core.errors import FormatError
from ecgfm_core.formats import plain
from ecgfm_core.formats.comments import read_comments
from ecgfm_core.formats.files import refuse_short, size_of
from ecgfm_core.formats.header import Header, SignalLine, read_header
from ecgfm_core.leads import canonical_name, is_ecg_name
from ecgfm_core.recording import AMPLITUDE_MV_MAX, VALUES_MAX, Recording

_MV_PER_UNIT = {
    "mv": 1.0,
    "uv": 1e-3,
    "µv": 1e-3,
    "μv": 1e-3,
    "nv": 1e-6,
    "v": 1e3,
    "millivolt": 1.0,
    "microvolt": 1e-3,
}
_NO_ECG = {"abp", "art", "bp", "co2", "cvp", "eeg", "emg", "eog", "gsr", "icg", "icp", "lap", "marker", "nbp", "pap"}
_NO_ECG |= {"pleth", "ppg", "rap", "resp", "respiration", "scg", "spo2", "st", "temp"}
_GEORGIA_FILE = re.compile(r"E\d{5}\.mat")
# Below this range in every lead there is no ECG but a wrong gain; lines that are wholly flat are another matter.
_RANGE_MV_MIN = 0.005


@dataclass
class _Signals:
    """Signals of one rate before they are judged: float32 ``[signal, sample]`` in their own units."""

    lines: list[SignalLine]
    values: np.ndarray
    sampling_rate_hz: float
    remarks: list[str]


def read(path: Path, name: str) -> Recording:
    """Read the record whose header lies at `path`; raises FormatError or RecordingError with the true reason."""
    try:
        header = read_header(path)
        if header.signals and all(_is_first_georgia(line) for line in header.signals):
            raise FormatError("gain 4880/mV of the first Georgia release, 4.88 times too high; fetch the corrected one")
        signals = _plain(header, path.parent) if plain.can_read(header) else _by_wfdb(header, path)
        return _recording(header, signals, name)
    except FormatError as error:
        raise FormatError(f"{name}: {error}") from error


def _is_first_georgia(line: SignalLine) -> bool:
    """Tell the first release of the Georgia set, whose samples are microvolts under a gain of 4880/mV."""
    return line.gain == 4880 and _GEORGIA_FILE.fullmatch(line.file) is not None


def _plain(header: Header, folder: Path) -> _Signals:
    chosen, remarks = _choose(header.signals)
    values, wrong = plain.read_signals(header, folder, chosen)
    lines = [header.signals[index] for index in chosen]
    if wrong:
        named = ", ".join(header.signals[index].description for index in wrong)
        remarks.append(f"samples of {named} don't add up to the header's checksum; the file may be damaged")
    return _Signals(lines, values, header.sampling_rate_hz, remarks)


def _choose(lines: Sequence[SignalLine]) -> tuple[list[int], list[str]]:
    """Give the indices of the ECG signals, and a remark that names the others."""
    chosen = [index for index, line in enumerate(lines) if _is_ecg(line.description, line.unit)]
    others = [f"{line.description} ({line.unit})" for index, line in enumerate(lines) if index not in chosen]
    if not chosen:
        raise FormatError(f"none of its signals is an ECG: {', '.join(others)}")
    return chosen, [f"left out, no ECG: {', '.join(others)}"] if others else []


@functools.lru_cache(1024)
def _is_ecg(description: str, unit: str) -> bool:
    words = description.lower().replace("_", " ").split()
    if words and words[0] in _NO_ECG:
        return False
    return unit.lower() in _MV_PER_UNIT or is_ecg_name(description)


def _recording(header: Header, signals: _Signals, name: str) -> Recording:
    facts, remarks = read_comments(header.comments), signals.remarks
    calibrated = all(line.calibrated and line.unit.lower() in _MV_PER_UNIT for line in signals.lines)
    names, values = _names(signals.lines), signals.values
    if calibrated:
        factors = [_MV_PER_UNIT[line.unit.lower()] for line in signals.lines]
        if set(factors) != {1.0}:
            values = values * np.array(factors, dtype=np.float32)[:, None]
        names, values = _believable(names, values, remarks)
    else:
        reasons = {f"unit {line.unit}" if line.calibrated else "no gain stated" for line in signals.lines}
        remarks.append(f"not calibrated, millivolt unknown: {', '.join(sorted(reasons))}")
    return Recording(
        name=name,
        lead_names=tuple(names),
        waveform_mv=values,
        sampling_rate_hz=signals.sampling_rate_hz,
        calibrated=calibrated,
        age_years=facts.age_years,
        sex=facts.sex,
        acquired_at=header.acquired_at,
        centre=facts.centre,
        patient_key=facts.patient_key,
        report_text="\n".join(facts.report),
        source_codes=tuple(facts.source_codes),
        remarks=tuple(facts.remarks + remarks),
    )


def _names(lines: Iterable[SignalLine]) -> list[str]:
    """Give canonical names; one that comes again gets its number."""
    names: list[str] = []
    for number, line in enumerate(lines, start=1):
        name = first = canonical_name(line.description)[:36] or f"signal {number}"
        again = 2
        while name in names:
            name, again = f"{first} {again}", again + 1
        names.append(name)
    return names


def _believable(names: list[str], values: np.ndarray, remarks: list[str]) -> tuple[list[str], np.ndarray]:
    """Leave out leads that no electrode can give; refuse a record whose every lead is too small to be one."""
    low, high = np.fmin.reduce(values, axis=1), np.fmax.reduce(values, axis=1)
    ranges, peaks = high - low, np.maximum(-low, high)
    if 0 < np.nanmax(ranges, initial=0) < _RANGE_MV_MIN:
        raise FormatError(
            f"no lead moves by more than {1000 * np.nanmax(ranges):.2g} uV, at least {1000 * _RANGE_MV_MIN:g} uV are "
            "needed; the gain in the header is too high"
        )
    wild = peaks > AMPLITUDE_MV_MAX
    if not wild.any() or wild.all():
        return names, values
    for row in np.flatnonzero(wild):
        remarks.append(
            f"lead {names[row]} left out: it reaches {peaks[row]:,.0f} mV, {AMPLITUDE_MV_MAX:g} mV is the most"
        )
    return [name for name, bad in zip(names, wild, strict=True) if not bad], values[~wild]


def _by_wfdb(header: Header, path: Path) -> _Signals:
    """Read compressed, skewed, segmented and mixed-rate records with the package, after its files were checked."""
    parts = _segment_headers(header, path)
    for part in parts:
        _check_files(part, path.parent)
    record = _rdrecord(path)
    lines = _record_lines(record, parts)
    chosen, remarks = _choose(lines)
    per_frame = max(lines[index].per_frame for index in chosen)
    slower = [index for index in chosen if lines[index].per_frame != per_frame]
    if slower:
        remarks.append(f"left out, slower than the others: {', '.join(lines[index].description for index in slower)}")
    kept = [index for index in chosen if index not in slower]
    values = np.stack([np.asarray(record.e_p_signal[index], dtype=np.float32) for index in kept])
    return _Signals([lines[index] for index in kept], values, header.sampling_rate_hz * per_frame, remarks)


def _segment_headers(header: Header, path: Path) -> list[Header]:
    """Give the headers that describe samples: the record's own, or those of its segments."""
    if not header.segments:
        return [header]
    if sum(count for _, count in header.segments) * header.signal_count > VALUES_MAX:
        raise FormatError(f"segments of more than {VALUES_MAX:,} values in all; that is more than is allowed")
    parts = []
    for name in dict.fromkeys(name for name, _ in header.segments if name != "~"):
        part = read_header(path.with_name(f"{name}.hea")) if _exists(path, name) else None
        if part is None:
            raise FormatError(f"segment {name}: its header {name}.hea is missing")
        if part.segments:
            raise FormatError(f"segment {name}: has segments itself; one level is allowed")
        parts.append(part)
    return parts


def _exists(path: Path, segment: str) -> bool:
    return path.with_name(f"{segment}.hea").exists()


def _check_files(header: Header, folder: Path) -> None:
    for file, group in groupby(header.signals, key=lambda line: line.file):
        lines, what = list(group), f"signal file {file}"
        if file == "~" or lines[0].format == "0":
            continue
        needed = plain.bytes_needed(lines, header.sample_count or 1)
        refuse_short(folder / file, what, needed or 1)
        if needed is None and size_of(folder / file, what) > 4 * VALUES_MAX:
            raise FormatError(f"{what} is larger than any allowed recording")
    # The package reads as many samples more as the largest skew says.
    count = (header.sample_count or 0) + max((line.skew for line in header.signals), default=0)
    values = count * sum(line.per_frame for line in header.signals)
    if values > VALUES_MAX:
        raise FormatError(f"{values:,} values in all; at most {VALUES_MAX:,} are allowed")


def _rdrecord(path: Path):  # type: ignore[no-untyped-def]  # wfdb has no types
    import wfdb  # loads slowly, and few records need it

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return wfdb.rdrecord(str(path.with_suffix("")), smooth_frames=False, m2s=True)
    except Exception as error:  # whatever the package trips over is a fault of the record
        raise FormatError(f"the wfdb package can't read it: {type(error).__name__}: {error}") from error


def _record_lines(record, parts: Sequence[Header]) -> list[SignalLine]:  # type: ignore[no-untyped-def]
    """Describe the signals that the package gave, with what our own parser knows of their gain."""
    known = {line.description: line for part in parts for line in part.signals}
    lines = []
    for name, unit, per_frame in zip(record.sig_name, record.units, record.samps_per_frame, strict=True):
        line = known.get(name or "")
        calibrated = line.calibrated if line else True
        lines.append(SignalLine("", "", per_frame, 0, 0, 1.0, 0, unit or "mV", calibrated, None, name or ""))
    return lines
