"""Live numbers of a round while it is read."""

from typing import Any

from django.db.models import Count, Max, Q

from annotator.models import Adjudication, Consensus, QueueItem, Round
from annotator.selectors.agreement import newest_consensus
from annotator.selectors.shares import share

State = QueueItem.State


def progress(round: Round) -> dict[str, Any]:
    """Return a round's items by state, corrections, adjudications and its readers, in five queries."""
    items = QueueItem.objects.filter(round=round)
    counts = items.aggregate(
        total=Count("pk"),
        last_answer_at=Max("answered_at"),
        **{state: Count("pk", filter=Q(state=state)) for state in State},
    )
    consensus = newest_consensus(round)
    adjudications = Adjudication.objects.filter(round=round).values_list("state").annotate(n=Count("pk")).order_by()
    by_reader = (
        items.filter(claimed_by__isnull=False)
        .values("claimed_by__username")
        .annotate(
            answered=Count("pk", filter=Q(state=State.ANSWERED)),
            held=Count("pk", filter=Q(state=State.CLAIMED)),
            last_answer_at=Max("answered_at"),
        )
        .order_by("claimed_by__username")
    )
    return {
        "items": counts,
        "concluded": len(consensus),
        "corrections": share(sum(row.corrects for row in consensus), len(consensus)),
        "adjudications": dict.fromkeys(Adjudication.State.values, 0) | dict(adjudications),
        "readers": [
            {
                "reader": row["claimed_by__username"],
                "answered": row["answered"],
                "held": row["held"],
                "last_answer_at": row["last_answer_at"],
            }
            for row in by_reader
        ],
    }


def corrections(round: Round) -> list[Consensus]:
    """Return the newest consensus of each recording that this round corrected, the last first."""
    pks = [row.pk for row in newest_consensus(round) if row.corrects]
    return list(Consensus.objects.filter(pk__in=pks).select_related("recording").order_by("-pk"))
