"""How unlike a recording is to what has been read: its distance to the nearest annotated ones.

Axes: N recordings, A annotated recordings, R features.
"""

import numpy as np

from ecgfm_core.errors import LabelError

NEAREST = 10
ANNOTATED_MAX = 2_000  # more are drawn from: distances to a sample of so many tell the same
BLOCK_ROWS = 2_000


def novelty(features_NR: np.ndarray, annotated_N: np.ndarray, nearest: int = NEAREST, seed: int = 0) -> np.ndarray:
    """Mean distance ``[N]`` to the `nearest` annotated recordings; NaN where nothing is annotated.

    In units of the usual distance of two recordings (root mean square), so that figures of different networks compare.
    Works in blocks: beside the features and the answer it takes 50 MB.

    Parameters
    ----------
    features_NR : standardised and reduced, see `crossfit.reduce`
    annotated_N : whether a reader has read the recording
    nearest : how many annotated recordings count; all where there are fewer
    seed : draws ANNOTATED_MAX of the annotated ones where there are more

    Raises
    ------
    LabelError
        If there is not one mark a recording.
    """
    if annotated_N.shape != features_NR.shape[:1]:
        raise LabelError(f"{annotated_N.size} marks of who was read for {len(features_NR)} recordings; one each")
    read = np.flatnonzero(annotated_N)
    if not read.size:
        return np.full(len(features_NR), np.nan)
    if read.size > ANNOTATED_MAX:
        read = np.sort(np.random.default_rng(seed).choice(read, ANNOTATED_MAX, replace=False))
    read_AR = features_NR[read]
    square_A = np.square(read_AR).sum(axis=1)
    nearest, result_N, total = min(nearest, read.size), np.empty(len(features_NR)), 0.0
    for first in range(0, len(features_NR), BLOCK_ROWS):
        block_BR = features_NR[first : first + BLOCK_ROWS]
        square_B = np.square(block_BR).sum(axis=1)
        partial_BA = block_BR @ (-2.0 * read_AR.T)  # the squared distance, less the square of the row itself
        partial_BA += square_A
        partial_BA.partition(nearest - 1, axis=1)
        square_BA = np.maximum(partial_BA[:, :nearest] + square_B[:, None], 0.0)
        result_N[first : first + BLOCK_ROWS] = np.sqrt(square_BA).mean(axis=1)
        total += float(square_B.sum(dtype=np.float64))
    spread = total / len(features_NR) - np.square(features_NR.mean(axis=0, dtype=np.float64)).sum()
    return result_N / np.sqrt(2.0 * spread) if spread > 1e-12 else np.zeros(len(features_NR))
