"""Rounds: plan, fill, open, follow, close, report."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect

from annotator.models import Checkpoint, Round
from annotator.pages.manage.base import AdminRequest, action, admin_page, attempt, page, paged
from annotator.pages.manage.forms import RoundForm
from annotator.pages.manage.known_answers import panel
from annotator.pages.manage.ordering import order_words
from annotator.pages.manage.report import report_sections
from annotator.pages.manage.stopping import stop_words
from annotator.pages.manage.test_figures import test_figures
from annotator.selectors import manage, scores
from annotator.selectors import rounds as selectors
from annotator.selectors.model_metrics import before_and_after
from annotator.selectors.progress import progress
from annotator.services import reranking
from annotator.services import rounds as service
from ecgfm_core.active import meanings


@admin_page
def rounds(request: AdminRequest) -> HttpResponseBase:
    """List rounds; POST plans one."""
    current = Checkpoint.objects.filter(state=Checkpoint.State.CURRENT).first()
    form = RoundForm(request.POST or None, initial={"checkpoint": current})
    if request.method == "POST" and (row := attempt(form, service.create_round, by=request.user)):
        messages.success(request, f"Round {row.number} is planned. Fill its queue next.")
        return redirect("manage-round", pk=row.pk)
    return page(request, "rounds", {"form": form, "rounds": paged(request, selectors.rounds()), **panel()})


@admin_page
def round_(request: HttpRequest, pk: int) -> HttpResponse:
    """One round: its plan, progress, first items and report."""
    row = get_object_or_404(Round.objects.select_related("checkpoint", "created_by"), pk=pk)
    context = {
        "round": row,
        "progress": progress(row),
        **_first_items(row),
        "meanings": meanings.SCORES,
        "report": report_sections(row.report, row.estimate),
        "stop": stop_words(row.estimate),
        "order": order_words(row),
        "test_figures": test_figures(*before_and_after(row)) if row.report else None,
    }
    return page(request, "round", context)


def _first_items(row: Round) -> dict[str, Any]:
    """Return what a page shows of the first items: each with its scores, and which scores there are."""
    items = list(manage.first_items(row))
    found = scores.listed(row, [item.recording_id for item in items])
    return {
        "scored": [(item, found.get(item.recording_id, {})) for item in items],
        "listed": scores.LISTED if found else (),
    }


@action("manage-round/")
def fill(request: AdminRequest, pk: int) -> str:
    """Have the queue of a round filled."""
    service.request_fill(round=get_object_or_404(Round, pk=pk), by=request.user)
    return "The queue is being filled."


@action("manage-round/")
def open_(request: AdminRequest, pk: int) -> str:
    """Let readers claim the items of a round."""
    service.open_round(round=get_object_or_404(Round, pk=pk), by=request.user)
    return "The round is open: readers can claim its items."


@action("manage-round/")
def reorder(request: AdminRequest, pk: int) -> str:
    """Have what waits in an open round put into a new order."""
    reranking.request(round=get_object_or_404(Round, pk=pk), by=request.user)
    return "A new order is being made."


@action("manage-round/")
def close(request: AdminRequest, pk: int) -> str:
    """Withdraw what is not answered and write the report."""
    service.close_round(round=get_object_or_404(Round, pk=pk), by=request.user)
    return "The round is closed; its report stands below."
