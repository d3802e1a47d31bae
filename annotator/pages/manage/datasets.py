"""Datasets, imports from the server's folder or an upload, and their reports."""

import csv
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.forms import Form
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import get_object_or_404, redirect, resolve_url
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_POST

from annotator.models import ImportRun
from annotator.pages.manage.base import AdminRequest, action, admin_page, attempt, page, paged, words
from annotator.pages.manage.forms import ImportForm, UploadForm
from annotator.selectors import manage
from annotator.selectors.loop import datasets_with_counts
from annotator.services import ingest, job_state


@admin_page
@ensure_csrf_cookie
def datasets(request: AdminRequest) -> HttpResponseBase:
    """List datasets and imports; POST imports from the server's import folder."""
    form = ImportForm(request.POST) if request.method == "POST" else ImportForm(initial=request.GET.dict())
    if request.method == "POST" and (run := attempt(form, ingest.start_import, by=request.user)):
        messages.success(request, f"The import into {run.dataset} is queued.")
        return redirect("manage-import", pk=run.pk)
    return _render(request, form, UploadForm())


def _render(request: HttpRequest, form: Form, upload: Form) -> HttpResponse:
    context = {
        "datasets": datasets_with_counts(),
        "runs": paged(request, manage.import_runs()),
        "importables": manage.importables(),
        "form": upload if upload.is_bound else form,
        "import_form": form,
        "upload_form": upload,
        "upload_limit_mb": settings.UPLOAD_LIMIT_MB,
    }
    return page(request, "datasets", context)


@admin_page
@require_POST
def upload(request: AdminRequest) -> HttpResponseBase:
    """Take an uploaded zip file and queue its import; a script asks for JSON, a plain form for a page."""
    form = UploadForm(request.POST, request.FILES)
    run = attempt(form, _import_upload, by=request.user)
    if not request.accepts("text/html"):
        if run is None:
            return JsonResponse({"error": "invalid", "message": words(form)}, status=400)
        return JsonResponse({"url": resolve_url("manage-import", pk=run.pk)}, status=201)
    return redirect("manage-import", pk=run.pk) if run else _render(request, ImportForm(), form)


def _import_upload(*, file: Any, dataset_name: str, by: Any) -> ImportRun:
    path = ingest.store_upload(name=file.name, chunks=file.chunks(), by=by)
    return ingest.start_import(path=path, dataset_name=dataset_name, by=by)


@admin_page
def import_run(request: HttpRequest, pk: int) -> HttpResponse:
    """One import: progress, then what was added, unchanged and refused by name with its reason."""
    run = get_object_or_404(manage.import_runs(), pk=pk)
    return page(request, "import_run", {"run": run, "issues": paged(request, manage.issues(run))})


@admin_page
def issues_csv(request: HttpRequest, pk: int) -> HttpResponse:  # noqa: ARG001
    """Every refusal and remark of an import as CSV."""
    run = get_object_or_404(ImportRun, pk=pk)
    response = HttpResponse(content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="import-{run.pk}-report.csv"'
    out = csv.writer(response)
    out.writerow(["record", "refused", "reason"])
    for issue in manage.issues(run).iterator():
        out.writerow([safe_cell(issue.record_name), "yes" if issue.refused else "no", safe_cell(issue.reason)])
    return response


def safe_cell(text: str) -> str:
    """Return a cell that no spreadsheet takes for a formula: names come from files of others."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


@action("manage-import/")
def cancel_import(request: HttpRequest, pk: int) -> str:  # noqa: ARG001
    """Stop an import; what is in stays in."""
    job_state.request_cancel(get_object_or_404(ImportRun, pk=pk))
    return "The import stops after the batch it is in. What was added stays; importing again goes on from there."
