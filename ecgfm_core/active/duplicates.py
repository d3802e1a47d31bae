"""Near-duplicates of what is chosen already: the same heart beats twice teach a reader and the model little.

A recording is a near-duplicate when its embedding lies within `NEAR` of the usual distance of two recordings: the root
mean square over those looked at, so that the threshold has no unit and holds for any network. Under a trained network
the two nearest of 1,442 PTB-XL recordings lie at 0.19 of it and the median nearest neighbour at 0.34, so that a tenth
passes over copies and no second patient. It is not taken from the distances of nearest neighbours, which would be
nought where every second recording has a copy.

Axes: K in an order, B of a block, C chosen, D embedding width.
"""

from collections.abc import Callable

import numpy as np

NEAR = 0.1
LOOKED_AT_MAX = 30_000  # distances grow with the square: so many take ten seconds, and none is put before a reader
BLOCK_ROWS = 512

EmbeddingOf = Callable[[np.ndarray], np.ndarray]


def distinct(embedding_KD: np.ndarray, near: float = NEAR) -> np.ndarray:
    """Whether each ``[K]`` of an order is no near-duplicate of an earlier one that is none itself.

    Parameters
    ----------
    embedding_KD : the first to be read first; a row with NaN or infinity is unknown, and like no other
    near : share of the usual distance from which on two are different

    Notes
    -----
    The greedy cover of k-centre selection (Sener and Savarese, ICLR 2018) by a fixed radius instead of a fixed number.
    """
    known_K = np.isfinite(embedding_KD).all(axis=1)
    result_K = np.ones(len(embedding_KD), dtype=bool)
    known_KD = embedding_KD[known_K].astype(np.float32)
    if len(known_KD) > 1:
        centred_KD = known_KD - known_KD.mean(axis=0)
        radius_squared = near**2 * 2.0 * float(centred_KD.var(axis=0, dtype=np.float64).sum())
        if radius_squared > 0:  # else all are alike, and the embedding tells nothing
            result_K[known_K] = _cover(centred_KD, radius_squared)
    return result_K


def _cover(rows_KD: np.ndarray, radius_squared: float) -> np.ndarray:
    kept_K = np.zeros(len(rows_KD), dtype=bool)
    chosen_CD = np.empty_like(rows_KD)
    count = 0
    for first in range(0, len(rows_KD), BLOCK_ROWS):
        block_BD = rows_KD[first : first + BLOCK_ROWS]
        free_B = _nearest(block_BD, chosen_CD[:count]) >= radius_squared
        within_BB = _squares(block_BD, block_BD)
        for row in range(len(block_BD)):
            if free_B[row]:
                free_B[row + 1 :] &= within_BB[row, row + 1 :] >= radius_squared
        kept_K[first : first + BLOCK_ROWS] = free_B
        added = int(free_B.sum())
        chosen_CD[count : count + added] = block_BD[free_B]
        count += added
    return kept_K


def _nearest(block_BD: np.ndarray, chosen_CD: np.ndarray) -> np.ndarray:
    """Squared distance ``[B]`` to the nearest of the chosen."""
    nearest_B = np.full(len(block_BD), np.inf)
    for first in range(0, len(chosen_CD), 8 * BLOCK_ROWS):
        some = _squares(block_BD, chosen_CD[first : first + 8 * BLOCK_ROWS])
        np.minimum(nearest_B, some.min(axis=1), out=nearest_B)
    return nearest_B


def _squares(one_BD: np.ndarray, other_CD: np.ndarray) -> np.ndarray:
    """Squared distances ``[B, C]``."""
    length_B, length_C = np.square(one_BD).sum(axis=1), np.square(other_CD).sum(axis=1)
    return length_B[:, None] + length_C - 2.0 * (one_BD @ other_CD.T)
