"""Intervals of shares."""

from math import sqrt

Z_95 = 1.959963984540054


def wilson(part: int, whole: int) -> list[float] | None:
    """Give the 95 % interval of a share, which stays within 0 and 1 and is sound for small counts.

    Parameters
    ----------
    part, whole : counts, ``0 <= part <= whole``

    Returns
    -------
    list of float or None
        Low and high end; None of nothing.

    Notes
    -----
    Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927).
    """
    if not whole:
        return None
    share, z2 = part / whole, Z_95**2
    centre = (share + z2 / (2 * whole)) / (1 + z2 / whole)
    half = Z_95 / (1 + z2 / whole) * sqrt(share * (1 - share) / whole + z2 / (4 * whole**2))
    return [max(0.0, centre - half), min(1.0, centre + half)]
