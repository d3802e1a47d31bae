"""Queue items with their round, recording and waveform, each by one prepared statement."""

import json
from typing import Any

from django.db.models import Model

from annotator import sql
from annotator.models import QueueItem, Recording, Round, User, Waveform

UNREAD = {"report", "failure"}  # of a round; may be long
PARTS: dict[str, type[Model]] = {"item": QueueItem, "round": Round, "recording": Recording, "waveform": Waveform}
FIELDS = {
    alias: [field for field in model._meta.concrete_fields if field.attname not in UNREAD]
    for alias, model in PARTS.items()
}
COLUMNS = ", ".join(f"{alias}.{field.column}" for alias, fields in FIELDS.items() for field in fields)
JOINS = """
    JOIN annotator_round round ON round.id = item.round_id
    JOIN annotator_recording recording ON recording.id = item.recording_id
    JOIN annotator_waveform waveform ON waveform.sha256 = recording.waveform_id
"""
BY_ID = f"SELECT {COLUMNS} FROM annotator_queueitem item {JOINS} WHERE item.id = %(pk)s"  # noqa: S608 - our own column names
BEGUN = """
SELECT item.id,
    EXISTS (SELECT FROM annotator_annotation
            WHERE item_id = item.id AND reader_id = %(reader)s AND stage = 'first'),
    (SELECT jsonb_build_object('content', content, 'version', version) FROM annotator_draft
     WHERE item_id = item.id AND reader_id = %(reader)s)
FROM annotator_queueitem item WHERE item.id = ANY (%(items)s)
"""


def from_row(row: sql.Row) -> QueueItem:
    """Return the item that a statement selected by COLUMNS and JOINS."""
    parts: dict[str, Any] = {}
    start = 0
    for alias, fields in FIELDS.items():
        values = row[start : start + len(fields)]
        parts[alias] = PARTS[alias].from_db("default", [field.attname for field in fields], values)
        start += len(fields)
    item: QueueItem = parts["item"]
    item.round, item.recording = parts["round"], parts["recording"]
    item.recording.waveform = parts["waveform"]
    item.recording.quality = json.loads(item.recording.quality)  # Django has JSON come as text
    return item


def by_id(pk: int) -> QueueItem | None:
    """Return an item; None where there is none."""
    found = sql.rows(BY_ID, pk=pk)
    return from_row(found[0]) if found else None


def begun(items: list[QueueItem], reader: User) -> dict[int, tuple[bool, dict[str, Any] | None]]:
    """Return, by item, whether this reader's first read is stored, and their draft."""
    found = sql.rows(BEGUN, items=[item.pk for item in items], reader=reader.pk)
    return {pk: (first_done, json.loads(draft) if draft else None) for pk, first_done, draft in found}
