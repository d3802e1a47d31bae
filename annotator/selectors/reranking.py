"""What the pages ask of a round's re-orderings."""

from dataclasses import dataclass

from annotator.models import Reranking, Round
from annotator.models.jobs import JobState


@dataclass(frozen=True)
class Order:
    """The newest order of a round's queue, the one that is being made, and what went wrong."""

    last: Reranking | None
    coming: Reranking | None
    failure: str


def order(round: Round) -> Order:
    """Return where the order of a round's queue stands."""
    runs = Reranking.objects.filter(round=round).order_by("-pk")
    newest = runs.first()
    coming = runs.filter(state__in=[JobState.RUNNING, JobState.QUEUED]).order_by("state").last()
    failure = newest.failure if newest and newest.state == JobState.FAILED else ""
    return Order(runs.filter(state=JobState.FINISHED).first(), coming, failure)
