"""Pages of readers and adjudicators. They carry no data of their own: the scripts ask the API."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.csrf import ensure_csrf_cookie

from annotator.models import Role
from annotator.permissions import page_roles

# Where everyone but a reader, whose worklist is the front page, starts from.
HOME = {Role.ADJUDICATOR: "adjudications", Role.ADMIN: "manage-datasets", Role.RESEARCHER: "releases"}


@page_roles(*Role)
def worklist(request: HttpRequest) -> HttpResponse:
    """What waits for a reader; everyone else is sent to the page they start from."""
    home = HOME.get(Role(request.user.role))  # type: ignore[union-attr]
    return redirect(home) if home else render(request, "worklist.html")


@page_roles(Role.READER)
@ensure_csrf_cookie
def desk(request: HttpRequest) -> HttpResponse:
    """The desk: the sheet and the reading."""
    return render(request, "desk.html")


@page_roles(Role.ADJUDICATOR)
def adjudications(request: HttpRequest) -> HttpResponse:
    """Disagreements that wait for an adjudicator."""
    return render(request, "adjudications.html")


@page_roles(Role.ADJUDICATOR)
@ensure_csrf_cookie
def adjudication(request: HttpRequest, pk: int) -> HttpResponse:
    """One disagreement: the answers side by side on one sheet."""
    return render(request, "adjudication.html", {"pk": pk})
