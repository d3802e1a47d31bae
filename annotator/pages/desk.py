"""Pages of readers and adjudicators. The desk and the adjudication carry no data: their scripts ask the API."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.csrf import ensure_csrf_cookie

from annotator.models import Adjudication, Role, User
from annotator.permissions import page_roles
from annotator.selectors import readings, worklists
from annotator.services import reviews

# Where everyone but a reader, whose worklist is the front page, starts from.
HOME = {Role.ADJUDICATOR: "adjudications", Role.ADMIN: "manage", Role.RESEARCHER: "releases", Role.SENDER: "tokens"}
SETTLED_SHOWN = 20


def person(request: HttpRequest) -> User:
    """Return the person who asks; `page_roles` has made sure that there is one."""
    assert isinstance(request.user, User)
    return request.user


@page_roles(*Role)
def worklist(request: HttpRequest) -> HttpResponse:
    """What waits for a reader; everyone else is sent to the page they start from."""
    reader = person(request)
    if home := HOME.get(Role(reader.role)):
        return redirect(home)
    return render(request, "worklist.html", worklists.worklist(reader))


@page_roles(Role.READER)
@ensure_csrf_cookie
def desk(request: HttpRequest) -> HttpResponse:
    """The desk: the sheet and the reading."""
    return render(request, "desk.html")


@page_roles(Role.ADJUDICATOR)
def adjudications(request: HttpRequest) -> HttpResponse:
    """Disagreements that wait for this adjudicator, and what was settled last."""
    mine = reviews.open_to(person(request)).values("pk")
    rows = readings.adjudications()
    waiting = rows.exclude(state=Adjudication.State.SETTLED).filter(pk__in=mine)
    settled = rows.filter(state=Adjudication.State.SETTLED).order_by("-settled_at")[:SETTLED_SHOWN]
    return render(request, "adjudications.html", {"waiting": waiting, "settled": settled})


@page_roles(Role.ADJUDICATOR)
@ensure_csrf_cookie
def adjudication(request: HttpRequest, pk: int) -> HttpResponse:
    """One disagreement: the answers side by side on one sheet."""
    return render(request, "adjudication.html", {"pk": pk})
