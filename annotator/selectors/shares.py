"""Shares with their intervals, and agreement beyond chance."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from ecgfm_core.intervals import wilson


def cohen_kappa(pairs: Sequence[tuple[str, str]]) -> float | None:
    """Return Cohen's kappa of two raters' words; None without pairs, or where chance alone would always agree."""
    if not pairs:
        return None
    observed = sum(first == second for first, second in pairs) / len(pairs)
    firsts, seconds = Counter(first for first, _ in pairs), Counter(second for _, second in pairs)
    expected = sum(firsts[word] * seconds[word] for word in firsts) / len(pairs) ** 2
    return None if expected == 1 else (observed - expected) / (1 - expected)


def krippendorff_alpha(units: Iterable[Sequence[str]]) -> float | None:
    """Return Krippendorff's alpha of words that any number of raters gave to each unit; None where it is not defined.

    Units with fewer than two words count for nothing (Hayes and Krippendorff, Commun Methods Meas 1 (2007)).
    """
    rated = [Counter(words) for words in units if len(words) > 1]
    totals: Counter[str] = sum(rated, Counter())
    count = totals.total()
    expected = sum(n * (count - n) for n in totals.values())
    if not expected:
        return None
    differing = sum(sum(n * (words.total() - n) for n in words.values()) / (words.total() - 1) for words in rated)
    return 1 - (count - 1) * differing / expected


def share(part: int, whole: int) -> dict[str, Any]:
    """Return a share with its counts and its interval."""
    return {"count": part, "of": whole, "share": part / whole if whole else None, "interval_95": wilson(part, whole)}
