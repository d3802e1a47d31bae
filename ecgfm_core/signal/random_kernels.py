"""A view of a recording that no training shaped: how often fixed convolutions of it exceed their own spread.

After ROCKET and MiniRocket (Dempster, DMKD 34:1454, 2020; KDD 2021): the 84 kernels of nine taps with three of weight
2 and six of -1, at five dilations, each bank on a signed sum of a few leads; of each output the share of time above
six of its own deviations. Signs fixed for ever then project the shares to `WIDTH` numbers, which keeps their distances
(Achlioptas 2003). Gain does not change them, a lead that is missing adds nothing. Beside the embedding of a trained
network they find more wrong labels than either alone.

L lead, T time sample, K kernel, P tap, F share, S sum of leads, W width.
"""

import hashlib
import itertools
from functools import cache

import numpy as np

from ecgfm_core.leads import STANDARD_LEADS

WIDTH = 512
TAPS = 9
DILATIONS_MS = (10, 20, 40, 80, 160)
BANKS = 3  # sums of leads a dilation
LEADS_A_SUM = (1, 2, 4)
DEVIATIONS = (-1.3, -0.5, 0.0, 0.5, 1.3, 2.5)
PIECE_S = 10.0  # long recordings are looked at piece by piece
_FLAT = 1e-6


def features(waveform_LT: np.ndarray, sampling_rate_hz: float) -> np.ndarray:
    """Sum up one recording, float32 ``[W]``.

    Parameters
    ----------
    waveform_LT : float32, the 12 standard leads in order, zeros where a lead or sample is missing; any unit
    sampling_rate_hz : the dilations are of time, so that rates agree
    """
    steps = [max(1, round(ms * sampling_rate_hz / 1000)) for ms in DILATIONS_MS]
    shortest = 2 * ((TAPS - 1) * steps[-1] + 1)
    count = max(1, round(waveform_LT.shape[1] / (PIECE_S * sampling_rate_hz)))
    pieces = np.array_split(waveform_LT, count, axis=1)
    shares_F = np.mean([_shares(_padded(piece_LT, shortest), steps) for piece_LT in pieces], axis=0)
    return np.asarray((shares_F.astype(np.float32) - np.float32(0.5)) @ _projection(len(shares_F)))


def _padded(piece_LT: np.ndarray, least: int) -> np.ndarray:
    return np.pad(piece_LT, ((0, 0), (0, max(0, least - piece_LT.shape[1]))))


def _shares(piece_LT: np.ndarray, steps: list[int]) -> np.ndarray:
    found = []
    for place, sum_T in enumerate(_lead_sums() @ piece_LT):
        step = steps[place // BANKS]
        length = len(sum_T) - (TAPS - 1) * step
        taps_PT = np.stack([sum_T[tap * step : tap * step + length] for tap in range(TAPS)])
        output_KT = _kernels() @ taps_PT
        mean_K, spread_K = output_KT.mean(axis=1), output_KT.std(axis=1)
        for deviations in DEVIATIONS:
            limit_K = mean_K + np.float32(deviations) * spread_K
            above_K = np.count_nonzero(output_KT > limit_K[:, None], axis=1) / length
            found.append(np.where(spread_K > _FLAT, above_K, 0.5))  # a flat output says nothing
    return np.concatenate(found)


@cache
def _kernels() -> np.ndarray:
    """The 84 kernels ``[K, P]``; each sums to zero."""
    heavy = list(itertools.combinations(range(TAPS), 3))
    kernels_KP = np.full((len(heavy), TAPS), -1.0, np.float32)
    kernels_KP[np.arange(len(heavy))[:, None], heavy] = 2.0
    return kernels_KP


@cache
def _lead_sums() -> np.ndarray:
    """Signed sums of leads ``[S, L]``, another one for each bank of each dilation."""
    count, leads = len(DILATIONS_MS) * BANKS, len(STANDARD_LEADS)
    drawn = np.frombuffer(_bytes("leads", 2 * leads * count), np.uint8).reshape(count, 2, leads)
    sums_SL = np.zeros((count, leads), np.float32)
    for row, (order, sign) in enumerate(drawn):
        taken = np.argsort(order, kind="stable")[: LEADS_A_SUM[row % BANKS]]
        sums_SL[row, taken] = np.where(sign[taken] & 1, 1.0, -1.0)
    return sums_SL


@cache
def _projection(share_count: int) -> np.ndarray:
    """Signs ``[F, W]`` divided by the root of the width."""
    bits = np.unpackbits(np.frombuffer(_bytes("projection", share_count * WIDTH // 8), np.uint8))
    return np.asarray((bits.reshape(share_count, WIDTH).astype(np.float32) * 2 - 1) / np.float32(WIDTH**0.5))


def _bytes(purpose: str, count: int) -> bytes:
    """Random bytes that no library's next version changes."""
    return hashlib.shake_256(f"ecgfm random kernels, {purpose}".encode()).digest(count)
