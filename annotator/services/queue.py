"""Handing out queue items: claim, lease, heartbeat, give back, expiry, skip. Races are settled in the query."""

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from annotator import sql
from annotator.errors import AnnotatorError, InvalidInput, NotAllowed, WrongState
from annotator.models import Adjudication, QueueItem, Role, Round, Skip, User
from annotator.selectors import items

HELD_MAX = 3  # the one on the screen and two that the desk has fetched ahead
TRIES = 3
SKIP_REASON_MAX = 300
RANK_MAX = 2**31 - 1
READER_LOCK = 7001  # first half of the advisory lock that a reader's own claims queue up on
ORDER_LOCK = (7001, -1)  # shared by claims; who writes a queue's order has it alone, so that no claim finds all locked

# A lock (READER_LOCK) puts one reader's tabs in line. Two partial indexes give the order: item_waiting of what anybody
# may read, item_reserved of what waits for this reader alone. Of the first, only what stands before the reader's next
# repeat is looked at, so that neither is passed over; repeats of readers who stay away are never looked at. A locked
# row is someone else's in a moment, so the next one is taken.
PASSED = """
item.recording_id <> ALL (ARRAY(
    SELECT passed.recording_id
    FROM annotator_skip skip JOIN annotator_queueitem passed ON passed.id = skip.item_id
    WHERE skip.reader_id = %(reader)s AND passed.round_id = round.id))
"""
OWN = f"""
FROM annotator_queueitem item
WHERE item.round_id = round.id AND item.state = 'waiting' AND item.reserved_for_id = %(reader)s AND {PASSED}
"""
CLAIM = f"""
WITH next AS MATERIALIZED (
    SELECT first.id
    FROM (SELECT id FROM annotator_round
          WHERE state = 'open' AND (%(round)s::bigint IS NULL OR id = %(round)s) ORDER BY number) round
    CROSS JOIN LATERAL (
        SELECT id FROM (
            SELECT item.id FROM annotator_queueitem item
            WHERE item.round_id = round.id AND item.state = 'waiting' AND item.reserved_for_id IS NULL
              AND item.rank < coalesce((SELECT min(item.rank) {OWN}), {RANK_MAX})
              AND NOT EXISTS (
                  SELECT FROM annotator_queueitem other
                  WHERE other.round_id = item.round_id AND other.recording_id = item.recording_id
                    AND other.claimed_by_id = %(reader)s)
              AND (item.origin <> 'control' OR NOT EXISTS (
                  SELECT FROM annotator_annotation earlier
                  WHERE earlier.recording_id = item.recording_id AND earlier.reader_id = %(reader)s))
              AND {PASSED}
            ORDER BY item.rank, item.copy LIMIT 1
            FOR UPDATE OF item SKIP LOCKED) anybody
        UNION ALL
        SELECT id FROM (SELECT item.id {OWN} ORDER BY item.rank LIMIT 1 FOR UPDATE OF item SKIP LOCKED) own
        LIMIT 1) first
    WHERE (SELECT count(*) FROM annotator_queueitem WHERE claimed_by_id = %(reader)s AND state = 'claimed') < %(most)s
    LIMIT 1),
claimed AS (
    UPDATE annotator_queueitem item
    SET state = 'claimed', claimed_by_id = %(reader)s, claimed_at = %(now)s, lease_until = %(until)s,
        lapsed_from_id = NULL
    FROM next WHERE item.id = next.id
    RETURNING item.*)
SELECT {items.COLUMNS} FROM claimed item {items.JOINS}
"""  # noqa: S608 - our own column names


def claim_next(*, reader: User, round: Round | None = None) -> QueueItem | None:
    """Claim the first waiting item for a reader, oldest open round first; None where they hold enough or none waits."""
    if reader.role != Role.READER:
        raise NotAllowed(f"{reader} is {reader.role}; only readers claim recordings to read.")
    if round is not None and round.state != Round.State.OPEN:
        raise WrongState(f"{round} is {round.state}; only an open round is read.")
    for attempt in range(TRIES):
        try:
            found = sql.locked_rows(
                CLAIM, lock=(READER_LOCK, reader.pk), shared=ORDER_LOCK, **claim_parameters(reader, round)
            )
        except IntegrityError:  # another tab of this reader has just taken a copy of the same recording
            continue
        if found:
            return items.from_row(found[0])
        if attempt or not release_expired():
            return None
    return None


def claim_parameters(reader: User, round: Round | None) -> dict[str, Any]:
    """Return the parameters of CLAIM."""
    now = timezone.now()
    return {
        "reader": reader.pk,
        "round": round.pk if round else None,
        "most": HELD_MAX,
        "now": now,
        "until": lease_from(now),
    }


@transaction.atomic
def heartbeat(*, item: QueueItem, reader: User) -> datetime:
    """Extend the lease of an item, and of all else its reader holds; refuses an item that is no longer theirs."""
    until = hold(item=item, reader=reader)
    QueueItem.objects.filter(claimed_by=reader, state=QueueItem.State.CLAIMED).update(lease_until=until)
    return until


def hold(*, item: QueueItem, reader: User) -> datetime:
    """Extend a reader's lease, or take back one that ran out if nobody took the item since; refuses all else."""
    until = lease_from(timezone.now())
    if not QueueItem.objects.filter(pk=item.pk, state=QueueItem.State.CLAIMED, claimed_by=reader).update(
        lease_until=until
    ):
        take_back(item=item, reader=reader)
    return until


def take_back(*, item: QueueItem, reader: User) -> None:
    """Claim an item again whose lease ran out, if nobody took it since; refuses all else."""
    lapsed = QueueItem.objects.filter(pk=item.pk, state=QueueItem.State.WAITING, lapsed_from=reader)
    now = timezone.now()
    try:
        with transaction.atomic():
            taken = lapsed.update(
                state=QueueItem.State.CLAIMED,
                claimed_by=reader,
                claimed_at=now,
                lease_until=lease_from(now),
                lapsed_from=None,
            )
    except IntegrityError:  # they hold another copy of the same recording by now
        taken = 0
    if not taken:
        raise lost(item, reader)


def give_back(*, item: QueueItem, reader: User) -> None:
    """Put a reader's item back into the queue; refuses an item that is not theirs."""
    if not _release(item, reader):
        raise lost(item, reader)


@transaction.atomic
def skip(*, item: QueueItem, reader: User, reason: str) -> None:
    """Pass an item on to other readers, with the reason; refuses a blank reason and an item that is not theirs."""
    reason = reason.strip()
    if not reason or len(reason) > SKIP_REASON_MAX:
        raise InvalidInput(f"A skip needs a reason of 1 to {SKIP_REASON_MAX} characters, this one has {len(reason)}.")
    if not _release(item, reader):
        raise lost(item, reader)
    Skip.objects.get_or_create(item=item, reader=reader, defaults={"reason": reason})


def _release(item: QueueItem, reader: User) -> int:
    # claimed_at stays: what anybody has seen is never given another recording, see services.reranking.
    return QueueItem.objects.filter(pk=item.pk, state=QueueItem.State.CLAIMED, claimed_by=reader).update(
        state=QueueItem.State.WAITING, claimed_by=None, lease_until=None
    )


@transaction.atomic
def release_expired() -> int:
    """Put items and adjudications whose lease ran out back into the queue; return how many."""
    now = timezone.now()
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE annotator_queueitem item
            SET state = 'waiting', lapsed_from_id = claimed_by_id, claimed_by_id = NULL, lease_until = NULL
            WHERE id IN (SELECT id FROM annotator_queueitem WHERE state = 'claimed' AND lease_until < %s
                         FOR UPDATE SKIP LOCKED)
            """,
            [now],
        )
        released = cursor.rowcount
    return released + Adjudication.objects.filter(state=Adjudication.State.CLAIMED, lease_until__lt=now).update(
        state=Adjudication.State.WAITING, claimed_by=None, lease_until=None
    )


def refuse_other(item: QueueItem, recording: int | None) -> None:
    """Refuse what was made on another recording than the item's; None says nothing of it."""
    if recording not in (None, item.recording_id):
        raise WrongState(
            f"Item {item.pk} in round {item.round.number} is of recording {item.recording_id}, this was made on "
            f"{recording}. Nothing was stored. Reload and read what is shown."
        )


def lost(item: QueueItem, reader: User) -> AnnotatorError:
    """Return the error that says why an item is not, or no longer, a reader's."""
    now = QueueItem.objects.select_related("round", "recording").get(pk=item.pk)
    name = f"{now.recording} in round {now.round.number}"
    if now.state == QueueItem.State.WITHDRAWN:
        return WrongState(f"Round {now.round.number} is closed, {name} is no longer read. Your draft is kept.")
    if now.state == QueueItem.State.ANSWERED and now.claimed_by_id == reader.pk:
        return WrongState(f"You have answered {name} already. Reopen it from your last answers to revise it.")
    if now.state == QueueItem.State.WAITING:
        return WrongState(f"You do not hold {name}: it waits in the queue. Claim the next recording.")
    if now.claimed_by_id == reader.pk:
        return WrongState(f"{name} changed while this was sent. Reload it and send again.")
    return WrongState(
        f"{name} is with another reader: your claim ran out after {settings.LEASE_S // 60} minutes without a sign of "
        "life, or it was never yours. Your draft is kept; claim the next recording."
    )


def lease_from(now: datetime) -> datetime:
    """Return until when a claim made or renewed now holds."""
    return now + timedelta(seconds=settings.LEASE_S)
