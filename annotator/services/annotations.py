"""Drafts, first reads, final reads and revisions. Annotations are append-only; a submit can be sent twice."""

import json
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils import timezone
from psycopg.types.json import Jsonb

from annotator import sql
from annotator.errors import InvalidInput, NotAllowed, NotFound, WrongState
from annotator.models import Annotation, Draft, Mark, QueueItem, Round, User
from annotator.selectors import items
from annotator.services import answers, consensus, queue, reranking
from annotator.services.answers import Answer

Stage = Annotation.Stage
DRAFT_MAX = 64_000
PLAIN = ("stage", "confidence", "override_reason", "duration_ms", "overall", "unreadable_reason", "text")

# Nothing happens where the item is not this reader's, or the key is used.
MINE = """
WHERE id = %(item)s AND state = 'claimed' AND claimed_by_id = %(reader)s
  AND NOT EXISTS (SELECT FROM annotator_annotation WHERE idempotency_key = %(key)s)
RETURNING id, round_id, recording_id
"""
STORE = """
INSERT INTO annotator_annotation (item_id, recording_id, reader_id, scheme_id, stage, confidence, override_reason,
    display, duration_ms, idempotency_key, created_at, statements, overall, unreadable_reason, text)
SELECT id, recording_id, %(reader)s, %(scheme)s, %(stage)s, %(confidence)s, %(override_reason)s,
    %(display)s, %(duration_ms)s, %(key)s, %(now)s, %(statements)s, %(overall)s, %(unreadable_reason)s, %(text)s
FROM mine
RETURNING id
"""
FIRST = f"WITH mine AS (UPDATE annotator_queueitem SET lease_until = %(until)s {MINE}) {STORE}"  # noqa: S608 - our own parts
# All that a final read changes, at once: the item, the draft, the annotation and, where `corrects` is known because the
# round asks for one reader alone, the consensus. An answer on a repeat or a control makes none.
FINAL = f"""
WITH mine AS (
    UPDATE annotator_queueitem SET state = 'answered', lease_until = NULL, answered_at = %(now)s {MINE}),
draft AS (
    DELETE FROM annotator_draft USING mine WHERE item_id = mine.id AND reader_id = %(reader)s),
consensus AS (
    INSERT INTO annotator_consensus (recording_id, round_id, scheme_id, source, corrects, created_at,
        statements, overall, unreadable_reason, text)
    SELECT recording_id, round_id, %(scheme)s, 'single', %(corrects)s::boolean, %(now)s,
        %(statements)s, %(overall)s, %(unreadable_reason)s, %(text)s
    FROM mine WHERE %(corrects)s::boolean IS NOT NULL)
{STORE}
"""  # noqa: S608 - our own parts


@transaction.atomic
def save_draft(*, item: QueueItem, reader: User, content: dict[str, Any], version: int) -> Draft:
    """Keep an unfinished reading, `version` being the one it was made on (0: none); refuses a stale or a lost one."""
    if len(json.dumps(content)) > DRAFT_MAX:
        raise InvalidInput(f"A draft holds at most {DRAFT_MAX:,} characters.")
    queue.hold(item=item, reader=reader)  # also puts two tabs of this reader in line
    draft = Draft.objects.filter(item=item, reader=reader).first() or Draft(item=item, reader=reader, version=0)
    if draft.version != version:
        raise WrongState(
            f"This draft was changed elsewhere: it is at version {draft.version}, yours was made on {version}. "
            "Merge the two and save again.",
            draft={"content": draft.content, "version": draft.version},
        )
    draft.content, draft.version = content, version + 1
    draft.save()
    return draft


def submit_first(*, item: QueueItem, reader: User, answer: Answer, idempotency_key: UUID) -> Annotation:
    """Store the blind first read, after which the reveal may be seen; refuses rounds without one and a second one."""
    return _once(item, reader, answer, Stage.FIRST, idempotency_key)


def submit_final(*, item: QueueItem, reader: User, answer: Answer, idempotency_key: UUID) -> Annotation:
    """Store the final read and, with the last copy's, the consensus; refuses one without the first read it needs."""
    return _once(item, reader, answer, Stage.FINAL, idempotency_key)


def revise(*, annotation: Annotation, reader: User, answer: Answer, idempotency_key: UUID) -> Annotation:
    """Store a newer answer beside one's own final read; refuses another's, an older one, and what is settled."""
    if stored := _stored(idempotency_key, reader, annotation.item_id, Stage.FINAL):
        return stored
    if annotation.reader_id != reader.pk:
        raise NotFound(f"You have no annotation {annotation.pk}.")
    if annotation.stage != Stage.FINAL:
        raise NotAllowed("A first read stays as it was; revise the final read.")
    try:
        return _revise(annotation, answer, idempotency_key)
    except IntegrityError:
        if stored := _stored(idempotency_key, reader, annotation.item_id, Stage.FINAL):
            return stored
        raise WrongState("You have revised this answer already. Reopen the newest one.") from None


@transaction.atomic
def _revise(annotation: Annotation, answer: Answer, key: UUID) -> Annotation:
    item = QueueItem.objects.select_related("round", "recording__waveform").get(pk=annotation.item_id)
    consensus.lock_copies(item)
    consensus.refuse_settled(item)
    checked = answers.check(answer, item.round.scheme_id, item.recording)
    newer = _annotation(item, annotation.reader, checked, Stage.FINAL, key, revises=annotation)
    newer.save(force_insert=True)
    _mark(newer, checked)
    if item.origin in QueueItem.COUNTED:
        consensus.conclude(item.round, item.recording)
    return newer


def _once(item: QueueItem, reader: User, answer: Answer, stage: Stage, key: UUID) -> Annotation:
    """Store a read, or return the one that this key stored before."""
    submit = _submit_first if stage == Stage.FIRST else _submit_final
    checked = answers.check(answer, item.round.scheme_id, item.recording)
    try:
        return submit(item, reader, checked, key)
    except (IntegrityError, WrongState) as error:
        if stored := _stored(key, reader, item.pk, stage):  # the same request, sent twice
            return stored
        if isinstance(error, WrongState):
            raise
        raise WrongState(f"{item.recording} has a {stage} read of yours already; it stays. Reload to go on.") from error


@transaction.atomic
def _submit_first(item: QueueItem, reader: User, answer: Answer, key: UUID) -> Annotation:
    if item.round.reveal != Round.Reveal.AFTER_FIRST_READ:
        raise WrongState(f"{item.round} has no separate first read. Send the final read.")
    annotation = _annotation(item, reader, answer, Stage.FIRST, key)
    _store(FIRST, annotation, until=queue.lease_from(annotation.created_at))
    _mark(annotation, answer)
    return annotation


def _submit_final(item: QueueItem, reader: User, answer: Answer, key: UUID) -> Annotation:
    if item.round.reveal == Round.Reveal.AFTER_FIRST_READ and not items.begun([item], reader)[item.pk][0]:
        raise WrongState(f"{item.round} asks for a blind first read of {item.recording} before the final one.")
    annotation = _annotation(item, reader, answer, Stage.FINAL, key)
    counted = item.origin in QueueItem.COUNTED
    alone = item.round.readers_per_item == 1 or not counted
    corrects = consensus.corrects(item.round, item.recording, annotation) if alone and counted else None
    if alone and not answer.marks:
        _store(FINAL, annotation, corrects=corrects)
    else:
        with transaction.atomic():
            consensus.lock_copies(item)
            _store(FINAL, annotation, corrects=corrects)
            _mark(annotation, answer)
            if not alone:
                consensus.conclude(item.round, item.recording)
    if corrects:
        reranking.corrected(item.round)
    return annotation


def _store(statement: str, annotation: Annotation, **more: Any) -> None:
    """Run FIRST or FINAL, also for an item whose lease ran out if nobody took it since; refuses all else."""
    values = more | {
        "now": annotation.created_at,
        "item": annotation.item_id,
        "reader": annotation.reader_id,
        "scheme": annotation.scheme_id,
        "key": annotation.idempotency_key,
        "statements": Jsonb(annotation.statements),
        "display": Jsonb(annotation.display),
        **{name: getattr(annotation, name) for name in PLAIN},
    }
    stored = sql.rows(statement, **values)
    if not stored:
        queue.take_back(item=annotation.item, reader=annotation.reader)
        stored = sql.rows(statement, **values)
    if not stored:  # another tab of this reader was quicker, or the key is used
        raise queue.lost(annotation.item, annotation.reader)
    annotation.pk = stored[0][0]


def _stored(key: UUID, reader: User, item_id: int, stage: Stage) -> Annotation | None:
    stored = Annotation.objects.filter(idempotency_key=key).first()
    if stored and (stored.reader_id, stored.item_id, stored.stage) != (reader.pk, item_id, stage):
        raise WrongState("This idempotency key was used for another answer. Make a new one for each answer.")
    return stored


def _annotation(
    item: QueueItem, reader: User, answer: Answer, stage: Stage, key: UUID, revises: Annotation | None = None
) -> Annotation:
    """Return an answer as a row that is still to be stored."""
    return Annotation(
        item=item,
        recording_id=item.recording_id,
        reader=reader,
        scheme_id=item.round.scheme_id,
        stage=stage,
        revises=revises,
        confidence=answer.confidence,
        override_reason=answer.override_reason,
        display=answer.display,
        duration_ms=answer.duration_ms,
        idempotency_key=key,
        created_at=timezone.now(),
        **answer.reading(),
    )


def _mark(annotation: Annotation, answer: Answer) -> None:
    Mark.objects.bulk_create(
        Mark(
            annotation=annotation,
            lead_names=list(mark.lead_names),
            start_s=mark.start_s,
            end_s=mark.end_s,
            code=mark.code,
            note=mark.note,
        )
        for mark in answer.marks
    )
