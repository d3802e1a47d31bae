"""What a round may repeat, and what it may take as a control."""

from collections import defaultdict

from django.db.models import Exists, OuterRef, QuerySet

from annotator.models import Annotation, Consensus, KnownAnswer, QueueItem, Role, Round, User
from annotator.models.annotations import Overall
from annotator.selectors import training_pool
from annotator.selectors.candidates import readable

KNOWN_BY = (Consensus.Source.AGREEMENT, Consensus.Source.ADJUDICATION)


def readers() -> QuerySet[User]:
    """Return those who can be asked to read."""
    return User.objects.filter(role=Role.READER, is_active=True)


def own_readings(round_: Round) -> dict[int, list[int]]:
    """Return the recordings that each reader answered in closed rounds and has not repeated yet, by reader."""
    answered = QueueItem.objects.filter(
        state=QueueItem.State.ANSWERED, round__state=Round.State.CLOSED, round__number__lt=round_.number,
        claimed_by__in=readers(), recording__in=readable(round_),
    )  # fmt: skip
    repeated = answered.filter(
        origin=QueueItem.Origin.REPEAT, recording=OuterRef("recording"), claimed_by=OuterRef("claimed_by")
    )
    found: defaultdict[int, list[int]] = defaultdict(list)
    rows = answered.filter(~Exists(repeated), origin__in=QueueItem.COUNTED)
    for reader, recording in rows.values_list("claimed_by", "recording").order_by().distinct():
        found[reader].append(recording)
    return dict(found)


def known_answers(round_: Round) -> list[int]:
    """Return the recordings with a known answer that some reader has not read.

    Known is what readers agreed on, what an adjudicator settled, and what an admin vouches for.
    """
    settled = Consensus.objects.filter(pk__in=training_pool.newest_consensus(readable(round_)).values("pk"))
    known = settled.filter(source__in=KNOWN_BY).values("recording").union(KnownAnswer.objects.values("recording"))
    unreadable = settled.filter(overall=Overall.UNREADABLE, recording=OuterRef("pk"))
    read = Annotation.objects.filter(recording=OuterRef(OuterRef("pk")), reader=OuterRef("pk"))
    rows = readable(round_).filter(~Exists(unreadable), Exists(readers().filter(~Exists(read))), pk__in=known)
    return list(rows.values_list("pk", flat=True))


def vouched_for() -> QuerySet[KnownAnswer]:
    """Return the recordings that admins vouch for, the newest first."""
    return KnownAnswer.objects.select_related("recording__dataset", "marked_by").order_by("-pk")
