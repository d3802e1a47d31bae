"""How a round's queue is ordered, in one plain sentence."""

from dataclasses import dataclass

from django.conf import settings
from django.utils import timezone

from annotator.models import Reranking, Round
from annotator.selectors.reranking import order
from annotator.services.reranking import refusal
from annotator.templatetags.manage_words import lasting


@dataclass(frozen=True)
class OrderWords:
    """What is said of the order of a queue, whether it may be made anew now, and whether it was."""

    words: str
    failure: str
    possible: bool
    renewed: bool


def order_words(round: Round) -> OrderWords | None:
    """Say when and why the queue was last put into a new order; None where nothing was, and nothing will be."""
    found, why_not = order(round), refusal(round)
    if why_not and found.last is None:
        return None
    parts = [_last(found.last) if found.last else "As it was filled."]
    if found.coming:
        parts.append("A new order is being made.")
    elif not why_not:
        parts.append(_next())
    return OrderWords(" ".join(parts), found.failure, not why_not and not found.coming, found.last is not None)


def _last(run: Reranking) -> str:
    ago = lasting((timezone.now() - (run.finished_at or run.created_at)).total_seconds())
    after = f"after {run.fresh:,} correction{'' if run.fresh == 1 else 's'}"
    new = f", {run.replaced:,} of them new to the queue" if run.replaced else ""
    moved = f"{run.moved:,} of {run.waiting:,} waiting recordings moved{new}"
    return f"Re-ordered {ago} ago {after}: {moved} ({run.took_s:.1f} s)."


def _next() -> str:
    needed = settings.RERANK_AFTER_CORRECTIONS
    return f"Anew after each {needed:,} corrections." if needed else "Anew when asked for."
