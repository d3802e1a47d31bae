"""Places kept for what would be starved: either kind of error, a rare label, a small centre.

Only recordings whose label the models rather disbelieve take a kept place, so that no reading is spent on a label that
nobody doubts. Axes: N candidates, K in an order, M pairs of a candidate and a group.
"""

from dataclasses import dataclass

import numpy as np

from ecgfm_core.active.candidates import UNKNOWN, Pool
from ecgfm_core.errors import ConfigError

DISBELIEVED_NATS = float(np.log(2))  # what is on file holds with a probability below one half


@dataclass(frozen=True)
class Quotas:
    """Shares of the strategy's places that are kept; the rest goes by score alone.

    A share is dealt out in turns, one place a group and turn, so that with more groups than places the groups with the
    worst label come first, and a group with few doubtful labels leaves its places to the others. One recording may
    take the place of several kinds at once.

    Attributes
    ----------
    overall : for labels that say normal and labels that say abnormal, in equal parts
    codes : for the codes on file, in equal parts
    centres : for the centres, in equal parts
    """

    overall: float = 0.5
    codes: float = 0.1
    centres: float = 0.2

    def __post_init__(self) -> None:
        shares = (self.overall, self.codes, self.centres)
        if not (min(shares) >= 0 and sum(shares) <= 1 + 1e-9):
            raise ConfigError(
                f"quotas {self.overall:g} overall, {self.codes:g} codes, {self.centres:g} centres; each is 0 or more, "
                "and together they are at most 1"
            )


NONE = Quotas(0, 0, 0)


def keep_places(order_K: np.ndarray, count: int, error_N: np.ndarray, pool: Pool, quotas: Quotas) -> np.ndarray:
    """The first `count` of an order, but for the kept places; still in that order.

    Parameters
    ----------
    order_K : positions in the pool, the first to be read first
    count : how many to take; all are where there are fewer
    error_N : label error in nats of each candidate
    pool : whose labels, codes and centres count
    quotas : how much is kept for what
    """
    if count >= order_K.size:
        return order_K
    taken_K = np.zeros(order_K.size, dtype=bool)
    doubtful_K = np.nan_to_num(error_N[order_K], nan=0.0) > DISBELIEVED_NATS
    for share, pairs_M2 in (
        (quotas.overall, _pairs(pool.given_N)),
        (quotas.codes, pool.coded_M2),
        (quotas.centres, _pairs(pool.centre_N)),
    ):
        places = int(count * share)
        if places and pairs_M2 is not None and pairs_M2.size:
            taken_K[_dealt(order_K, doubtful_K, pairs_M2, len(pool), places)] = True
    by_score_K = np.flatnonzero(~taken_K)
    taken_K[by_score_K[: count - taken_K.sum()]] = True
    return order_K[taken_K]


def _pairs(group_N: np.ndarray | None) -> np.ndarray | None:
    """Rows of (position, group) where a group is known."""
    if group_N is None:
        return None
    known = np.flatnonzero(group_N != UNKNOWN)
    return np.stack([known, group_N[known]], axis=1)


def _dealt(
    order_K: np.ndarray, doubtful_K: np.ndarray, pairs_M2: np.ndarray, pool_size: int, places: int
) -> np.ndarray:
    """Places in the order that the groups get, one a group and turn."""
    place_N = np.full(pool_size, UNKNOWN, dtype=np.int64)
    place_N[order_K[doubtful_K]] = np.flatnonzero(doubtful_K)
    place_M, group_M = place_N[pairs_M2[:, 0]], pairs_M2[:, 1]
    place_M, group_M = place_M[place_M != UNKNOWN], group_M[place_M != UNKNOWN]
    by_group = np.lexsort((place_M, group_M))
    place_M, group_M = place_M[by_group], group_M[by_group]
    start_M = np.flatnonzero(np.r_[True, group_M[1:] != group_M[:-1]]) if group_M.size else group_M
    turn_M = np.arange(group_M.size) - np.repeat(start_M, np.diff(np.r_[start_M, group_M.size]))
    dealt_M = place_M[np.lexsort((place_M, turn_M))]
    _, first = np.unique(dealt_M, return_index=True)  # a recording of two groups takes one place
    return dealt_M[np.sort(first)[:places]]
