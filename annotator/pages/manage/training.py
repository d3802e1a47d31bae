"""Training runs: start, follow, cancel."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect

from annotator.models import TrainingRun
from annotator.pages.manage.base import AdminRequest, action, admin_page, attempt, page, paged
from annotator.pages.manage.forms import TrainingForm
from annotator.selectors import loop, manage
from annotator.services import checkpoints
from ecgfm_core import configs


@admin_page
def training(request: AdminRequest) -> HttpResponseBase:
    """List training runs; POST starts one."""
    form = TrainingForm(request.POST or None)
    if request.method == "POST" and (run := attempt(form, checkpoints.start_training, by=request.user)):
        messages.success(request, f"Training run {run.pk} is queued.")
        return redirect("manage-training-run", pk=run.pk)
    runs = paged(request, manage.training_runs())
    corrections = loop.corrections_since_training()
    context = {"form": form, "configs": configs.describe(), "runs": runs, "corrections": corrections}
    return page(request, "training", context)


@admin_page
def training_run(request: HttpRequest, pk: int) -> HttpResponse:
    """One training run: progress, curves, provenance, log."""
    run = get_object_or_404(TrainingRun.objects.select_related("checkpoint", "created_by", "scheme"), pk=pk)
    return page(request, "training_run", {"run": run, "curves": manage.curves(run)})


@action("manage-training-run/")
def cancel_training(request: AdminRequest, pk: int) -> str:
    """Stop a training run after its current step."""
    checkpoints.cancel_training(run=get_object_or_404(TrainingRun, pk=pk), by=request.user)
    return f"Training run {pk} stops after its current step."
