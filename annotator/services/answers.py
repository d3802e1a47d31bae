"""What an answer may say; the one place where readings of readers and adjudicators are checked."""

import json
from dataclasses import dataclass, field, replace
from typing import Any

from annotator.errors import InvalidInput
from annotator.models import Annotation, Recording
from annotator.models.annotations import Overall
from annotator.selectors import schemes
from ecgfm_core import labels, reports

OVERALL = {True: Overall.ABNORMAL, False: Overall.NORMAL, None: ""}
QUALIFIERS = reports.QUALIFIERS
STATEMENTS_MAX = 40
MARKS_MAX = 200
TEXT_MAX = 10_000
REASON_MAX = 300
DISPLAY_MAX = 4_000
DURATION_MAX_MS = 24 * 3600 * 1000
DERIVED_FROM_I_AND_II = frozenset({"III", "aVR", "aVL", "aVF"})


@dataclass(frozen=True)
class Statement:
    """A coded statement with a qualifier."""

    code: str
    qualifier: str = ""


@dataclass(frozen=True)
class MarkAnswer:
    """A point (`end_s` None) or a span on leads."""

    lead_names: tuple[str, ...]
    start_s: float
    end_s: float | None = None
    code: str = ""
    note: str = ""


@dataclass(frozen=True)
class Answer:
    """One reading; a blank `overall` follows from the statements."""

    statements: tuple[Statement, ...] = ()
    overall: str = ""
    unreadable_reason: str = ""
    override_reason: str = ""
    confidence: str = Annotation.Confidence.HIGH
    text: str = ""
    display: dict[str, Any] = field(default_factory=dict)
    duration_ms: int = 0
    marks: tuple[MarkAnswer, ...] = ()

    @property
    def codes(self) -> frozenset[str]:
        """The codes stated, whatever their qualifiers."""
        return frozenset(statement.code for statement in self.statements)

    def reading(self) -> dict[str, Any]:
        """Return the fields of a `Reading` row."""
        return {
            "statements": [{"code": statement.code, "qualifier": statement.qualifier} for statement in self.statements],
            "overall": self.overall,
            "unreadable_reason": self.unreadable_reason,
            "text": self.text,
        }


def check(answer: Answer, scheme_id: int, recording: Recording) -> Answer:
    """Return the answer with `overall` filled in and blanks stripped; refuses what can't be a reading of it."""
    answer = replace(
        answer,
        text=answer.text.strip(),
        unreadable_reason=answer.unreadable_reason.strip(),
        override_reason=answer.override_reason.strip(),
    )
    _check_limits(answer)
    _check_statements(answer, scheme_id)
    answer = replace(answer, overall=_overall(answer))
    _check_marks(answer, scheme_id, recording)
    return answer


def _check_limits(answer: Answer) -> None:
    for name, value, most in (
        ("text", answer.text, TEXT_MAX),
        ("unreadable_reason", answer.unreadable_reason, REASON_MAX),
        ("override_reason", answer.override_reason, REASON_MAX),
    ):
        if len(value) > most:
            raise InvalidInput(f"{name} has {len(value):,} characters, at most {most:,} are kept. Shorten it.")
        if "\x00" in value:
            raise InvalidInput(f"{name} holds a NUL character, which can't be stored. Remove it.")
    if answer.confidence not in Annotation.Confidence.values:
        raise InvalidInput(f"Confidence is {answer.confidence!r}; it is one of low, medium, high.")
    if not 0 <= answer.duration_ms <= DURATION_MAX_MS:
        raise InvalidInput(f"duration_ms is {answer.duration_ms}; it is 0 to {DURATION_MAX_MS} (a day).")
    if not isinstance(answer.display, dict) or len(json.dumps(answer.display)) > DISPLAY_MAX:
        raise InvalidInput(f"display is an object of at most {DISPLAY_MAX} characters: speed, gain, filters, layout.")


def _check_statements(answer: Answer, scheme_id: int) -> None:
    if len(answer.statements) > STATEMENTS_MAX:
        raise InvalidInput(f"{len(answer.statements)} statements; at most {STATEMENTS_MAX} are kept.")
    known = schemes.labels_by_code(scheme_id)
    seen: set[str] = set()
    for statement in answer.statements:
        if statement.code not in known:
            raise InvalidInput(
                f"{statement.code!r} is no statement of the round's scheme. Choose one of its {len(known)}."
            )
        if statement.qualifier not in QUALIFIERS:
            raise InvalidInput(
                f"{known[statement.code].name}: qualifier {statement.qualifier!r}; it is none or one of "
                f"{', '.join(QUALIFIERS[1:])}."
            )
        if statement.code in seen:
            raise InvalidInput(f"{known[statement.code].name} is stated twice. Keep one of the two.")
        seen.add(statement.code)
    if labels.NORMAL_ECG in seen and (abnormal := schemes.abnormal_codes(scheme_id, seen)):
        raise InvalidInput(f"A normal ECG and {known[min(abnormal)].name} can't both hold. Remove one of the two.")


def _overall(answer: Answer) -> str:
    follows = OVERALL[labels.abnormal(answer.codes)]
    overall = answer.overall or follows
    if not overall:
        raise InvalidInput("Nothing is said. State something, or choose normal, abnormal or unreadable.")
    if overall not in Overall.values:
        raise InvalidInput(f"Overall is {overall!r}; it is one of {', '.join(Overall.values)}.")
    if overall == Overall.UNREADABLE:
        if answer.statements or answer.marks:
            raise InvalidInput(
                "An unreadable recording has no statements and no marks. Remove them, or don't call it so."
            )
        if not answer.unreadable_reason:
            raise InvalidInput("Why is it unreadable? Give a reason (noise, loose leads, flat, too short).")
        return overall
    if answer.unreadable_reason:
        raise InvalidInput(f"There is a reason why it is unreadable, yet overall is {overall}. Remove one of the two.")
    if follows and overall != follows and not answer.override_reason:
        raise InvalidInput(
            f"The statements make it {follows}, you say {overall}. Give a reason for that, or change one."
        )
    return overall


def _check_marks(answer: Answer, scheme_id: int, recording: Recording) -> None:
    if len(answer.marks) > MARKS_MAX:
        raise InvalidInput(f"{len(answer.marks)} marks; at most {MARKS_MAX} are kept.")
    if not answer.marks:
        return
    waveform = recording.waveform
    leads = set(waveform.lead_names)
    if {"I", "II"} <= leads:
        leads |= DERIVED_FROM_I_AND_II
    for number, mark in enumerate(answer.marks, start=1):
        _check_mark(f"Mark {number}", mark, leads, waveform.duration_s)
        if mark.code and mark.code not in schemes.labels_by_code(scheme_id):
            raise InvalidInput(f"Mark {number}: {mark.code!r} is no statement of the round's scheme.")


def _check_mark(name: str, mark: MarkAnswer, leads: set[str], duration_s: float) -> None:
    if not mark.lead_names or len(set(mark.lead_names)) != len(mark.lead_names):
        raise InvalidInput(f"{name} is on leads {list(mark.lead_names)}; name at least one lead, each once.")
    if unknown := set(mark.lead_names) - leads:
        raise InvalidInput(
            f"{name}: lead {', '.join(sorted(unknown))} is not in this recording ({', '.join(sorted(leads))})."
        )
    # Written so that a NaN fails too.
    if not 0 <= mark.start_s <= duration_s:
        raise InvalidInput(f"{name} starts at {mark.start_s:g} s; the recording runs from 0 to {duration_s:g} s.")
    if mark.end_s is not None and not mark.start_s <= mark.end_s <= duration_s:
        raise InvalidInput(f"{name} ends at {mark.end_s:g} s; it ends between its start and {duration_s:g} s.")
    if len(mark.note) > REASON_MAX or "\x00" in mark.note:
        raise InvalidInput(f"{name}: its note has {len(mark.note)} characters; at most {REASON_MAX}, and no NUL.")
