"""Native files of the CPSC 2018 challenge: a MATLAB struct ``ECG{sex, age, data}``, 12 leads, 500 Hz, mV."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from scipy.io import loadmat
from scipy.io.matlab import MatReadError

from ecgfm_core.errors import FormatError
from ecgfm_core.formats.comments import read_age, read_sex
from ecgfm_core.formats.files import refuse_pointer, size_of
from ecgfm_core.leads import STANDARD_LEADS
from ecgfm_core.recording import Recording

SAMPLING_RATE_HZ = 500.0
_BYTES_MAX = 64_000_000
_INFLATED_MAX = 256_000_000
_HEADER_BYTES, _COMPRESSED = 128, 15


def read(path: Path, name: str) -> Recording:
    """Read one file; refuses what is no MATLAB 5 file, inflates beyond bounds, or lacks a part of the struct."""
    size = size_of(path, f"{name}: file {path.name}")
    if size > _BYTES_MAX:
        raise FormatError(f"{name}: {size:,} bytes; at most {_BYTES_MAX:,} are allowed for a native CPSC file")
    data = path.read_bytes()
    refuse_pointer(data, f"{name}: file {path.name}")
    if not data.startswith(b"MATLAB 5.0 MAT-file") or size <= _HEADER_BYTES:
        raise FormatError(
            f"{name}: {path.name} ({size:,} bytes) is no MATLAB 5 file and has no WFDB header {path.stem}.hea; "
            "it is cut off or its header is missing"
        )
    _refuse_bomb(data, name)
    try:
        fields = loadmat(io.BytesIO(data), variable_names=["ECG"])["ECG"][0, 0]  # type: ignore[arg-type]
        waveform, age, sex = fields["data"], fields["age"], fields["sex"]
    except (MatReadError, KeyError, IndexError, TypeError, ValueError, OSError, zlib.error) as error:
        raise FormatError(f"{name}: no struct ECG with sex, age and data can be read ({error})") from error
    return _recording(name, waveform, age, sex)


def _recording(name: str, waveform: np.ndarray, age: np.ndarray, sex: np.ndarray) -> Recording:
    if waveform.ndim != 2 or waveform.dtype.kind not in "fiu" or waveform.shape[0] != len(STANDARD_LEADS):
        raise FormatError(
            f"{name}: data is {waveform.dtype} of shape {waveform.shape}; numbers of shape (12, samples) are needed"
        )
    remarks: list[str] = []
    return Recording(
        name,
        STANDARD_LEADS,
        np.ascontiguousarray(waveform, dtype=np.float32),
        SAMPLING_RATE_HZ,
        age_years=read_age(str(age.flat[0]) if age.size else "", remarks),
        sex=read_sex(str(sex.flat[0]) if sex.size else "", remarks),
        remarks=tuple(remarks),
    )


def _refuse_bomb(data: bytes, name: str) -> None:
    """Inflate each compressed element with a bound before the real reader may."""
    order = "<" if data[126:128] == b"IM" else ">"
    position, left = _HEADER_BYTES, _INFLATED_MAX
    while position + 8 <= len(data):
        kind, count = struct.unpack_from(f"{order}II", data, position)
        position += 8
        if kind == _COMPRESSED:
            inflate = zlib.decompressobj()
            chunk = data[position : position + count]
            try:
                while chunk and left > 0:
                    left -= len(inflate.decompress(chunk, 1 << 20))
                    chunk = inflate.unconsumed_tail
            except zlib.error as error:
                raise FormatError(f"{name}: its compressed part is damaged ({error})") from error
            if left <= 0:
                raise FormatError(f"{name}: inflates to more than {_INFLATED_MAX:,} bytes; that is no ECG")
        position += count
