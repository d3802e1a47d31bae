"""The metric of the PhysioNet/CinC Challenge 2020, and thresholds that make the best of it.

Perez Alday et al., "Classification of 12-lead ECGs: the PhysioNet/Computing in Cardiology Challenge 2020",
Physiological Measurement 41 (2020). N recording, C class.
"""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ecgfm_core.errors import FormatError
from ecgfm_core.formats.files import read_text

NORMAL = "426783006"
# Scored as one: complete and plain right bundle branch block, premature atrial and supraventricular beats, premature
# ventricular contractions and beats.
SAME = {"59118001": "713427006", "63593006": "284470004", "17338001": "427172004"}
_BYTES_MAX = 1_000_000
_CANDIDATES = 40
_PASSES = 3


@dataclass(frozen=True)
class Weights:
    """Classes, of which each stands for the codes that are scored as one with it, and their weights `[C, C]`."""

    classes: tuple[str, ...]
    weights_CC: np.ndarray

    def __post_init__(self) -> None:
        count = len(self.classes)
        if self.weights_CC.shape != (count, count) or not np.isfinite(self.weights_CC).all():
            raise FormatError(f"Challenge weights {self.weights_CC.shape}: {count} x {count} finite numbers are needed")
        if NORMAL not in self.classes:
            raise FormatError(f"Challenge weights: the normal class {NORMAL} is missing; take the official table")


def read_weights(path: Path) -> Weights:
    """Read the official table: codes in the first row and column, a weight for each pair; three pairs become one each.

    Raises
    ------
    FormatError
        If rows and columns differ, a weight is no number, or codes scored as one have different weights.
    """
    rows = [row for row in csv.reader(read_text(path, path.name, _BYTES_MAX).splitlines()) if row]
    codes = [cell.strip() for cell in rows[0][1:]] if rows else []
    if not codes or [row[0].strip() for row in rows[1:]] != codes or {len(row) for row in rows} != {len(codes) + 1}:
        raise FormatError(f"{path.name}: the same codes in the first row and the first column are needed")
    try:
        weights_CC = np.array([[float(cell) for cell in row[1:]] for row in rows[1:]])
    except ValueError as error:
        raise FormatError(f"{path.name}: {error}; every weight must be a number") from None
    return merge(tuple(codes), weights_CC)


def merge(codes: tuple[str, ...], weights_CC: np.ndarray) -> Weights:
    """Make one class of codes that are scored as one; refuses different weights for them."""
    merged = [SAME.get(code, code) for code in codes]
    first = [merged.index(name) for name in dict.fromkeys(merged)]
    stand_in = [merged.index(name) for name in merged]
    if not np.array_equal(weights_CC, weights_CC[np.ix_(stand_in, stand_in)]):
        raise FormatError(
            "Challenge weights: codes that are scored as one have different weights; take the official table"
        )
    return Weights(tuple(dict.fromkeys(merged)), weights_CC[np.ix_(first, first)])


def earnings(true_NC: np.ndarray, said_NC: np.ndarray, weights: Weights) -> np.ndarray:
    """Give each recording's part of ``S = sum W_jk A_jk``, ``A_jk = sum_i [y_ij and p_ik] / max(1, |y_i or p_i|)``."""
    true_NC, said_NC = true_NC.astype(bool), said_NC.astype(bool)
    return _shared_out(true_NC @ weights.weights_CC, true_NC, said_NC)


def _shared_out(credit_NC: np.ndarray, true_NC: np.ndarray, said_NC: np.ndarray) -> np.ndarray:
    """Add up the credit of what is said and divide it by how many classes are true or said."""
    return (credit_NC * said_NC).sum(axis=1) / np.maximum(1, (true_NC | said_NC).sum(axis=1))


def resampled(true_NC: np.ndarray, said_NC: np.ndarray, counts_RN: np.ndarray, weights: Weights) -> np.ndarray:
    """Give the score `[R]` where each recording counts as often as `counts_RN` says; NaN where it is undefined."""
    inactive_NC = np.zeros(true_NC.shape, dtype=bool)
    inactive_NC[:, weights.classes.index(NORMAL)] = True
    found_R, right_R, inactive_R = (
        counts_RN @ earnings(true_NC, one_NC, weights) for one_NC in (said_NC, true_NC, inactive_NC)
    )
    spread_R = right_R - inactive_R
    return np.divide(found_R - inactive_R, spread_R, out=np.full(len(spread_R), np.nan), where=spread_R != 0)


def score(true_NC: np.ndarray, said_NC: np.ndarray, weights: Weights) -> float | None:
    """Give ``(S - S_inactive) / (S_correct - S_inactive)``.

    Parameters
    ----------
    true_NC, said_NC : bool, columns in the order of `weights.classes`

    Returns
    -------
    1 where all is right, 0 for whoever always says sinus rhythm, below 0 for worse; None where these two are the same
    (every recording in sinus rhythm alone, or nothing known of any), which the official evaluation calls not a number.
    """
    value = float(resampled(true_NC, said_NC, np.ones((1, len(true_NC))), weights)[0])
    return None if np.isnan(value) else value


def choose_thresholds(
    true_NC: np.ndarray, probability_NC: np.ndarray, weights: Weights, start_C: np.ndarray
) -> np.ndarray:
    """Find thresholds `[C]` that score well on the validation split.

    The start is the best single threshold or `start_C`; then class by class is tried, until nothing gets better.

    The score's numerator alone is raised: its denominator does not hang on what is said.
    """
    true_NC = true_NC.astype(bool)
    credit_NC = true_NC @ weights.weights_CC  # what saying a class earns, before the sharing out
    grid = np.unique(np.quantile(probability_NC, np.linspace(0, 1, _CANDIDATES)))
    starts = [start_C, *(np.full(true_NC.shape[1], level) for level in grid)]
    best_C = max(starts, key=lambda one: float(_shared_out(credit_NC, true_NC, probability_NC >= one).sum())).copy()
    for _ in range(_PASSES):
        before = best_C.copy()
        for column in range(true_NC.shape[1]):
            best_C[column] = _best_of_class(credit_NC, true_NC, probability_NC, best_C, column)
        if np.array_equal(before, best_C):
            break
    return best_C


def _best_of_class(
    credit_NC: np.ndarray, true_NC: np.ndarray, probability_NC: np.ndarray, thresholds_C: np.ndarray, column: int
) -> float:
    """Try thresholds of one class, the others staying as they are; the present one wins a tie."""
    said_NC = probability_NC >= thresholds_C
    said_NC[:, column] = False
    earned_N, size_N = (credit_NC * said_NC).sum(axis=1), (true_NC | said_NC).sum(axis=1)
    without_N = earned_N / np.maximum(1, size_N)
    with_N = (earned_N + credit_NC[:, column]) / np.maximum(1, size_N + ~(true_NC[:, column] | said_NC[:, column]))
    values_N = probability_NC[:, column]
    levels = np.unique(np.quantile(values_N, np.linspace(0, 1, _CANDIDATES)))
    candidates = [thresholds_C[column], *levels, float(values_N.max()) + 1e-6]
    totals = [float(np.where(values_N >= level, with_N, without_N).sum()) for level in candidates]
    return float(candidates[int(np.argmax(totals))])
