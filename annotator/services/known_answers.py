"""Recordings whose labels an admin vouches for, so that they may serve as controls."""

from django.db import transaction

from annotator.errors import InvalidInput, NotFound
from annotator.models import Consensus, KnownAnswer, Recording, User
from annotator.models.annotations import Overall
from annotator.services import audit


@transaction.atomic
def vouch(*, recording_id: int, by: User) -> KnownAnswer:
    """Mark what holds for a recording as known; refuses one of which nothing is, or that is unreadable."""
    recording = Recording.objects.filter(pk=recording_id).first()
    if recording is None:
        raise NotFound(f"There is no recording {recording_id}.")
    settled = Consensus.objects.filter(recording=recording).order_by("-pk").first()
    holds = settled.overall != Overall.UNREADABLE if settled else recording.source_abnormal is not None
    if not holds:
        raise InvalidInput(f"{recording} is unreadable or has no label; there is no answer to know. Choose another.")
    known, made = KnownAnswer.objects.get_or_create(recording=recording, defaults={"marked_by": by})
    if made:
        audit.record(actor=by, action="answer vouched for", target=recording)
    return known


@transaction.atomic
def withdraw(*, recording_id: int, by: User) -> None:
    """Take the mark away; nothing happens where there is none."""
    count, _ = KnownAnswer.objects.filter(recording=recording_id).delete()
    if count:
        audit.record(actor=by, action="answer no longer vouched for", target=f"recording {recording_id}")
