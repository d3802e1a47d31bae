"""Names of leads, which of them are ECG, and the limb leads that follow from others."""

import functools
import re
from collections.abc import Collection, Sequence

import numpy as np

from ecgfm_core.errors import RecordingError

STANDARD_LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")

# Names that are ECG leads although they are none of the twelve: monitoring, Frank, posterior and right-sided leads.
_OTHER_LEADS = (
    *("MLI", "MLII", "MLIII", "ML5", "MV1", "MV2", "MV5", "MCL1", "CM1", "CM2", "CM5", "CC5"),
    *("Vx", "Vy", "Vz", "V", "X", "Y", "Z", "D3", "D4", "VF", "-aVR"),
    *("V7", "V8", "V9", "V3R", "V4R", "V5R", "V6R"),
)
_SPELLING = {name.lower(): name for name in STANDARD_LEADS + _OTHER_LEADS}
_NUMBERED = re.compile(r"(ecg|ekg|channel|lead|ch)[ _-]?\d*$", re.IGNORECASE)
_PREFIX = re.compile(r"^(lead|ecg|ekg)[ _-]+(?=[a-z])", re.IGNORECASE)

# Where a recording lacks the standard lead: a monitor's or a bipolar lead that looks along nearly the same line.
_NEAREST = {
    **{"MLI": "I", "MLII": "II", "MLIII": "III", "D3": "III", "VF": "aVF"},
    **{"MV1": "V1", "MCL1": "V1", "CM1": "V1", "MV2": "V2", "CM2": "V2"},
    **{"MV5": "V5", "CM5": "V5", "CC5": "V5", "ML5": "V5"},
}

# Coefficients of I and II in the leads that follow from them.
FROM_I_AND_II = {"III": (-1.0, 1.0), "aVR": (-0.5, -0.5), "aVL": (1.0, -0.5), "aVF": (-0.5, 1.0)}


@functools.lru_cache(1024)
def canonical_name(name: str) -> str:
    """Return a lead's usual spelling: ``avr`` is aVR, ``Lead ii`` is II; other names lose only outer white space."""
    bare = _PREFIX.sub("", name.strip())
    return _SPELLING.get(bare.lower(), name.strip())


def is_ecg_name(name: str) -> bool:
    """Tell whether a name is that of an ECG lead (``V5``, ``mlii``, ``ECG 1``) and not of another signal (``ABP``)."""
    return canonical_name(name).lower() in _SPELLING or _NUMBERED.match(name.strip()) is not None


def nearest_standard(name: str) -> str | None:
    """Give the standard lead that a lead is or comes nearest to: ``avf`` is aVF, MLII is taken as II; else None."""
    known = canonical_name(name)
    return known if known in STANDARD_LEADS else _NEAREST.get(known)


def as_standard(lead_names: Sequence[str]) -> tuple[str, ...]:
    """Name each lead as the standard lead that it is or comes nearest to; the others get an empty name.

    A true standard lead goes before one that only comes near it; of several that come equally near, the first is taken.
    """
    exact = {canonical_name(name) for name in lead_names}
    given: list[str] = []
    for name in lead_names:
        nearest = nearest_standard(name) or ""
        taken = nearest in given or (nearest in exact and canonical_name(name) != nearest)
        given.append("" if taken else nearest)
    return tuple(given)


def choose(text: str) -> tuple[str, ...]:
    """Read a lead set such as ``I,II,v2``: standard leads in their order, with those that follow from I and II.

    Raises
    ------
    RecordingError
        If a name is no standard lead, nor near one.
    """
    names = [name.strip() for name in text.split(",")]
    if unknown := [name for name in names if nearest_standard(name) is None]:
        raise RecordingError(
            f"Leads {text!r}: {', '.join(map(repr, unknown))} is no lead known here; {', '.join(STANDARD_LEADS)}, "
            "joined by commas, are allowed"
        )
    return complete({nearest_standard(name) for name in names})


def complete(present: Collection[str | None]) -> tuple[str, ...]:
    """Give the standard leads in `present` in their order, with those that follow from I and II."""
    derived = FROM_I_AND_II if "I" in present and "II" in present else ()
    return tuple(name for name in STANDARD_LEADS if name in present or name in derived)


def derive(lead_names: Sequence[str], waveform_mv: np.ndarray, wanted: Sequence[str] = STANDARD_LEADS) -> np.ndarray:
    """Give the wanted leads in their order.

    Parameters
    ----------
    lead_names : names of the rows of `waveform_mv`
    waveform_mv : float32 ``[lead, sample]``, millivolt, NaN where missing
    wanted : names of the rows to give

    Returns
    -------
    float32 ``[len(wanted), sample]``; III, aVR, aVL and aVF are worked out from I and II (Einthoven, Goldberger) where
    the recording lacks them; a lead that can't be had is all NaN.
    """
    rows = {name: row for row, name in enumerate(lead_names)}
    derived = np.full((len(wanted), waveform_mv.shape[1]), np.nan, dtype=np.float32)
    for index, name in enumerate(wanted):
        if name in rows:
            derived[index] = waveform_mv[rows[name]]
        elif name in FROM_I_AND_II and "I" in rows and "II" in rows:
            of_i, of_ii = FROM_I_AND_II[name]
            derived[index] = of_i * waveform_mv[rows["I"]] + of_ii * waveform_mv[rows["II"]]
    return derived
