"""What a reader holds, what waits for them, and why nothing does."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.core.cache import cache
from django.db.models import Count, Exists, Max, OuterRef, Q, QuerySet
from django.urls import reverse
from django.utils.timezone import localtime

from annotator.models import Annotation, QueueItem, Recording, Round, Skip, User
from annotator.selectors import items
from annotator.selectors.reveal import reveal

State = QueueItem.State
# Counting a round of 100,000 items takes longer than all the rest of a claim; a progress bar may be this old.
COUNTS_AGE_S = 2


def held_items(reader: User) -> QuerySet[QueueItem]:
    """Return the items that a reader holds, first claimed first."""
    mine = QueueItem.objects.filter(claimed_by=reader, state=State.CLAIMED)
    return mine.select_related("round", "recording__waveform").order_by("claimed_at", "pk")


def describe(held: Iterable[QueueItem], reader: User) -> list[dict[str, Any]]:
    """Return held items as the desk shows them: blind until the round's reveal allows more."""
    held = list(held)
    known = items.begun(held, reader)
    return [_describe(item, *known[item.pk]) for item in held]


def _describe(item: QueueItem, first_done: bool, draft: dict[str, Any] | None) -> dict[str, Any]:
    policy = item.round.reveal
    shown = policy == Round.Reveal.AT_ONCE or (policy == Round.Reveal.AFTER_FIRST_READ and first_done)
    blind = policy == Round.Reveal.AFTER_FIRST_READ and not first_done
    return {
        "id": item.pk,
        "round": {"number": item.round.number, "reveal": policy, **round_counts(item.round_id)},
        "recording": describe_recording(item.recording),
        "stage": Annotation.Stage.FIRST if blind else Annotation.Stage.FINAL,
        "lease_until": item.lease_until,
        "draft": draft,
        "reveal": reveal(item) if shown else None,
    }


def describe_recording(recording: Recording) -> dict[str, Any]:
    """Return what may be known of a recording before it is read: no label, no text, no dataset, no record name."""
    waveform = recording.waveform
    return {
        "id": recording.pk,
        "pseudonym": str(recording),
        "age_years": recording.age_years,
        "sex": recording.sex,
        "sampling_rate_hz": waveform.sampling_rate_hz,
        "duration_s": waveform.duration_s,
        "lead_names": waveform.lead_names,
        "sample_count": waveform.sample_count,
        "scale_mv": waveform.scale_mv,
        "calibrated": waveform.calibrated,
        "quality": recording.quality,
        "measurements": recording.quality.get("measurements", {}),
        "waveform_url": reverse("api-waveform", args=[waveform.pk]),
    }


def round_counts(round_id: int) -> dict[str, int]:
    """Return how many items of a round are read, and of how many; up to two seconds old."""
    key = f"round-counts-{round_id}"
    counts = cache.get(key)
    if cache.add(f"{key}-fresh", True, COUNTS_AGE_S) or counts is None:  # one counts anew, others use the last count
        rows = QueueItem.objects.filter(round=round_id).exclude(state=State.WITHDRAWN)
        counts = rows.aggregate(read=Count("pk", filter=Q(state=State.ANSWERED)), total=Count("pk"))
        cache.set(key, counts)
    return counts


def worklist(reader: User) -> dict[str, Any]:
    """Return each open round with what waits for this reader, what they hold and did, and why nothing waits."""
    rounds = list(Round.objects.filter(state=Round.State.OPEN).order_by("number"))
    copies = QueueItem.objects.filter(round__in=rounds)
    mine = QueueItem.objects.filter(round=OuterRef("round"), recording=OuterRef("recording"), claimed_by=reader)
    passed = Skip.objects.filter(reader=reader, item__round=OuterRef("round"), item__recording=OuterRef("recording"))
    known = Annotation.objects.filter(recording=OuterRef("recording"), reader=reader)
    free = copies.filter(Q(reserved_for=None) | Q(reserved_for=reader), state=State.WAITING)
    free = free.filter(~Exists(mine), ~Exists(passed), ~Q(origin=QueueItem.Origin.CONTROL) | ~Exists(known))
    waiting = dict(free.values_list("round").annotate(n=Count("recording", distinct=True)).order_by())
    counts = {
        row["round"]: {name: value for name, value in row.items() if name != "round"}
        for row in copies.values("round")
        .annotate(
            total=Count("pk"),
            read=Count("pk", filter=Q(state=State.ANSWERED)),
            held=Count("pk", filter=Q(state=State.CLAIMED, claimed_by=reader)),
            answered=Count("pk", filter=Q(state=State.ANSWERED, claimed_by=reader)),
        )
        .order_by()
    }
    rows = [
        {"number": row.number, "reveal": row.reveal, "waiting": waiting.get(row.pk, 0)} | counts[row.pk]
        for row in rounds
    ]
    nothing = not any(row["waiting"] or row["held"] for row in rows)
    return {"rounds": rows, "why_nothing": why_nothing(reader) if nothing else ""}


def why_nothing(reader: User, held_max: int | None = None) -> str:
    """Say why a reader gets no further item: enough held, no open round, done, or held by others until a time."""
    mine = list(held_items(reader).only("recording_id", "round__number"))
    if held_max is not None and len(mine) >= held_max:
        names = ", ".join(f"R-{item.recording_id}" for item in mine)
        return f"You hold {names}, and {held_max} is the most one may hold. Answer, skip or give one back first."
    if not Round.objects.filter(state=Round.State.OPEN).exists():
        return "No round is open. An admin opens the next one."
    open_items = QueueItem.objects.filter(round__state=Round.State.OPEN)
    others = (
        open_items.filter(state=State.CLAIMED).exclude(claimed_by=reader).aggregate(last=Max("lease_until"))["last"]
    )
    done = "You have read or passed on all that waits."
    return f"{done} The rest is held by other readers until {_clock(others)}." if others else done


def _clock(moment: datetime) -> str:
    return f"{localtime(moment):%H:%M}"
