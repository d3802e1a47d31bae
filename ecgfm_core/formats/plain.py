"""Plain WFDB signal files by numpy: many times the rate of `wfdb.rdrecord`, with the same values."""

from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path

import numpy as np

from ecgfm_core.errors import FormatError
from ecgfm_core.formats.files import refuse_short
from ecgfm_core.formats.header import Header, SignalLine


def _format_80(data: np.ndarray) -> np.ndarray:
    return data.view(np.int8) ^ np.int8(-128)


def _format_160(data: np.ndarray) -> np.ndarray:
    return data.view("<i2") ^ np.int16(-32768)


def _format_212(data: np.ndarray) -> np.ndarray:
    """Two 12-bit samples in three bytes: low byte, both high nibbles, low byte."""
    padded = data if data.size % 3 == 0 else np.concatenate([data, np.zeros(3 - data.size % 3, np.uint8)])
    low, nibbles, high = (padded[start::3].astype(np.int16) for start in range(3))
    samples = np.empty((low.size, 2), dtype=np.int16)
    # Shifted to the top of 16 bits and back, the twelfth bit becomes the sign.
    samples[:, 0] = ((low | (nibbles << 8)) << 4) >> 4
    samples[:, 1] = ((high | ((nibbles >> 4) << 8)) << 4) >> 4
    return samples.ravel()


# format -> half bytes a sample, bytes -> integers, the integer that stands for a missing sample
_DECODERS: dict[str, tuple[int, Callable[[np.ndarray], np.ndarray], int]] = {
    "16": (4, lambda data: data.view("<i2"), -32768),
    "61": (4, lambda data: data.view(">i2"), -32768),
    "160": (4, _format_160, -32768),
    "80": (2, _format_80, -128),
    "212": (3, _format_212, -2048),
    "32": (8, lambda data: data.view("<i4"), -(2**31)),
}


def can_read(header: Header) -> bool:
    """Tell whether every signal is of a plain format, at one rate, without skew, and each file is of one kind."""
    if not header.signals or any(
        signal.format not in _DECODERS or signal.per_frame != 1 or signal.skew for signal in header.signals
    ):
        return False
    files = [(signal.file, signal.format, signal.offset) for signal in header.signals]
    return len({file for file, _, _ in files}) == len(list(groupby(files)))


def bytes_needed(signals: Sequence[SignalLine], sample_count: int) -> int | None:
    """Say how long a signal file must be; None where its format doesn't tell (compressed ones)."""
    half_bytes = {"8": 2, "24": 6} | {kind: decoder[0] for kind, decoder in _DECODERS.items()}
    if signals[0].format not in half_bytes:
        return None
    frame = sum(signal.per_frame for signal in signals)
    return signals[0].offset + (frame * sample_count * half_bytes[signals[0].format] + 1) // 2


def read_signals(header: Header, folder: Path, wanted: Sequence[int]) -> tuple[np.ndarray, list[int]]:
    """Read the wanted signals, given in the header's order.

    Returns
    -------
    float32 ``[signal, sample]`` in the signals' own units, NaN where missing; the indices in `wanted` whose samples
    don't add up to the header's checksum.

    Raises
    ------
    FormatError
        If a file is missing, is a pointer, or is shorter than the header says.
    """
    parts: list[np.ndarray] = []
    wrong: list[int] = []
    for file, group in groupby(enumerate(header.signals), key=lambda pair: pair[1].file):
        indices, signals = zip(*group, strict=True)
        kept = [position for position, index in enumerate(indices) if index in wanted]
        if not kept:
            continue
        steps = np.ascontiguousarray(_read_file(folder / file, signals, header.sample_count).T)
        if len(kept) < len(indices):
            steps, signals = steps[kept], tuple(signals[position] for position in kept)
        # A checksum is 16 bits wide, so that 32 may overflow.
        sums = steps.sum(axis=1, dtype=np.int32 if steps.dtype.itemsize <= 2 else np.int64).tolist()
        wrong += [
            indices[position]
            for position, signal, total in zip(kept, signals, sums, strict=True)
            if signal.checksum is not None and (total - signal.checksum) % 65536
        ]
        parts.append(_scale(steps, signals))
    if len({part.shape[1] for part in parts}) != 1:
        raise FormatError("signal files of different length and no sample count in the header; state it there")
    return parts[0] if len(parts) == 1 else np.concatenate(parts), wrong


def _read_file(path: Path, signals: Sequence[SignalLine], sample_count: int | None) -> np.ndarray:
    """Give the integers ``[sample, signal]`` of one file."""
    half_bytes, decode, _ = _DECODERS[signals[0].format]
    what, offset, count = f"signal file {path.name}", signals[0].offset, len(signals)
    size = refuse_short(path, what, bytes_needed(signals, sample_count or 1) or 1)
    if sample_count is None:
        sample_count = (size - offset) * 2 // (half_bytes * count)
    needed = (sample_count * count * half_bytes + 1) // 2
    data = np.fromfile(path, dtype=np.uint8, count=needed, offset=offset)
    return decode(data)[: sample_count * count].reshape(sample_count, count)


def _scale(steps: np.ndarray, signals: Sequence[SignalLine]) -> np.ndarray:
    """Turn integers ``[signal, sample]`` into float32 in the signals' units, NaN where missing."""
    exact = np.dtype(np.float32 if steps.dtype.itemsize <= 2 else np.float64)
    values = steps.astype(exact)
    baselines = [signal.baseline for signal in signals]
    if any(baselines):
        np.subtract(values, np.array(baselines, dtype=exact)[:, None], out=values)
    np.divide(values, np.array([signal.gain for signal in signals], dtype=exact)[:, None], out=values)
    values = values.astype(np.float32, copy=False)
    missing = _DECODERS[signals[0].format][2]
    if steps.min() == missing:
        values[steps == missing] = np.nan
    return values
