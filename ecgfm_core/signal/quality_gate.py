"""Whether a twelve-lead recording can be read: one figure, the worst lead's lost share, against what people accepted.

A second of a lead is lost as far as it is disturbed: nothing of it at no disturbance, all of it from the limits on.
The share of its seconds that the worst of the eight independent leads has lost is the figure; a logistic of it is the
score.
Limits and coefficients were chosen on the 148 recordings of PhysioNet's CinC challenge 2011 that people had judged
(Silva, Moody, Celi, Computing in Cardiology 2011, 38:273); `benchmarks/quality.py` fits them again, the limits within
the folds too. That a single lead decides follows those judgements, as in Hayn et al., Physiol Meas 2012, 33:1449, and
Clifford et al., Physiol Meas 2012, 33:1419, whose flat lines, saturation and baseline come in here; the share that the
other leads don't explain stands for their signal quality indices.
"""

import math
from dataclasses import dataclass

import numpy as np

from ecgfm_core.signal.quality_measures import Measures

# A second in which a lead moves by less than this is flat; an uncalibrated lead is held against the others.
FLAT_RANGE_MV = 0.01
_FLAT_SHARE_OF_MEDIAN = 0.005


@dataclass(frozen=True)
class Limits:
    """From where on a second of a lead is lost, in millivolt: see `quality_measures.Measures` for what is measured."""

    unexplained_mv: float = 6.0
    wander_mv: float = 3.0
    fast_mv: float = 0.4


LIMITS = Limits()
# Logit of "people accepted it" = INTERCEPT + SLOPE x the worst lead's lost share.
INTERCEPT, SLOPE = 3.2, -6.8


def flat_seconds(range_mv: np.ndarray, calibrated: bool) -> np.ndarray:
    """Tell ``[lead, second]`` in which a lead hardly moves, from how far it moves in each second."""
    limit = FLAT_RANGE_MV
    if not calibrated:
        limit = _FLAT_SHARE_OF_MEDIAN * float(np.median(np.median(range_mv, axis=1)))
    return np.asarray(range_mv <= limit)


def lost_shares(measures: Measures, calibrated: bool = True, limits: Limits = LIMITS) -> np.ndarray:
    """Give the share of its seconds that each lead has lost, 0 to 1; without millivolts flat and missing alone count.

    Returns
    -------
    float ``[lead]``
    """
    gone = np.fmax(flat_seconds(measures.range_mv, calibrated), measures.missing_share > 0.5)
    if not calibrated:
        return np.asarray(gone.mean(axis=1))
    disturbed = np.fmax.reduce(
        [
            measures.unexplained_mv / limits.unexplained_mv,
            measures.wander_mv / limits.wander_mv,
            measures.fast_mv / limits.fast_mv,
        ]
    )
    return np.asarray(np.fmax(gone, np.minimum(np.nan_to_num(disturbed), 1)).mean(axis=1))


def score(worst_lost_share: float) -> float:
    """Give how probable it is, 0 to 1, that people accept a recording whose worst lead has lost this share."""
    return 1 / (1 + math.exp(-(INTERCEPT + SLOPE * worst_lost_share)))
