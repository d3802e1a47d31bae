"""How unlike a recording is to what has been read: its distance to the nearest annotated ones.

Axes: N recordings, B of a block, A annotated recordings, D embedding width, R directions.
"""

from collections.abc import Callable

import numpy as np

from ecgfm_core.active.crossfit import Standard, one_thread
from ecgfm_core.errors import LabelError

NEAREST = 10
DIRECTIONS = 128
SAMPLE = 5_000  # recordings whose spread gives the directions
ANNOTATED_MAX = 2_000  # more are drawn from: distances to a sample of so many tell the same
BLOCK_ROWS = 2_000


@one_thread
def novelty(embedding_ND: np.ndarray, annotated_N: np.ndarray, nearest: int = NEAREST, seed: int = 0) -> np.ndarray:
    """Mean distance ``[N]`` to the `nearest` annotated recordings; NaN where nothing is annotated.

    Between standardised embeddings in their directions of most variance: the kernel that heads see has no far away. In
    units of the usual distance of two recordings (root mean square), so that figures of different networks compare.
    Works in blocks: beside the embeddings and the answer it takes 100 MB.

    Parameters
    ----------
    embedding_ND : any float type, finite
    annotated_N : whether a reader has read the recording
    nearest : how many annotated recordings count; all where there are fewer
    seed : draws the recordings that give the directions, and ANNOTATED_MAX of the annotated ones

    Raises
    ------
    LabelError
        If there is not one mark a recording, or an embedding is not finite.
    """
    if annotated_N.shape != embedding_ND.shape[:1]:
        raise LabelError(f"{annotated_N.size} marks of who was read for {len(embedding_ND)} recordings; one each")
    rng, read = np.random.default_rng(seed), np.flatnonzero(annotated_N)
    if not read.size:
        return np.full(len(embedding_ND), np.nan)
    if read.size > ANNOTATED_MAX:
        read = np.sort(rng.choice(read, ANNOTATED_MAX, replace=False))
    projected = _projection(embedding_ND, rng)
    read_AR, nearest = projected(read), min(nearest, read.size)
    square_A = np.square(read_AR).sum(axis=1)
    result_N, spread = np.empty(len(embedding_ND)), 0.0
    for first in range(0, len(embedding_ND), BLOCK_ROWS):
        block_BR = projected(slice(first, first + BLOCK_ROWS))
        square_B = np.square(block_BR).sum(axis=1)
        partial_BA = block_BR @ (-2.0 * read_AR.T)  # the squared distance, less the square of the row itself
        partial_BA += square_A
        partial_BA.partition(nearest - 1, axis=1)
        square_BA = np.maximum(partial_BA[:, :nearest] + square_B[:, None], 0.0)
        result_N[first : first + BLOCK_ROWS] = np.sqrt(square_BA).mean(axis=1)
        spread += float(square_B.sum(dtype=np.float64)) / len(embedding_ND)  # around the mean of all, which is 0
    return result_N / np.sqrt(2.0 * spread) if spread > 1e-12 else np.zeros(len(embedding_ND))


def _projection(embedding_ND: np.ndarray, rng: np.random.Generator) -> Callable[[slice | np.ndarray], np.ndarray]:
    """Rows of the embeddings, standardised, in the directions in which a sample of them varies most, float32."""
    standard, count = Standard(embedding_ND), len(embedding_ND)
    drawn_MD = standard(np.sort(rng.choice(count, min(count, SAMPLE), replace=False))).astype(np.float64)
    direction_DR = np.linalg.eigh(drawn_MD.T @ drawn_MD)[1][:, ::-1][:, :DIRECTIONS].astype(np.float32)
    return lambda rows: standard(rows) @ direction_DR
