"""Prospective tests: start, follow, have arrivals read, end. Researchers see the figures, and no file's name."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect

from annotator.errors import InvalidInput
from annotator.models import Checkpoint, ProspectiveTest, Role
from annotator.pages.manage.base import AdminRequest, action, attempt, page, paged, words
from annotator.pages.manage.forms import ProspectiveForm, ReadingForm
from annotator.permissions import page_roles
from annotator.selectors import prospective as selectors
from annotator.services import arrivals
from annotator.services import prospective as service
from ecgfm_core.prospective import DRIFT_ALPHA, PAPER, POSITIVES_MIN

REFUSED_SHOWN = 100


def reading_page(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """Decorate a page that admins and researchers see, and where admins alone act."""

    @wraps(view)
    def guarded(request: AdminRequest, **ids: int) -> HttpResponseBase:
        if request.method == "POST" and request.user.role != Role.ADMIN:
            raise PermissionDenied
        return view(request, **ids)

    return page_roles(Role.ADMIN, Role.RESEARCHER)(guarded)


@reading_page
def prospective(request: AdminRequest) -> HttpResponseBase:
    """List tests; POST by an admin starts one."""
    current = Checkpoint.objects.filter(state=Checkpoint.State.CURRENT).first()
    form = ProspectiveForm(request.POST or None, initial={"checkpoint": current})
    if request.method == "POST" and (test := attempt(form, service.start, by=request.user)):
        messages.success(request, f"{test} runs: checkpoint {test.checkpoint_id} judges what arrives from now on.")
        return redirect("manage-prospective-test", pk=test.pk)
    context = {"form": form, "tests": paged(request, selectors.tests()), "may_change": _may_change(request)}
    return page(request, "prospective", context)


@reading_page
def prospective_test(request: AdminRequest, pk: int) -> HttpResponse:
    """One test: what arrived, how the calls on it were, whether the scores drift."""
    test = get_object_or_404(selectors.tests(), pk=pk)
    return page(request, "prospective_test", _shown(test, _may_change(request)))


def _shown(test: ProspectiveTest, may_change: bool) -> dict[str, Any]:
    figures, counts = selectors.Figures(test), selectors.counts(test)
    return {
        "test": test,
        "figures": figures,
        "counts": counts,
        "quiet": test.state == ProspectiveTest.State.ENDED and counts["waiting"] == counts["stuck"],
        "headline": _headline(figures),
        "unread": selectors.unread(test).count(),
        "waits": selectors.waits(test),
        "charts": charts(figures),
        "positives_min": POSITIVES_MIN,
        "false_alarm_days": round(1 / DRIFT_ALPHA),
        "may_change": may_change,
        "refused": selectors.refused(test)[:REFUSED_SHOWN] if may_change else [],
        "reading": ReadingForm(),
        "folder_missing": bool(test.watch_path) and not (settings.IMPORT_DIR / test.watch_path).is_dir(),
    }


def _may_change(request: AdminRequest) -> bool:
    return request.user.role == Role.ADMIN


def _headline(figures: selectors.Figures) -> list[dict[str, Any]]:
    """Return the three figures with what they have to beat, and in words whether they do."""
    judged = figures.overall.judged
    found = []
    for key, name, of in (
        ("recall", "Recall", "abnormal"),
        ("precision", "Precision", "called abnormal"),
        ("f1", "F1", ""),
    ):
        figure, goal = getattr(judged, key), PAPER[key]
        found.append(
            {"name": name, "of": of, "figure": figure, "goal": goal, "verdict": _verdict(judged, figure, goal)}
        )
    return found


def _verdict(judged: Any, figure: Any, goal: float) -> str:
    if figure.value is None or not judged.enough:
        return "too few abnormal readings to say"
    if figure.low > goal:
        return "above it, beyond chance"
    if figure.high < goal:
        return "below it, beyond chance"
    return "above it, within chance" if figure.value >= goal else "below it, within chance"


def charts(figures: selectors.Figures) -> dict[str, Any]:
    """Return what the charts draw: each figure as it grew from day to day, and the scores of each day."""
    days = figures.days
    found: dict[str, Any] = {"days": [day.day.isoformat() for day in days], "figures": {}}
    for key in PAPER:
        so_far = [getattr(day.so_far, key) for day in days]
        each = [getattr(day.group.judged, key) for day in days]
        found["figures"][key] = {
            "value": [figure.value for figure in so_far],
            "low": [figure.low for figure in so_far],
            "high": [figure.high for figure in so_far],
            "day": [figure.value for figure in each],
            "read": [day.group.judged.read for day in days],
            "goal": PAPER[key],
        }
    found["scores"] = {str(q): [day.quantiles[q] for day in days] for q in selectors.QUANTILES}
    found["alarms"] = [day.day.isoformat() for day in figures.alarms]
    found["reference"] = figures.reference_quantiles
    found["threshold"] = figures.test.threshold
    return found


@action("manage-prospective-test/")
def end(request: AdminRequest, pk: int) -> str:
    """End a test."""
    test = service.end(test=get_object_or_404(ProspectiveTest, pk=pk), by=request.user)
    return f"{test} has ended. What arrived can still be read."


@action("manage-prospective-test/")
def read(request: AdminRequest, pk: int) -> str:
    """Make a round of arrivals that nobody has read."""
    test, form = get_object_or_404(ProspectiveTest, pk=pk), ReadingForm(request.POST)
    if not form.is_valid():
        raise InvalidInput(words(form))
    row = service.start_reading(test=test, by=request.user, **form.cleaned_data)
    return f"{row} holds {row.budget} arrivals in random order. Open it under Rounds, and readers can begin."


@action("manage-prospective-test/")
def try_again(request: AdminRequest, pk: int) -> str:  # noqa: ARG001
    """Score what could not be scored once more."""
    count = arrivals.try_again(test=get_object_or_404(ProspectiveTest, pk=pk))
    return f"{count} arrivals are scored once more."
