"""Whose eyes a waveform is for, and its first seconds."""

import re

import numpy as np
from django.conf import settings

from annotator.models import Adjudication, QueueItem, Role, User, Waveform
from ecgfm_core import waveform
from ecgfm_core.sketch import SECONDS_SHOWN

SHA256 = re.compile("[0-9a-f]{64}")


def first_seconds(stored: Waveform) -> np.ndarray:
    """Return the first ten seconds in millivolt, ``[lead, sample]``; refuses a damaged file."""
    samples = waveform.load(settings.WAVEFORM_DIR, stored.sha256, len(stored.lead_names), stored.sample_count)
    count = max(int(SECONDS_SHOWN * stored.sampling_rate_hz), 1)
    return waveform.to_millivolt(samples[:, :count], stored.scale_mv)


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
