"""Whose eyes a waveform is for."""

import re

from annotator.models import Adjudication, QueueItem, Role, User, Waveform

SHA256 = re.compile("[0-9a-f]{64}")


def visible(user: User, sha256: str) -> Waveform | None:
    """Return a waveform if this person may see it: readers what they claim or answered, adjudicators disagreements."""
    if not SHA256.fullmatch(sha256):
        return None
    found = Waveform.objects.filter(pk=sha256)
    if user.role == Role.READER:
        states = (QueueItem.State.CLAIMED, QueueItem.State.ANSWERED)
        mine = QueueItem.objects.filter(recording__waveform=sha256, claimed_by=user, state__in=states)
        found = found if mine.exists() else found.none()
    elif user.role == Role.ADJUDICATOR:
        found = found if Adjudication.objects.filter(recording__waveform=sha256).exists() else found.none()
    elif user.role != Role.ADMIN:
        found = found.none()
    return found.first()
