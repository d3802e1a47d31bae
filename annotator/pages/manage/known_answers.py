"""Recordings whose labels an admin vouches for, on the page of rounds."""

from typing import Any

from django.http import HttpRequest

from annotator.errors import InvalidInput
from annotator.pages.manage.base import AdminRequest, action
from annotator.selectors import reader_checks
from annotator.services import known_answers

SHOWN = 20


def panel() -> dict[str, Any]:
    """Return what the panel shows: the newest of those vouched for, and how many there are."""
    rows = reader_checks.vouched_for()
    return {"vouched": rows[:SHOWN], "vouched_count": rows.count()}


@action("manage-rounds")
def vouch(request: AdminRequest) -> str:
    """Vouch for what holds for a recording."""
    known = known_answers.vouch(recording_id=_number(request), by=request.user)
    return f"{known.recording} may be drawn as a control."


@action("manage-rounds")
def withdraw(request: AdminRequest) -> str:
    """Vouch for it no longer."""
    number = _number(request)
    known_answers.withdraw(recording_id=number, by=request.user)
    return f"R-{number} is no longer drawn as a control for your word alone."


def _number(request: HttpRequest) -> int:
    """Return the id in the number that people see, R-41 or 41."""
    typed = request.POST.get("recording", "").strip()
    number = typed.upper().removeprefix("R-")
    if not (number.isascii() and number.isdigit() and len(number) < 19):
        raise InvalidInput(f"“{typed}” is no recording. Give its number, such as R-41.")
    return int(number)
