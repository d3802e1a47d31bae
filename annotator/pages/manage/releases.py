"""Curated releases: ask for one, follow it, download it."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect

from annotator.models import CuratedRelease
from annotator.pages.manage.base import AdminRequest, action, admin_page, attempt, page, paged
from annotator.pages.manage.forms import ReleaseForm
from annotator.selectors import manage
from annotator.services import job_state
from annotator.services import releases as service


@admin_page
def releases(request: AdminRequest) -> HttpResponseBase:
    """List releases; POST asks for one."""
    form = ReleaseForm(request.POST or None)
    if request.method == "POST" and (row := attempt(form, service.start_release, by=request.user)):
        messages.success(request, f"Release {row.number} is queued.")
        return redirect("manage-release", number=row.number)
    return page(request, "releases", {"form": form, "releases": paged(request, manage.releases())})


@admin_page
def release(request: HttpRequest, number: int) -> HttpResponse:
    """One release: progress, counts, checksum, downloads."""
    return page(request, "release", {"release": get_object_or_404(manage.releases(), number=number)})


@action("manage-release/")
def cancel_release(request: HttpRequest, number: int) -> str:  # noqa: ARG001
    """Stop the building of a release; its number stays used."""
    job_state.request_cancel(get_object_or_404(CuratedRelease, number=number))
    return "The release is being stopped."
