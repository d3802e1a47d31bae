"""Rounds: plan, fill, open, follow, close, report."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect

from annotator.models import Checkpoint, Round
from annotator.pages.manage.base import AdminRequest, action, admin_page, attempt, page, paged
from annotator.pages.manage.forms import RoundForm
from annotator.pages.manage.report import report_lines
from annotator.selectors import manage
from annotator.selectors import rounds as selectors
from annotator.selectors.progress import progress
from annotator.services import rounds as service


@admin_page
def rounds(request: AdminRequest) -> HttpResponseBase:
    """List rounds; POST plans one."""
    current = Checkpoint.objects.filter(state=Checkpoint.State.CURRENT).first()
    form = RoundForm(request.POST or None, initial={"checkpoint": current})
    if request.method == "POST" and (row := attempt(form, service.create_round, by=request.user)):
        messages.success(request, f"Round {row.number} is planned. Fill its queue next.")
        return redirect("manage-round", pk=row.pk)
    return page(request, "rounds", {"form": form, "rounds": paged(request, selectors.rounds())})


@admin_page
def round_(request: HttpRequest, pk: int) -> HttpResponse:
    """One round: its plan, progress, first items and report."""
    row = get_object_or_404(Round.objects.select_related("checkpoint", "created_by"), pk=pk)
    context = {
        "round": row,
        "progress": progress(row),
        "items": manage.first_items(row),
        "report": report_lines(row.report),
    }
    return page(request, "round", context)


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
def close(request: AdminRequest, pk: int) -> str:
    """Withdraw what is not answered and write the report."""
    service.close_round(round=get_object_or_404(Round, pk=pk), by=request.user)
    return "The round is closed; its report stands below."
