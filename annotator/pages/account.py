"""What a person keeps for programs of their own: API tokens and curated releases."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.csrf import ensure_csrf_cookie

from annotator.models import CuratedRelease, Role
from annotator.models.jobs import JobState
from annotator.permissions import page_roles


@page_roles(*Role)
@ensure_csrf_cookie
def tokens(request: HttpRequest) -> HttpResponse:
    """API tokens: create, see once, delete."""
    return render(request, "tokens.html")


@page_roles(Role.RESEARCHER, Role.ADMIN)
def releases(request: HttpRequest) -> HttpResponse:
    """Curated releases to download."""
    finished = CuratedRelease.objects.filter(state=JobState.FINISHED).prefetch_related("datasets").order_by("-number")
    return render(request, "releases.html", {"releases": finished})
