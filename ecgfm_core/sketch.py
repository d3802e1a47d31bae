"""A small picture of a recording as SVG, to tell at a glance what is flat, cut off or noisy. Not for reading."""

from collections.abc import Sequence
from xml.sax.saxutils import escape

import numpy as np

SECONDS_SHOWN = 10.0
_COLUMNS_OF_SIX = 6
_POINTS = 300
_WIDTH, _ROW = 320, 30
# Half a row stands for this many millivolts; without millivolts for this many times a lead's typical deviation.
_HALF_ROW_MV = 1.5
_HALF_ROW_SPREADS = 6.0


def sketch(waveform_mv: np.ndarray, sampling_rate_hz: float, lead_names: Sequence[str], calibrated: bool = True) -> str:
    """Draw the first ten seconds, six leads a column, each about its own median and cut off at its row.

    Parameters
    ----------
    waveform_mv : float ``[lead, sample]``, NaN where missing

    Returns
    -------
    An SVG document without styles or scripts.
    """
    shown = waveform_mv[:, : max(int(SECONDS_SHOWN * sampling_rate_hz), 1)]
    columns = -(-len(lead_names) // _COLUMNS_OF_SIX)
    rows = min(len(lead_names), _COLUMNS_OF_SIX)
    width, height = columns * _WIDTH, rows * _ROW
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
    ]
    for number, (name, lead) in enumerate(zip(lead_names, shown, strict=True)):
        column, row = divmod(number, _COLUMNS_OF_SIX)
        left, middle = column * _WIDTH, (row + 0.5) * _ROW
        parts.append(f'<text x="{left + 3}" y="{middle - 5:.0f}" font-size="11" fill="#666">{escape(name)}</text>')
        for points in _lines(lead, left + 34, middle, calibrated):
            parts.append(f'<polyline points="{points}" fill="none" stroke="#222" stroke-width="0.8"/>')
    return "\n".join([*parts, "</svg>"])


def _lines(lead: np.ndarray, left: float, middle: float, calibrated: bool) -> list[str]:
    """Give the points of each stretch without gaps: highest and lowest of each of 300 columns."""
    if np.isnan(lead).all():
        return []
    level = float(np.nanmedian(lead))
    spread = float(np.nanmedian(np.abs(lead - level)))
    half = _HALF_ROW_MV if calibrated else _HALF_ROW_SPREADS * (spread or 1.0)
    edges = np.unique(np.linspace(0, lead.size, min(_POINTS, lead.size) + 1).astype(int))[:-1]
    heights = np.clip((lead - level) / half, -1, 1) * (_ROW / 2 - 1)
    pairs = np.stack([np.fmax.reduceat(heights, edges), np.fmin.reduceat(heights, edges)], axis=1)
    places = left + edges / lead.size * (_WIDTH - 38)
    lines: list[list[str]] = [[]]
    for x, (high, low) in zip(places, pairs, strict=True):
        if np.isnan(high):
            lines.append([])
        else:
            lines[-1] += [f"{x:.1f},{middle - high:.1f}", f"{x:.1f},{middle - low:.1f}"]
    return [" ".join(line) for line in lines if line]
