"""Checkpoints: compare, score, promote, go back."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404

from annotator.models import Checkpoint
from annotator.pages.manage.base import AdminRequest, action, admin_page, page
from annotator.pages.manage.compare import compared
from annotator.selectors import manage
from annotator.services import checkpoints as service


@admin_page
def checkpoints(request: HttpRequest) -> HttpResponse:
    """The checkpoints beside the current one."""
    names, rows = compared(list(manage.checkpoints()))
    context = {
        "metric_names": names,
        "rows": rows,
        "can_go_back": manage.can_go_back(),
        "scoring": manage.scoring_runs(),
        "datasets": manage.datasets(),
    }
    return page(request, "checkpoints", context)


@action("manage-checkpoints")
def promote(request: AdminRequest, pk: int) -> str:
    """Make a checkpoint the current one."""
    service.promote(checkpoint=get_object_or_404(Checkpoint, pk=pk), by=request.user)
    return f"Checkpoint {pk} is current: new rounds use its scores."


@action("manage-checkpoints")
def go_back(request: AdminRequest) -> str:
    """Make the previous checkpoint the current one again."""
    return f"{service.go_back(by=request.user)} is current again."


@action("manage-checkpoints")
def score(request: AdminRequest, pk: int) -> str:
    """Score datasets with a checkpoint."""
    ids = [int(value) for value in request.POST.getlist("dataset_ids") if value.isdecimal()]
    service.start_scoring(checkpoint=get_object_or_404(Checkpoint, pk=pk), dataset_ids=ids, by=request.user)
    return f"Checkpoint {pk} is queued to score."
