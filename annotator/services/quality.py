"""Decisions on unreadable recordings, and checking again what an older gate has checked."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from annotator.models import QualityDecision, QueueItem, Recording, User
from annotator.selectors import quality as selectors
from annotator.services import audit
from ecgfm_core import measurements, waveform
from ecgfm_core.errors import FormatError
from ecgfm_core.signal import quality

BATCH = 200


@transaction.atomic
def decide(*, recording: Recording, readable: bool, by: User) -> QualityDecision:
    """Put a recording back into the pool, or confirm that it is unreadable: what waits of it leaves the queue."""
    decision, _ = QualityDecision.objects.update_or_create(
        recording=recording,
        defaults={"readable": readable, "decided_by": by, "decided_at": timezone.now()},
    )
    withdrawn = 0
    if not readable:
        waiting = QueueItem.objects.filter(recording=recording, state=QueueItem.State.WAITING)
        withdrawn = waiting.update(state=QueueItem.State.WITHDRAWN, lapsed_from=None)
    action = "put back into the pool" if readable else "confirmed unreadable"
    audit.record(actor=by, action=action, target=recording, withdrawn=withdrawn, gate=recording.quality.get("score"))
    return decision


def check_again(
    *, everything: bool = False, batch: int = BATCH, on_progress: Callable[[int, int], None] | None = None
) -> list[str]:
    """Judge the recordings that an older gate has checked, a batch a transaction; return what could not be read.

    Stopped at any time it goes on with the rest: each recording keeps the version that checked it.
    """
    rows = Recording.objects.order_by("pk") if everything else selectors.checked_earlier()
    total, done, last, refused = rows.count(), 0, 0, []
    while some := list(rows.filter(pk__gt=last).select_related("waveform")[:batch]):
        last = some[-1].pk
        refused += _check(some)
        done += len(some)
        if on_progress:
            on_progress(done, total)
    return refused


def _check(rows: Iterable[Recording]) -> list[str]:
    changed, refused = [], []
    for row in rows:
        try:
            row.quality = found(row)
        except FormatError as error:
            refused.append(f"{row} ({row.name}): {error}")
        else:
            changed.append(row)
    Recording.objects.bulk_update(changed, ["quality"])
    return refused


def found(row: Recording) -> dict[str, object]:
    """Return what the gate and the measurements find in a stored recording; raises FormatError where it is damaged."""
    stored = row.waveform
    samples = waveform.load(settings.WAVEFORM_DIR, stored.sha256, len(stored.lead_names), stored.sample_count)
    leads_mv = waveform.to_millivolt(samples, stored.scale_mv)
    return judge(leads_mv, stored.sampling_rate_hz, stored.lead_names, stored.calibrated)


def judge(leads_mv: np.ndarray, rate_hz: float, lead_names: Sequence[str], calibrated: bool) -> dict[str, Any]:
    """Return what is stored as the quality of a recording: the gate's findings and the measurements."""
    measured = measurements.measure(leads_mv, rate_hz, lead_names)
    return quality.assess(leads_mv, rate_hz, lead_names, calibrated) | {"measurements": measured}
