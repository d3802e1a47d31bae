"""Whether a recording can be read, and what a reader should know of each lead.

`quality_measures` measures, `quality_gate` decides for twelve leads, `quality_leads` finds swapped ones; here their
figures become findings in words. Unreadable is not noisy: noise, pops, clipping and swapped arms are told and refuse
nothing until so much of a lead is lost that people don't accept the recording any more.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ecgfm_core.signal.quality_gate import flat_seconds, lost_shares, score
from ecgfm_core.signal.quality_leads import ARMS_LIMIT, arms_swapped, limb_misfit
from ecgfm_core.signal.quality_measures import INDEPENDENT, Measures, measure, ranges, standard_order

# Raised with every change of what is found: recordings checked by an older version can be checked again.
VERSION = 2

_FLAT_SECONDS_SHARE = 0.5
_MISSING_SHARE_MAX = 0.5
# So many samples at a lead's own highest or lowest value mean that the amplifier or the file cut it off; from the
# second share on, or where a flat lead lies further from zero than any heart moves it, the amplifier was at its limit.
_CLIPPED_SHARE = 0.01
_SATURATED_SHARE = 0.2
_SATURATED_LEVEL_MV = 5.0

# From where on a lead counts as noisy, from what 222 good recordings of LUDB, Georgia, CPSC and PTB hardly ever reach.
MUSCLE_MV = 0.04
MAINS_MV = 0.05
WANDER_MV = 0.5
POP_MV = 2.0
# Where other leads show a pop too, or there are none to compare with, a second must move so much more than the others.
_POP_TIMES, _POP_JUMP_MV = 3, 4.0


def assess(
    waveform_mv: np.ndarray, sampling_rate_hz: float, lead_names: Sequence[str], calibrated: bool = True
) -> dict[str, Any]:
    """Find what keeps a recording from being read, and what a reader should know of its leads.

    Parameters
    ----------
    waveform_mv : float32 ``[lead, sample]``, millivolt (any unit if not `calibrated`), NaN where missing
    sampling_rate_hz : from 20 Hz on
    lead_names : one a row; the gate for twelve leads needs I, II and V1 to V6

    Returns
    -------
    A dict for JSON:

    ``version`` : of these rules.
    ``score`` : 0 to 1, higher is better. With I, II, V1 to V6: how probable it is that people accept the recording,
        from the worst lead (`quality_gate`); with other leads the share of leads that are not lost.
    ``readable`` : whether the score is at least 0.5.
    ``flat_leads``, ``missing_leads``, ``saturated_leads``, ``clipped_leads``, ``noisy_leads`` : names.
    ``arms_swapped`` : whether the arm electrodes were probably exchanged; null where it can't be judged.
    ``missing_share`` : 0 to 1, of all samples.
    ``figures`` : a list a lead each: ``lost_share`` of its seconds, ``wander_mv`` (what a tenth of the seconds
        exceeds), ``muscle_mv`` (root mean square), ``mains_mv`` (amplitude), ``pops`` (seconds); null where it can't
        be had.
    ``findings`` : words, for a reader.
    ``not_judged`` : words on what this file doesn't allow to judge.

    Notes
    -----
    Any number of leads and samples; without millivolts noise is not judged.
    """
    measures, rows = measure(waveform_mv, sampling_rate_hz, lead_names), standard_order(lead_names)
    lost = lost_shares(measures, calibrated)
    kinds = _lost_kinds(waveform_mv, measures, calibrated)
    figures = _figures(measures, lost)
    words = [f"{_join(lead_names, kinds[kind])}: {kind}" for kind in kinds if kinds[kind].any()]
    noisy = np.zeros(len(lead_names), bool)
    dead = np.logical_or.reduce([kinds[kind] for kind in ("missing", "flat", "saturated")])
    if calibrated:
        noise = _noise(measures, figures["pops"])
        noisy = np.logical_or.reduce([*noise.values()]) & ~dead
        words += [f"{_join(lead_names, bad & ~dead)}: {said}" for said, bad in noise.items() if (bad & ~dead).any()]
    arms = arms_swapped(measures.power_mv2, {name: row for name, row in rows.items() if not dead[row]})
    swapped = None if arms is None else arms < ARMS_LIMIT
    words += ["arms probably swapped: lead I runs against V6"] if swapped else []
    misfit = limb_misfit(measures.power_mv2, rows) if calibrated and not dead[_limb(rows)].any() else ""
    unusable = dead | kinds["clipped"]
    of_twelve = [rows[name] for name in INDEPENDENT] if set(INDEPENDENT) <= set(rows) else []
    value = score(float(lost[of_twelve].max())) if of_twelve else float((~unusable).mean())
    if of_twelve and value < 0.5 and not dead[of_twelve].any():
        worst = max(of_twelve, key=lambda row: lost[row])
        words.insert(0, f"{lead_names[worst]}: {lost[worst]:.0%} of the time lost to disturbance")
    return {
        "version": VERSION,
        "score": round(value, 4),
        "readable": value >= 0.5,
        **{f"{kind}_leads": _names(lead_names, bad) for kind, bad in {**kinds, "noisy": noisy}.items()},
        "arms_swapped": swapped,
        "missing_share": round(float(np.isnan(waveform_mv).mean()), 4) if measures.missing_share.any() else 0.0,
        "figures": {name: _rounded(values) for name, values in figures.items()},
        "findings": [*words, misfit] if misfit else words,
        "not_judged": list(_not_judged(calibrated, arms is not None)),
    }


def lost_leads(waveform_mv: np.ndarray, sampling_rate_hz: float, lead_names: Sequence[str]) -> set[str]:
    """Name the leads that are flat or missing most of the time; any unit."""
    range_mv, missing_share = ranges(waveform_mv, sampling_rate_hz)
    lost = _most_seconds(flat_seconds(range_mv, calibrated=False)) | _most_missing(missing_share)
    return set(_names(lead_names, lost))


def _lost_kinds(waveform_mv: np.ndarray, measures: Measures, calibrated: bool) -> dict[str, np.ndarray]:
    """Tell ``[lead]`` of each kind of loss which leads show it; each lead shows one at most."""
    missing = _most_missing(measures.missing_share)
    flat = _most_seconds(flat_seconds(measures.range_mv, calibrated)) & ~missing
    edges = _share_at_edges(waveform_mv)
    far = np.zeros(len(flat), bool)
    if calibrated and flat.any():
        far[flat] = np.abs(np.nan_to_num(waveform_mv[flat])).max(axis=1) > _SATURATED_LEVEL_MV
    saturated = (flat & far) | (~flat & ~missing & (edges > _SATURATED_SHARE))
    clipped = (edges > _CLIPPED_SHARE) & ~flat & ~missing & ~saturated
    return {"missing": missing, "flat": flat & ~saturated, "saturated": saturated, "clipped": clipped}


def _most_seconds(bad: np.ndarray) -> np.ndarray:
    return np.asarray(bad.mean(axis=1) > _FLAT_SECONDS_SHARE)


def _most_missing(missing_share: np.ndarray) -> np.ndarray:
    return np.asarray(missing_share.mean(axis=1) > _MISSING_SHARE_MAX)


def _share_at_edges(waveform_mv: np.ndarray) -> np.ndarray:
    """Give for each lead the larger share of samples at its own highest or lowest value."""
    highest = np.fmax.reduce(waveform_mv, axis=1)[:, None]
    lowest = np.fmin.reduce(waveform_mv, axis=1)[:, None]
    return np.asarray(np.maximum((waveform_mv == highest).mean(axis=1), (waveform_mv == lowest).mean(axis=1)))


def _figures(measures: Measures, lost: np.ndarray) -> dict[str, np.ndarray]:
    unexplained, usual = measures.unexplained_mv, np.median(measures.range_mv, axis=1, keepdims=True)
    quiet = np.median(unexplained, axis=1, keepdims=True) < POP_MV / 2
    jumps = (measures.range_mv > _POP_TIMES * usual) & (measures.range_mv > usual + _POP_JUMP_MV)
    return {
        "lost_share": lost,
        "wander_mv": np.quantile(measures.wander_mv, 0.9, axis=1),
        "muscle_mv": np.median(measures.muscle_mv, axis=1),
        "mains_mv": np.median(measures.mains_mv, axis=1),
        "pops": (((unexplained > POP_MV) & quiet) | jumps).sum(axis=1),
    }


def _noise(measures: Measures, pops: np.ndarray) -> dict[str, np.ndarray]:
    """Tell ``[lead]`` of each kind of noise, in words, which leads show it; a figure that can't be had is no noise."""
    mains = np.median(measures.mains_mv, axis=1) > MAINS_MV
    usual, high = np.quantile(measures.wander_mv, (0.5, 0.9), axis=1)
    wander = np.where(pops > 0, usual, high)  # a pop shifts the baseline of a second or two, which isn't wandering
    return {
        "noisy (mains)": mains,
        "noisy (muscle)": (np.median(measures.muscle_mv, axis=1) > MUSCLE_MV) & ~mains,
        "noisy (baseline wanders)": wander > WANDER_MV,
        "noisy (electrode pops)": pops > 0,
    }


def _limb(rows: dict[str, int]) -> list[int]:
    return [row for name, row in rows.items() if not name.startswith("V")]


def _not_judged(calibrated: bool, arms: bool) -> Iterable[str]:
    if not calibrated:
        yield "noise: the file has no millivolts"
    if not arms:
        yield "swapped arms: I, II and V6 are needed"


def _names(lead_names: Sequence[str], bad: np.ndarray) -> list[str]:
    return [name for name, is_bad in zip(lead_names, bad, strict=True) if is_bad]


def _join(lead_names: Sequence[str], bad: np.ndarray) -> str:
    return "all leads" if bad.all() and len(bad) > 1 else ", ".join(_names(lead_names, bad))


def _rounded(values: np.ndarray) -> list[float | None]:
    return [None if np.isnan(value) else round(float(value), 3) for value in values]
