"""Near-duplicates: the same heart beats under another gain, offset, unit, rate or file.

N recording, V value of an outline, L lead, T time sample, K block.
"""

from collections.abc import Sequence

import numpy as np

from ecgfm_core.leads import derive

_LEADS = ("I", "II", "V2", "V5")
_BLOCKS_PER_S = 12.5
_SECONDS = 10.0
_STEPS = 24  # of int8, a standard deviation
_ALIKE = 0.95  # cosine of two outlines
_CHUNK = 1024
OUTLINE_VALUES = len(_LEADS) * round(_BLOCKS_PER_S * _SECONDS - 1)


def describe(lead_names: Sequence[str], waveform_mv: np.ndarray, sampling_rate_hz: float) -> np.ndarray:
    """Give a recording's outline: int8 `[OUTLINE_VALUES]`, the same under any gain, offset and sampling rate.

    The first 10 s of leads I, II, V2 and V5 are averaged over 80 ms; the steps between these means, which a drifting
    baseline hardly moves, are divided by their standard deviation over all leads. A lead that is not there, and what
    is beyond the recording's end, is 0.
    """
    leads_LT = np.nan_to_num(derive(lead_names, waveform_mv[:, : round(_SECONDS * sampling_rate_hz)], _LEADS))
    places = np.arange(round(_BLOCKS_PER_S * _SECONDS) + 1) * (sampling_rate_hz / _BLOCKS_PER_S)
    edges = np.unique(np.minimum(np.rint(places).astype(np.int64), leads_LT.shape[1]))
    means_LK = np.add.reduceat(leads_LT, edges[:-1], axis=1) / np.diff(edges)
    steps_LK = np.zeros((len(_LEADS), OUTLINE_VALUES // len(_LEADS)))
    found = np.diff(means_LK, axis=1)
    steps_LK[:, : found.shape[1]] = found
    spread = steps_LK.std()
    return np.rint(steps_LK.ravel() / (spread or 1.0) * _STEPS).clip(-127, 127).astype(np.int8)


def near_duplicates(outlines_NV: np.ndarray) -> list[tuple[int, int]]:
    """Give the pairs of rows whose outlines have a cosine of 0.95 or more; an empty outline is like nothing.

    Every pair is compared, as products of matrices: a second for 20,000 recordings.
    """
    unit_NV = outlines_NV.astype(np.float32)
    length_N = np.linalg.norm(unit_NV, axis=1, keepdims=True)
    unit_NV /= np.where(length_N > 0, length_N, 1)
    pairs: list[tuple[int, int]] = []
    for first in range(0, len(unit_NV), _CHUNK):
        alike = unit_NV[first : first + _CHUNK] @ unit_NV[first:].T >= _ALIKE
        rows, columns = np.nonzero(np.triu(alike, 1))
        pairs += [(first + int(row), first + int(column)) for row, column in zip(rows, columns, strict=True)]
    return pairs
