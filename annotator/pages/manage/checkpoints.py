"""Checkpoints: compare, score, promote, go back."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404

from annotator.models import Checkpoint
from annotator.pages.manage.base import AdminRequest, action, admin_page, page
from annotator.pages.manage.compare import compared
from annotator.pages.manage.test_figures import sources_words, test_figures
from annotator.selectors import manage
from annotator.selectors.gate import gate
from annotator.services import checkpoints as service

GATES_SHOWN = 3


@admin_page
def checkpoints(request: HttpRequest) -> HttpResponse:
    """The checkpoints beside the current one, and the gate before those that could follow it."""
    found = list(manage.checkpoints())
    names, rows = compared(found)
    context = {
        "metric_names": names,
        "rows": rows,
        "can_go_back": manage.can_go_back(),
        "scoring": manage.scoring_runs(),
        "datasets": manage.datasets(),
    }
    return page(request, "checkpoints", context | test_split(found))


def test_split(found: list[Checkpoint]) -> dict[str, Any]:
    """Return what the page says of the frozen test split."""
    current = next((row for row in found if row.state == Checkpoint.State.CURRENT), None)
    gates = [(row, gate(row, current)) for row in shown_gates(found, current)]
    return {
        "gates": [(row, one, sources_words(one.recordings, one.sources)) for row, one in gates],
        "gate_of": {row.pk: one for row, one in gates},
        "gate_waits": any(one.waits for _, one in gates),
        "test_figures": test_figures(current, gates[0][0] if gates else None),
    }


def shown_gates(found: list[Checkpoint], current: Checkpoint | None) -> list[Checkpoint]:
    """Return the newest checkpoints that could follow the current one, or that were held against it."""
    if current is None:
        return []
    asked = [row for row in found if row.gate.get("basis", {}).get("current") == current.pk and row != current]
    newer = [row for row in found if row.state == Checkpoint.State.CANDIDATE and row.pk > current.pk]
    return sorted({*asked, *newer}, key=lambda row: -row.pk)[:GATES_SHOWN]


@action("manage-checkpoints")
def promote(request: AdminRequest, pk: int) -> str:
    """Make a checkpoint the current one."""
    reason = request.POST.get("override_reason", "")
    service.promote(checkpoint=get_object_or_404(Checkpoint, pk=pk), by=request.user, override_reason=reason)
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
