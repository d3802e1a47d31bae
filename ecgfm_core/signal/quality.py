"""Whether a recording can be read: flat, missing and clipped leads. Findings only; no recording is refused for them."""

from collections.abc import Sequence
from typing import Any

import numpy as np

# A second in which a lead moves by less than this is flat; an uncalibrated lead is held against the others.
FLAT_RANGE_MV = 0.01
_FLAT_SHARE_OF_MEDIAN = 0.005
_FLAT_SECONDS_SHARE = 0.5
_MISSING_SHARE_MAX = 0.5
# So many samples at a lead's own highest or lowest value mean that the amplifier or the file cut it off.
_CLIPPED_SHARE = 0.01


def assess(
    waveform_mv: np.ndarray, sampling_rate_hz: float, lead_names: Sequence[str], calibrated: bool = True
) -> dict[str, Any]:
    """Find what keeps a recording from being read.

    Parameters
    ----------
    waveform_mv : float32 ``[lead, sample]``, millivolt (any unit if not `calibrated`), NaN where missing

    Returns
    -------
    A dict for JSON: ``flat_leads``, ``clipped_leads``, ``missing_leads`` (names), ``missing_share`` (0 to 1, of all
    samples), ``readable`` (at least half of the leads are free of all three) and ``findings`` (words, for a reader).
    """
    missing = np.isnan(waveform_mv).mean(axis=1)
    flat = _flat(waveform_mv, sampling_rate_hz, calibrated)
    gone = missing > _MISSING_SHARE_MAX
    clipped = _clipped(waveform_mv) & ~flat & ~gone
    names = {
        kind: [name for name, bad in zip(lead_names, rows, strict=True) if bad]
        for kind, rows in (("flat_leads", flat & ~gone), ("clipped_leads", clipped), ("missing_leads", gone))
    }
    usable = int((~(flat | clipped | gone)).sum())
    return {
        **names,
        "missing_share": round(float(missing.mean()), 4),
        "readable": bool(2 * usable >= len(lead_names)),
        "findings": [f"{kind.split('_')[0]}: {', '.join(leads)}" for kind, leads in names.items() if leads],
    }


def _flat(waveform_mv: np.ndarray, sampling_rate_hz: float, calibrated: bool) -> np.ndarray:
    """Tell for each lead whether it hardly moves in most of its seconds."""
    width = min(max(round(sampling_rate_hz), 2), waveform_mv.shape[1])
    seconds = waveform_mv.shape[1] // width
    windows = waveform_mv[:, : seconds * width].reshape(len(waveform_mv), seconds, width)
    ranges = np.fmax.reduce(windows, axis=2) - np.fmin.reduce(windows, axis=2)
    ranges = np.nan_to_num(ranges)
    typical = np.median(ranges, axis=1)
    limit = FLAT_RANGE_MV if calibrated else _FLAT_SHARE_OF_MEDIAN * float(np.median(typical))
    return np.asarray((ranges <= limit).mean(axis=1) > _FLAT_SECONDS_SHARE)


def _clipped(waveform_mv: np.ndarray) -> np.ndarray:
    """Tell for each lead whether it stays at its own highest or lowest value."""
    highest = np.fmax.reduce(waveform_mv, axis=1)[:, None]
    lowest = np.fmin.reduce(waveform_mv, axis=1)[:, None]
    at_edge = np.maximum((waveform_mv == highest).mean(axis=1), (waveform_mv == lowest).mean(axis=1))
    return np.asarray(at_edge > _CLIPPED_SHARE)
