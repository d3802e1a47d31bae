"""Waveforms as stored: int16 ``[lead, sample]`` with one scale, in a file named by its sha256."""

import hashlib
import json
import math
import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ecgfm_core.errors import FormatError
from ecgfm_core.recording import Recording

MISSING = -32768
SCALE_MV = 0.001
_STEPS_MAX = 32767
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class PackedWaveform:
    """A waveform as it is stored.

    Attributes
    ----------
    sha256 : of lead names, sampling rate, scale, calibration and samples, as 64 hex digits; the same on every platform
    samples : little-endian int16 ``[lead, sample]``, `MISSING` where a sample is missing
    scale_mv : millivolt a step (the file's unit a step if not `calibrated`)
    note : why the step is not 1 uV; empty where it is
    """

    sha256: str
    lead_names: tuple[str, ...]
    sampling_rate_hz: float
    samples: np.ndarray
    scale_mv: float
    calibrated: bool
    note: str


def pack(recording: Recording) -> PackedWaveform:
    """Round a recording's waveform to int16 steps of 1 uV, or of the smallest step that its peak fits, with a note.

    The loss is at most half a step: 0.5 uV wherever no lead exceeds 32.767 mV.
    """
    waveform = recording.waveform_mv
    missing = np.isnan(waveform)
    peak = float(max(np.fmax.reduce(waveform, axis=None), -np.fmin.reduce(waveform, axis=None)))
    scale_mv, note = _scale(peak, recording.calibrated)
    steps = np.multiply(waveform, 1 / scale_mv, dtype=np.float64)
    np.rint(steps, out=steps)
    steps[missing] = MISSING
    samples = np.ascontiguousarray(steps.astype("<i2"))
    header = {
        "lead_names": list(recording.lead_names),
        "sampling_rate_hz": float(recording.sampling_rate_hz),
        "scale_mv": scale_mv,
        "calibrated": recording.calibrated,
        "sample_count": recording.sample_count,
    }
    digest = hashlib.sha256(json.dumps(header, sort_keys=True, separators=(",", ":")).encode() + b"\n")
    digest.update(samples.data)
    return PackedWaveform(
        digest.hexdigest(),
        recording.lead_names,
        float(recording.sampling_rate_hz),
        samples,
        scale_mv,
        recording.calibrated,
        note,
    )


def _scale(peak: float, calibrated: bool) -> tuple[float, str]:
    """Choose the step: 1 uV, else the smallest of 1, 2, 5 times a power of ten that `peak` fits."""
    fits = peak <= SCALE_MV * _STEPS_MAX
    if fits and (calibrated or peak == 0 or peak >= 1):
        return SCALE_MV, ""
    needed = peak / _STEPS_MAX
    power = 10.0 ** math.floor(math.log10(needed))
    step = next(factor * power for factor in (1, 2, 5, 10, 20) if factor * power >= needed)
    step = float(f"{step:.6g}")
    if not calibrated:
        return step, f"The unit is not a voltage; one step is {step:g} of it."
    return step, (
        f"The waveform reaches {peak:.1f} mV, more than 16 bits hold at 1 uV a step; "
        f"one step is {1000 * step:g} uV and the loss at most {500 * step:g} uV."
    )


def unpack(packed: PackedWaveform) -> np.ndarray:
    """Give back float32 ``[lead, sample]`` in millivolt, NaN where a sample is missing."""
    return to_millivolt(packed.samples, packed.scale_mv)


def to_millivolt(samples: np.ndarray, scale_mv: float) -> np.ndarray:
    """Turn stored int16 ``[lead, sample]`` into float32 millivolt, NaN where a sample is missing."""
    waveform = np.multiply(samples, scale_mv, dtype=np.float64).astype(np.float32)
    waveform[np.asarray(samples) == MISSING] = np.nan
    return waveform


def path_of(folder: Path, sha256: str) -> Path:
    """Say where a waveform lies under `folder`; refuses what is not a sha256."""
    if not _SHA256.fullmatch(sha256):
        raise FormatError(f"Waveform {sha256!r}: a sha256 of 64 hex digits is needed")
    return folder / sha256[:2] / f"{sha256[2:]}.i16"


def store(packed: PackedWaveform, folder: Path) -> Path:
    """Write a waveform under its sha256, once and whole: a reader sees all of the file or none."""
    path = path_of(folder, packed.sha256)
    if path.exists() and path.stat().st_size == packed.samples.nbytes:
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".writing-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(packed.samples.data)
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return path


def load(folder: Path, sha256: str, lead_count: int, sample_count: int) -> np.ndarray:
    """Map a stored waveform into memory, read-only int16 ``[lead, sample]``.

    Raises
    ------
    FormatError
        If the file is missing or is not of the size that the leads and samples need.
    """
    path = path_of(folder, sha256)
    expected = 2 * lead_count * sample_count
    try:
        size = path.stat().st_size
    except OSError as error:
        raise FormatError(
            f"Waveform {sha256}: can't be read from {folder} ({error.strerror}); import it again"
        ) from error
    if size != expected or expected <= 0:
        raise FormatError(
            f"Waveform {sha256}: {size:,} bytes, expected {expected:,} ({lead_count} leads of {sample_count:,} "
            "samples); the file is damaged, import it again"
        )
    return np.memmap(path, dtype="<i2", mode="r", shape=(lead_count, sample_count))
