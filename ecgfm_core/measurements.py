"""Measurements that a reader sees beside the sheet. A value that can't be measured is None, never a guess."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.ndimage import uniform_filter1d
from scipy.signal import find_peaks

from ecgfm_core.leads import STANDARD_LEADS
from ecgfm_core.signal.filters import bandpass, fill_missing
from ecgfm_core.signal.quality import lost_leads

# Leads in which QRS complexes stand out most, first choice first.
_PREFERRED = ("II", "MLII", "V5", "V2", "I", *STANDARD_LEADS)
_LEADS_USED = 3
_REFRACTORY_S = 0.24
_QRS_WIDTH_S = 0.12
_THRESHOLD = 0.25
_BEATS_MIN = 3
_RATE_RANGE_BPM = (20.0, 300.0)


def measure(waveform_mv: np.ndarray, sampling_rate_hz: float, lead_names: Sequence[str]) -> dict[str, Any]:
    """Measure the heart rate.

    Parameters
    ----------
    waveform_mv : float32 ``[lead, sample]``, any unit, NaN where missing

    Returns
    -------
    A dict for JSON: ``heart_rate_bpm`` (of the median RR interval), ``heart_rate_lead`` (leads it was measured in);
    ``pr_ms``, ``qrs_ms``, ``qt_ms``, ``qtc_ms``, ``axis_deg``. None stands for not measurable.
    """
    result: dict[str, Any] = dict.fromkeys(
        ("heart_rate_bpm", "heart_rate_lead", "pr_ms", "qrs_ms", "qt_ms", "qtc_ms", "axis_deg")
    )
    used = _usable(waveform_mv, sampling_rate_hz, lead_names)
    peaks = r_peaks(waveform_mv[[lead_names.index(name) for name in used]], sampling_rate_hz)
    if len(peaks) < _BEATS_MIN:
        return result
    rate = 60 * sampling_rate_hz / float(np.median(np.diff(peaks)))
    if _RATE_RANGE_BPM[0] <= rate <= _RATE_RANGE_BPM[1]:
        result.update(heart_rate_bpm=round(rate, 1), heart_rate_lead=", ".join(used))
    return result


def _usable(waveform_mv: np.ndarray, sampling_rate_hz: float, lead_names: Sequence[str]) -> list[str]:
    """Give up to three leads that are neither flat nor missing, those in which complexes stand out most first."""
    bad = lost_leads(waveform_mv, sampling_rate_hz, lead_names)
    order = dict.fromkeys([*(name for name in _PREFERRED if name in lead_names), *lead_names])
    return [name for name in order if name not in bad][:_LEADS_USED]


def r_peaks(waveform_mv: np.ndarray, sampling_rate_hz: float) -> np.ndarray:
    """Find QRS complexes by the energy of the slope in all given leads together.

    After Pan and Tompkins, 1985 (doi:10.1109/TBME.1985.325532), with a threshold from the whole recording.

    Parameters
    ----------
    waveform_mv : float ``[lead, sample]``, NaN where missing

    Returns
    -------
    int64 sample numbers, in order, one a complex, within a few tens of milliseconds of its R peak.
    """
    if len(waveform_mv) == 0 or waveform_mv.shape[1] < 2 * sampling_rate_hz:
        return np.empty(0, dtype=np.int64)
    slope = np.gradient(bandpass(fill_missing(waveform_mv), sampling_rate_hz, 5, 20).astype(np.float64), axis=1)
    width = max(round(_QRS_WIDTH_S * sampling_rate_hz), 1)
    energies = np.sqrt(np.maximum(uniform_filter1d(slope**2, width, axis=1), 0))
    typical = _typical_peak(energies, sampling_rate_hz)
    moving = typical > 1e-9
    if not moving.any():
        return np.empty(0, dtype=np.int64)
    energy = np.mean(energies[moving] / typical[moving, None], axis=0)
    distance = max(round(_REFRACTORY_S * sampling_rate_hz), 1)
    peaks, _ = find_peaks(energy, height=_THRESHOLD, distance=distance)
    kept = peaks[energy[peaks] > 0.5 * float(np.quantile(energy[peaks], 0.75))] if peaks.size else peaks
    return kept.astype(np.int64)


def _typical_peak(energies: np.ndarray, sampling_rate_hz: float) -> np.ndarray:
    """Give each lead's median over windows of 2 s of the highest energy, which one artefact doesn't move."""
    width = round(2 * sampling_rate_hz)
    windows = energies[:, : energies.shape[1] // width * width].reshape(len(energies), -1, width)
    return np.asarray(np.median(windows.max(axis=2), axis=1))
