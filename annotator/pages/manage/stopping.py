"""When to stop, in one plain sentence."""

from dataclasses import dataclass
from typing import Any

PAYS_MIN = 5  # wrong labels put right in 100 reads; with fewer the hint says that reading hardly pays


@dataclass(frozen=True)
class StopWords:
    """What is left to find, for the chief of cardiology, and a hint where reading on pays no more."""

    words: str
    hint: str = ""


def stop_words(estimate: dict[str, Any]) -> StopWords | None:
    """Say what is left to find and what the next reads will yield; None before anything was estimated."""
    if not estimate:
        return None
    return StopWords(" ".join(filter(None, (_left(estimate), _coming(estimate)))), _hint(estimate))


def _left(estimate: dict[str, Any]) -> str:
    if not estimate["audit"]["read"]:
        return "No recording of the audit share was read: how many labels are still wrong is not known."
    value, low, high = estimate["remaining"]
    unread = f"{estimate['unread']:,} unread labels"
    return f"About {value:,.0f} of {unread} are still wrong (95 % {low:,.0f} to {high:,.0f})."


def _coming(estimate: dict[str, Any]) -> str:
    by_chance = estimate["random"][0] if estimate["random"] else None
    if not estimate["next"]:
        return "" if by_chance is None else f"The next 100 reads at random would correct about {by_chance:,.0f}."
    value, low, high = estimate["next"]
    reads = estimate["next_reads"]
    words = f"The next {reads} reads would correct about {value:,.0f} ({low:,.0f} to {high:,.0f})"
    return f"{words}." if by_chance is None else f"{words}; random reading {by_chance * reads / 100:,.0f}."


def _hint(estimate: dict[str, Any]) -> str:
    if not estimate["next"]:
        return ""
    rate = 100 / estimate["next_reads"]
    value = rate * estimate["next"][0]
    if value < PAYS_MIN:
        return f"Reading on hardly pays: fewer than {PAYS_MIN} of 100 reads would put a label right."
    if estimate["random"] and value <= 1.2 * estimate["random"][0]:
        return "The scores find no more than random reading does: train and score anew before the next round."
    return ""
