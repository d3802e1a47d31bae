"""Shares with their intervals, and agreement beyond chance."""

from collections import Counter
from collections.abc import Sequence
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


def share(part: int, whole: int) -> dict[str, Any]:
    """Return a share with its counts and its interval."""
    return {"count": part, "of": whole, "share": part / whole if whole else None, "interval_95": wilson(part, whole)}
