"""What disturbs each second of each lead, in millivolts: the figures that the quality gate and its findings rest on.

Everything is measured on cells of 10 ms: their means hold baseline and heart beats, what is left within them muscle and
other fast noise. A recording is taken in blocks of a minute, so that one of a day needs no more memory than that.

Axes: L lead, T sample, S second, W sample of a second, K cell of 10 ms.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.fft import irfft, rfft, rfftfreq

from ecgfm_core.leads import STANDARD_LEADS, as_standard
from ecgfm_core.signal.filters import fill_missing

# The leads that are measured against electrodes of their own; III, aVR, aVL and aVF follow from the first two.
INDEPENDENT = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")
MAINS_HZ = (50.0, 60.0)

_CELL_S = 0.01
_BASELINE_HZ = 0.7
_BLOCK_S = 60
_MAINS_BESIDE_HZ = 5.0
# Added to each lead's power, mV^2, so that a lead that doesn't move has an inverse.
_POWER_FLOOR_MV2 = 1e-5


@dataclass(frozen=True)
class Measures:
    """Figures a second ``[lead, second]`` (NaN where they can't be had), and a lead.

    Attributes
    ----------
    range_mv : highest less lowest sample
    missing_share : of the samples, 0 to 1
    wander_mv : swing of the baseline (below 0.7 Hz)
    unexplained_mv : swing, 0.7 to 45 Hz, that a linear combination of the other independent leads leaves; needs all
        eight
    fast_mv : root mean square above about 50 Hz in a cell that three quarters of the cells are quieter than
    muscle_mv : the same in the median cell, in which there is no heart beat
    mains_mv : amplitude at 50 or 60 Hz, whichever is higher, over what lies beside it
    power_mv2 : ``[lead, lead]`` mean product of each two leads, 0.7 to 45 Hz, of the whole recording
    """

    range_mv: np.ndarray
    missing_share: np.ndarray
    wander_mv: np.ndarray
    unexplained_mv: np.ndarray
    fast_mv: np.ndarray
    muscle_mv: np.ndarray
    mains_mv: np.ndarray
    power_mv2: np.ndarray


def measure(waveform_mv: np.ndarray, sampling_rate_hz: float, lead_names: Sequence[str]) -> Measures:
    """Measure what disturbs each second of each lead.

    Parameters
    ----------
    waveform_mv : float32 ``[lead, sample]``, millivolt, NaN where missing
    lead_names : one a row; names decide what can be explained by what

    Returns
    -------
    Measures of all whole seconds; a recording shorter than one second counts as one.
    """
    names = as_standard(lead_names)
    rows = [names.index(name) for name in INDEPENDENT] if set(INDEPENDENT) <= set(names) else []
    blocks = [_block(block_LSW, sampling_rate_hz, rows) for block_LSW in _blocks(waveform_mv, sampling_rate_hz)]
    if len(blocks) == 1:
        return blocks[0]
    seconds = [one.range_mv.shape[1] for one in blocks]
    joined = {
        name: np.concatenate([getattr(one, name) for one in blocks], axis=1)
        for name in Measures.__dataclass_fields__
        if name != "power_mv2"
    }
    return Measures(**joined, power_mv2=np.average([one.power_mv2 for one in blocks], axis=0, weights=seconds))


def ranges(waveform_mv: np.ndarray, sampling_rate_hz: float) -> tuple[np.ndarray, np.ndarray]:
    """Give highest less lowest sample, and the share of missing ones, of each second: both ``[lead, second]``."""
    blocks = [_ranges(block_LSW) for block_LSW in _blocks(waveform_mv, sampling_rate_hz)]
    return np.concatenate([one for one, _ in blocks], axis=1), np.concatenate([one for _, one in blocks], axis=1)


def _ranges(waveform_LSW: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    highest, lowest = np.fmax.reduce(waveform_LSW, axis=2), np.fmin.reduce(waveform_LSW, axis=2)
    return np.nan_to_num(highest - lowest), np.isnan(waveform_LSW).mean(axis=2)


def _blocks(waveform_LT: np.ndarray, sampling_rate_hz: float) -> Iterator[np.ndarray]:
    """Yield blocks of a minute, cut into seconds; the last one takes what is left over."""
    width = min(max(round(sampling_rate_hz), 1), waveform_LT.shape[1])
    seconds = waveform_LT.shape[1] // width
    starts = [*range(0, max(seconds - _BLOCK_S // 2, 1), _BLOCK_S), seconds]
    for start, stop in pairwise(starts):
        block_LT = np.asarray(waveform_LT[:, start * width : stop * width], np.float32)
        yield block_LT.reshape(len(block_LT), stop - start, width)


def _block(waveform_LSW: np.ndarray, sampling_rate_hz: float, rows: Sequence[int]) -> Measures:
    leads, seconds, width = waveform_LSW.shape
    range_mv, missing = _ranges(waveform_LSW)
    if missing.any():
        waveform_LSW = fill_missing(waveform_LSW.reshape(leads, -1)).reshape(waveform_LSW.shape)
    cell = max(int(_CELL_S * sampling_rate_hz), 1)
    cells = max(width // cell, 1)
    parts = waveform_LSW[:, :, : cells * cell].reshape(leads, seconds * cells, -1)
    mean_LK = parts.mean(axis=2)
    fast_LK = parts.std(axis=2) if parts.shape[2] > 1 else np.full_like(mean_LK, np.nan)
    baseline_LK = _baseline(mean_LK, cells)
    beats_LK = mean_LK - baseline_LK
    unexplained = np.full((leads, seconds), np.nan, np.float32)
    if rows:
        unexplained[rows] = _swing(_unexplained(beats_LK[rows]), seconds)
    fast_LSK = fast_LK.reshape(leads, seconds, cells)
    return Measures(
        range_mv=range_mv,
        missing_share=missing,
        wander_mv=_swing(baseline_LK, seconds),
        unexplained_mv=unexplained,
        fast_mv=np.quantile(fast_LSK, 0.75, axis=2),
        muscle_mv=np.median(fast_LSK, axis=2),
        mains_mv=_mains(waveform_LSW, sampling_rate_hz),
        power_mv2=(beats_LK @ beats_LK.T / beats_LK.shape[1]).astype(np.float64),
    )


def _baseline(mean_LK: np.ndarray, cells: int) -> np.ndarray:
    """Keep what is slower than 0.7 Hz; each end goes on as its mirror image, so that a drift makes no step."""
    middle = np.median(mean_LK, axis=1, keepdims=True)
    mirrored = np.concatenate([mean_LK - middle, (mean_LK - middle)[:, ::-1]], axis=1)
    spectrum = rfft(mirrored, axis=1)
    spectrum[:, rfftfreq(mirrored.shape[1], 1 / cells) >= _BASELINE_HZ] = 0
    return np.asarray(irfft(spectrum, mirrored.shape[1], axis=1)[:, : mean_LK.shape[1]] + middle)


def _swing(values_LK: np.ndarray, seconds: int) -> np.ndarray:
    """Give highest less lowest of each second."""
    return np.asarray(np.ptp(values_LK.reshape(len(values_LK), seconds, -1), axis=2))


def _unexplained(beats_LK: np.ndarray) -> np.ndarray:
    """Take from each lead what a linear combination of the others explains, by the inverse of their covariance.

    The heart is nearly a dipole, so that eight leads hold little that is their own; a bad electrode's noise is. That
    leads explain each other is also what Xia et al., Computing in Cardiology 2011, 38:461, judge quality by.
    """
    power = beats_LK.astype(np.float64) @ beats_LK.T / beats_LK.shape[1]
    inverse = np.linalg.inv(power + _POWER_FLOOR_MV2 * np.eye(len(power)))
    return np.asarray((inverse @ beats_LK) / np.diag(inverse)[:, None])


def _mains(waveform_LSW: np.ndarray, sampling_rate_hz: float) -> np.ndarray:
    """Give the amplitude at 50 or 60 Hz of each second, less what lies 5 Hz beside; NaN where the rate is too low."""
    leads, seconds, width = waveform_LSW.shape
    judged = [hz for hz in MAINS_HZ if hz + _MAINS_BESIDE_HZ < 0.45 * sampling_rate_hz]
    if not judged or width < 0.9 * sampling_rate_hz:
        return np.full((leads, seconds), np.nan, np.float32)
    window = np.hanning(width)
    times = np.arange(width) / sampling_rate_hz
    hz = np.add.outer(judged, (0.0, -_MAINS_BESIDE_HZ, _MAINS_BESIDE_HZ)).ravel()
    waves = (window * np.exp(-2j * np.pi * np.outer(hz, times)) * 2 / window.sum()).T
    both = np.concatenate([waves.real, waves.imag], axis=1).astype(np.float32)
    found = waveform_LSW @ both
    power = (found[..., : len(hz)] ** 2 + found[..., len(hz) :] ** 2).reshape(leads, seconds, len(judged), 3)
    excess = power[..., 0] - power[..., 1:].mean(axis=-1)
    return np.asarray(np.sqrt(np.maximum(excess.max(axis=-1), 0)))


def standard_order(lead_names: Sequence[str]) -> dict[str, int]:
    """Give the row of each standard lead that there is."""
    names = as_standard(lead_names)
    return {name: names.index(name) for name in STANDARD_LEADS if name in names}
