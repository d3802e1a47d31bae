"""Items, annotations and adjudications, each only for those who may know of it."""

from typing import Any

from django.db.models import QuerySet

from annotator.errors import NotAllowed, NotFound
from annotator.models import Adjudication, Annotation, QueueItem, Role, User
from annotator.selectors import items, schemes
from annotator.selectors.reveal import on_file
from annotator.selectors.worklists import describe_recording


def item_by_id(pk: int) -> QueueItem:
    """Return a queue item with what answering it needs; whose it is, the queue decides."""
    found = items.by_id(pk)
    if found is None:
        raise NotFound(f"There is no queue item {pk}.")
    return found


def annotations(person: User) -> QuerySet[Annotation]:
    """Return the annotations a person may see, newest first: a reader their own, others all."""
    rows = Annotation.objects.select_related("item__round", "reader", "revised_by").prefetch_related("marks")
    return rows.filter(reader=person) if person.role == Role.READER else rows


def annotation_by_id(pk: int, person: User) -> Annotation:
    """Return one annotation that a person may see."""
    found = annotations(person).filter(pk=pk).first()
    if found is None:
        raise NotFound(f"You have no annotation {pk}.")
    return found


def adjudications() -> QuerySet[Adjudication]:
    """Return all adjudications, the oldest first."""
    return Adjudication.objects.select_related("round", "recording__waveform", "claimed_by", "consensus").order_by("pk")


def adjudication_by_id(pk: int) -> Adjudication:
    """Return one adjudication; refuses an unknown id."""
    found = adjudications().filter(pk=pk).first()
    if found is None:
        raise NotFound(f"There is no adjudication {pk}.")
    return found


def adjudication_for(pk: int, adjudicator: User) -> Adjudication:
    """Return one adjudication to someone who did not read the recording in its round; refuses those who did."""
    found = adjudication_by_id(pk)
    if Annotation.objects.filter(item__round=found.round_id, recording=found.recording_id, reader=adjudicator).exists():
        raise NotAllowed(f"You read R-{found.recording_id} yourself; someone else settles it.")
    return found


def side_by_side(adjudication: Adjudication) -> dict[str, Any]:
    """Return an adjudication's recording, the readers' answers under letters, and what is on file."""
    reads = Annotation.objects.filter(item__round=adjudication.round_id, recording=adjudication.recording_id)
    newest = (
        reads.filter(revised_by__isnull=True)
        .order_by("item__copy", "pk")
        .select_related("item")
        .prefetch_related("marks")
    )
    finals = [read for read in newest if read.stage == Annotation.Stage.FINAL]
    firsts = {(read.item_id, read.reader_id): read for read in newest if read.stage == Annotation.Stage.FIRST}
    return {
        "recording": describe_recording(adjudication.recording),
        "answers": [
            {
                "reader": pseudonym(read),
                "final": _content(read),
                "first": _content(first) if (first := firsts.get((read.item_id, read.reader_id))) else None,
            }
            for read in finals
        ],
        "on_file": on_file(adjudication.recording, adjudication.round),
    }


def pseudonym(read: Annotation) -> str:
    """Return what adjudicators call the reader of an answer: Reader A read the first copy."""
    return f"Reader {chr(ord('A') + read.item.copy - 1)}"


def _content(read: Annotation) -> dict[str, Any]:
    """Return an answer without who gave it and when."""
    return {
        "overall": read.overall,
        "statements": [
            {**statement, "name": schemes.name_of(read.scheme_id, statement["code"])} for statement in read.statements
        ],
        "unreadable_reason": read.unreadable_reason,
        "override_reason": read.override_reason,
        "confidence": read.confidence,
        "text": read.text,
        "display": read.display,
        "marks": [
            {"lead_names": m.lead_names, "start_s": m.start_s, "end_s": m.end_s, "code": m.code, "note": m.note}
            for m in read.marks.all()
        ],
    }
