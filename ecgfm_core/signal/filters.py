"""Zero-phase filters, which leave every wave where it is in time."""

import numpy as np
from scipy.signal import butter, sosfiltfilt

_ORDER = 2


def fill_missing(waveform_mv: np.ndarray) -> np.ndarray:
    """Bridge missing samples by straight lines, a lead at a time; a lead with none at all becomes zero.

    Returns
    -------
    float ``[lead, sample]`` without NaN; the array itself where nothing is missing.
    """
    missing = np.isnan(waveform_mv)
    if not missing.any():
        return waveform_mv
    filled, times = waveform_mv.copy(), np.arange(waveform_mv.shape[1])
    for row, gaps in zip(filled, missing, strict=True):
        if gaps.all():
            row[:] = 0
        elif gaps.any():
            row[gaps] = np.interp(times[gaps], times[~gaps], row[~gaps])
    return filled


def bandpass(waveform_mv: np.ndarray, sampling_rate_hz: float, low_hz: float, high_hz: float) -> np.ndarray:
    """Keep what lies between two frequencies (Butterworth, forward and backward).

    Parameters
    ----------
    waveform_mv : float ``[lead, sample]``; missing samples stay missing
    low_hz, high_hz : edges, above 0 and below half the sampling rate; an upper edge beyond 45% of it is lowered there

    Returns
    -------
    float32 ``[lead, sample]``
    """
    edges = (low_hz, min(high_hz, 0.45 * sampling_rate_hz))
    sections = butter(_ORDER, edges, btype="bandpass", fs=sampling_rate_hz, output="sos")
    padding = min(3 * (2 * _ORDER + 1), waveform_mv.shape[1] - 1)
    filtered = sosfiltfilt(sections, fill_missing(waveform_mv), axis=1, padlen=padding).astype(np.float32)
    filtered[np.isnan(waveform_mv)] = np.nan
    return filtered
