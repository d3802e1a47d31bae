"""Rounds as the API and the pages show them."""

from django.db.models import Count, Q, QuerySet

from annotator.errors import NotFound
from annotator.models import QueueItem, Round


def rounds() -> QuerySet[Round]:
    """Return all rounds, the newest first, with `item_count`, `answered_count`, `waiting_count`."""
    state = QueueItem.State
    return (
        Round.objects.annotate(
            item_count=Count("items"),
            answered_count=Count("items", filter=Q(items__state=state.ANSWERED)),
            waiting_count=Count("items", filter=Q(items__state__in=[state.WAITING, state.CLAIMED])),
        )
        .prefetch_related("datasets")
        .order_by("-number")
    )


def round_by_id(pk: int) -> Round:
    """Return one round; refuses an unknown id."""
    found = rounds().filter(pk=pk).first()
    if found is None:
        raise NotFound(f"There is no round with id {pk}.")
    return found
