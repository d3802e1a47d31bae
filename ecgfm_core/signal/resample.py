"""Change of the sampling rate by a polyphase filter."""

from fractions import Fraction

import numpy as np
from scipy.signal import resample_poly

from ecgfm_core.errors import RecordingError
from ecgfm_core.recording import SAMPLING_RATE_HZ_RANGE
from ecgfm_core.signal.filters import fill_missing

_DENOMINATOR_MAX = 10_000  # within a sample over 48 h, also for rates such as 249.89 Hz


def resample(waveform_mv: np.ndarray, from_hz: float, to_hz: float) -> np.ndarray:
    """Give the waveform at another rate, in phase, without aliases.

    Parameters
    ----------
    waveform_mv : float32 ``[lead, sample]``, NaN where missing

    Returns
    -------
    float32 ``[lead, ceil(samples * to_hz / from_hz)]``, NaN where the nearest given sample was missing; the array
    itself where both rates are the same.

    Raises
    ------
    RecordingError
        If a rate is out of bounds.
    """
    low, high = SAMPLING_RATE_HZ_RANGE
    for rate in (from_hz, to_hz):
        if not low <= rate <= high:
            raise RecordingError(f"sampling rate {rate:g} Hz; {low:g} to {high:g} Hz are allowed")
    ratio = Fraction(to_hz / from_hz).limit_denominator(_DENOMINATOR_MAX)
    if ratio == 1:
        return waveform_mv
    filled = fill_missing(waveform_mv)
    resampled = resample_poly(filled, ratio.numerator, ratio.denominator, axis=1, padtype="line").astype(np.float32)
    missing = np.isnan(waveform_mv)
    if missing.any():
        nearest = np.rint(np.arange(resampled.shape[1]) / float(ratio)).astype(np.int64)
        resampled[missing[:, np.minimum(nearest, waveform_mv.shape[1] - 1)]] = np.nan
    return resampled
