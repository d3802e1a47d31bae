"""Leads that are swapped, upside down or wrongly named, told from how the leads of a recording move together.

All of it rests on the mean products of each two leads (`Measures.power_mv2`).
"""

from collections.abc import Mapping
from itertools import combinations

import numpy as np

from ecgfm_core.leads import FROM_I_AND_II

LIMB = ("I", "II", "III", "aVR", "aVL", "aVF")

# Lead I looks along nearly the same line as V6, and so does aVL; aVR looks against it. Exchanged arms turn I over and
# exchange aVL and aVR. Below this mean of the three correlations the arms count as exchanged.
ARMS_LIMIT = -0.4
# What is left of Einthoven's and Goldberger's sums, as a share of the limb leads' root mean square.
_MISFIT = 0.2
_FIT = 0.05
# Leads that keep two dimensions, but not the sums, are each scaled on their own.
_TWO_DIMENSIONS = 0.9


def arms_swapped(power: np.ndarray, rows: Mapping[str, int]) -> float | None:
    """Give how lead I, aVL and the inverse of aVR run with V6: -1 against it to 1 with it.

    Whoever exchanges the arm electrodes turns lead I over while V6 stays (Kors and van Herpen, J Electrocardiol 2001,
    34 Suppl:69); correlations need no millivolts, so that an uncalibrated recording is judged too.

    Parameters
    ----------
    power : ``[lead, lead]`` mean products
    rows : the row of each standard lead; aVR and aVL are worked out where only I and II are there

    Returns
    -------
    The mean correlation, below `ARMS_LIMIT` where the arms are probably exchanged; None where I, II or V6 is missing or
    doesn't move.
    """
    if not {"I", "II", "V6"} <= set(rows) or any(power[rows[name], rows[name]] <= 0 for name in ("I", "II", "V6")):
        return None
    lead_6 = _combination("V6", rows, len(power))
    signs = {"I": 1.0, "aVL": 1.0, "aVR": -1.0}
    found = [sign * _correlation(power, _combination(name, rows, len(power)), lead_6) for name, sign in signs.items()]
    return float(np.mean(found))


def _combination(name: str, rows: Mapping[str, int], count: int) -> np.ndarray:
    """Give the weights of the recording's leads that make a lead."""
    weights = np.zeros(count)
    if name in rows:
        weights[rows[name]] = 1
    else:
        weights[rows["I"]], weights[rows["II"]] = FROM_I_AND_II[name]
    return weights


def _correlation(power: np.ndarray, one: np.ndarray, other: np.ndarray) -> float:
    size = float(one @ power @ one) * float(other @ power @ other)
    return float(one @ power @ other) / size**0.5 if size > 0 else 0.0


def limb_misfit(power: np.ndarray, rows: Mapping[str, int]) -> str:
    """Say in words how the limb leads break III = II - I and Goldberger's sums; blank where they keep them.

    Tried in turn: two names exchanged, one lead upside down, one lead that is something else, leads scaled singly.

    Parameters
    ----------
    power : ``[lead, lead]`` mean products in millivolt^2
    rows : the row of each standard lead
    """
    names = [name for name in LIMB if name in rows]
    if len(names) < 3 or not {"I", "II"} <= set(names):
        return ""
    limb = power[np.ix_([rows[name] for name in names], [rows[name] for name in names])]
    if np.trace(limb) <= 0 or _left(limb, names) < _MISFIT:
        return ""
    return _exchanged(limb, names) or _turned(limb, names) or _alone(limb, names) or _scaled(limb)


def _left(limb: np.ndarray, names: list[str]) -> float:
    """Give the largest share that a lead differs from what I and II make of it."""
    typical = float(np.trace(limb)) / len(names)
    found = [0.0]
    for row, name in enumerate(names):
        if name in FROM_I_AND_II:
            weights = np.zeros(len(names))
            weights[row] = 1
            weights[names.index("I")] -= FROM_I_AND_II[name][0]
            weights[names.index("II")] -= FROM_I_AND_II[name][1]
            found.append(max(float(weights @ limb @ weights), 0) / typical)
    return max(found) ** 0.5


def _exchanged(limb: np.ndarray, names: list[str]) -> str:
    tried: list[tuple[float, str]] = []
    for one, other in combinations(range(len(names)), 2):
        order = list(range(len(names)))
        order[one], order[other] = other, one
        tried.append((_left(limb[np.ix_(order, order)], names), f"{names[one]} and {names[other]}"))
    least, which = min(tried)
    return f"{which}: probably exchanged" if least < _FIT and len(names) > 3 else ""


def _turned(limb: np.ndarray, names: list[str]) -> str:
    tried: list[tuple[float, str]] = []
    for row, name in enumerate(names):
        signs = np.ones(len(names))
        signs[row] = -1
        tried.append((_left(limb * np.outer(signs, signs), names), name))
    least, which = min(tried)
    return f"{which}: probably upside down" if least < _FIT and len(names) > 3 else ""


def _alone(limb: np.ndarray, names: list[str]) -> str:
    """Leave one lead out at a time: do the others keep the two dimensions that the sums allow?"""
    tried: list[tuple[float, str]] = []
    for row, name in enumerate(names):
        rest = [other for other in range(len(names)) if other != row]
        sums = np.array([_of_i_and_ii(names[other]) for other in rest])
        away = np.eye(len(rest)) - sums @ np.linalg.pinv(sums)
        part = limb[np.ix_(rest, rest)]
        tried.append((float(np.sqrt(max(np.trace(away @ part), 0) / max(np.trace(part), 1e-12) * len(rest))), name))
    least, which = min(tried)
    return f"{which}: doesn't fit the other limb leads" if least < _FIT and len(names) > 3 else ""


def _of_i_and_ii(name: str) -> tuple[float, float]:
    return {"I": (1.0, 0.0), "II": (0.0, 1.0)}.get(name) or FROM_I_AND_II[name]


def _scaled(limb: np.ndarray) -> str:
    size = np.sqrt(np.maximum(np.diag(limb), 1e-12))
    shares = np.linalg.eigvalsh(limb / np.outer(size, size))[::-1]
    if shares[:2].sum() / len(limb) > _TWO_DIMENSIONS:
        return "limb leads: each scaled on its own, heights can't be compared"
    return "limb leads: don't fit each other (III = II - I), damaged or wrongly named"
