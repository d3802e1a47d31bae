"""Recordings that can't be read: what is wrong with them, where they come from, and an admin's word on each."""

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404

from annotator.models import QualityDecision, Recording
from annotator.pages.manage.base import AdminRequest, action, admin_page, page, paged
from annotator.selectors import quality as selectors
from annotator.selectors import waveforms
from annotator.services import quality as service
from ecgfm_core.errors import FormatError
from ecgfm_core.signal.quality import VERSION
from ecgfm_core.sketch import sketch


@admin_page
def unreadable(request: HttpRequest) -> HttpResponse:
    """List what waits for a decision, or with `?confirmed=1` what an admin confirmed."""
    confirmed = request.GET.get("confirmed") == "1"
    rows = selectors.unreadable()
    shown = paged(request, rows.filter(quality_decision__readable=False) if confirmed else selectors.undecided(rows))
    context: dict[str, Any] = {
        "rows": shown,
        "described": [(row, selectors.findings(row), selectors.said_by(row)) for row in shown],
        "confirmed": confirmed,
        "centres": selectors.centres(),
        "decided_count": QualityDecision.objects.filter(readable=False).count(),
        "earlier_count": selectors.checked_earlier().count(),
        "version": VERSION,
    }
    return page(request, "unreadable", context)


@admin_page
def sheet(request: HttpRequest, pk: int) -> HttpResponse:  # noqa: ARG001
    """Draw a recording small."""
    row = get_object_or_404(Recording.objects.select_related("waveform"), pk=pk)
    stored = row.waveform
    try:
        first_mv = waveforms.first_seconds(stored)
    except FormatError as error:
        raise Http404(str(error)) from None
    drawn = sketch(first_mv, stored.sampling_rate_hz, stored.lead_names, stored.calibrated)
    response = HttpResponse(drawn, content_type="image/svg+xml")
    response["Cache-Control"] = "private, max-age=86400"
    return response


@action("manage-unreadable")
def put_back(request: AdminRequest, pk: int) -> str:
    """Put a recording back into the pool."""
    row = get_object_or_404(Recording, pk=pk)
    service.decide(recording=row, readable=True, by=request.user)
    return f"{row} is in the pool again; the next round may choose it."


@action("manage-unreadable")
def confirm(request: AdminRequest, pk: int) -> str:
    """Confirm that a recording can't be read."""
    row = get_object_or_404(Recording, pk=pk)
    service.decide(recording=row, readable=False, by=request.user)
    return f"{row} stays out of the pool. What waited of it has left the queue."
