"""Putting what waits in an open round into a new order after corrections: when, by whom, and the writing itself.

A claim is never lost to it: what a reader holds, has begun or has passed on stays as it is, and so does every place
that the strategy did not choose. Claims wait for the moment of writing (queue.ORDER_LOCK), so that none of them meets a
queue whose rows are all locked.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.db.models import Max
from django.utils import timezone

from annotator.errors import WrongState
from annotator.models import Consensus, QueueItem, Reranking, Round, User
from annotator.models.jobs import JobState
from annotator.selectors import candidates
from annotator.services import audit, job_state
from annotator.services.queue import ORDER_LOCK

UNCHANGED: dict[str, str] = {
    Round.Strategy.RANDOM: "is drawn at random, which no correction changes",
    Round.Strategy.NOVELTY: "is ordered by novelty, which is measured at scoring alone",
}
# What a re-ordering may touch: whole sets of copies that wait, chosen by the strategy, and that nobody ever claimed.
# Readers answer by item, a page may be sent late, and a lost claim is taken again: what was seen in it stays in it.
# A row that somebody has locked is being claimed, given back or withdrawn at this moment: it stays.
MOVABLE = """
SELECT item.id, item.recording_id, item.rank FROM annotator_queueitem item
WHERE item.round_id = %s AND item.state = 'waiting' AND item.origin = 'strategy' AND item.claimed_at IS NULL
ORDER BY item.rank, item.copy
"""
WRITE = """
UPDATE annotator_queueitem item
SET recording_id = new.recording_id, rank = new.rank, reason = coalesce(new.reason, item.reason)
FROM unnest(%s::bigint[], %s::bigint[], %s::int[], %s::text[]) new (id, recording_id, rank, reason)
WHERE item.id = new.id AND item.state = 'waiting' AND (item.recording_id, item.rank, item.reason)
    IS DISTINCT FROM (new.recording_id, new.rank, coalesce(new.reason, item.reason))
"""


@dataclass(frozen=True)
class Place:
    """The copies of one waiting recording and their common rank."""

    items: tuple[int, ...]
    rank: int


@dataclass(frozen=True)
class NewOrder:
    """What a worker found: the recordings it judged of those that wait, and which are wanted in their places.

    `wanted` is best first and names those judged that are no longer wanted last; these keep the reason they have. What
    comes from outside is asked for here and let in by the writing, which knows what people have decided meanwhile.
    """

    judged: frozenset[int]
    wanted: Sequence[int]
    reasons: Mapping[int, str]


def corrected(round: Round) -> None:
    """Ask for a new order once enough corrections came in since the one before; called when a correction is stored."""
    transaction.on_commit(lambda: _ask_when_due(round), robust=True)


def _ask_when_due(round: Round) -> None:
    needed = settings.RERANK_AFTER_CORRECTIONS
    if needed and not refusal(round) and corrections(round) - seen(round) >= needed:
        _ask(round, by=None)


@transaction.atomic
def request(*, round: Round, by: User) -> None:
    """Have what waits in an open round put into a new order now; refuses a round that is not re-ordered."""
    if why := refusal(round):
        raise WrongState(why)
    _ask(round, by=by)
    audit.record(actor=by, action="queue re-ordering asked for", target=round)


def refusal(round: Round) -> str:
    """Say why the queue of a round can't be put into a new order; blank where it can."""
    if round.state != Round.State.OPEN:
        return f"{round} is {round.state}; only what waits in an open round is put into a new order."
    if round.strategy in UNCHANGED:
        return f"{round} {UNCHANGED[round.strategy]}: it is not re-ordered."
    return ""


def _ask(round: Round, by: User | None) -> None:
    """Queue one re-ordering unless one waits already: it will see every correction stored until it begins."""
    Reranking.objects.bulk_create([Reranking(round=round, created_by=by)], ignore_conflicts=True)
    send_waiting(round.pk)


def corrections(round: Round) -> int:
    """Return how many consensus rows of a round correct what held before."""
    return Consensus.objects.filter(round=round, corrects=True).count()


def seen(round: Round, **which: object) -> int:
    """Return how many corrections of a round the newest re-ordering of some kind was told of."""
    runs = Reranking.objects.filter(round=round, **which)
    return int(runs.aggregate(most=Max("corrections"))["most"] or 0)


def take(pk: int) -> int | None:
    """Take a queued re-ordering and return the number of this attempt; None while another one of the round runs.

    Others that wait for the same round are dropped: this one sees all that they were asked for.
    """
    try:
        with transaction.atomic():
            attempt = job_state.take(Reranking, pk)
            if attempt is not None:
                round = Round.objects.get(rerankings=pk)
                # One that another worker is taking at this moment stays: waiting for it would be a deadlock.
                others = Reranking.objects.filter(round=round, state=JobState.QUEUED)
                free = others.select_for_update(skip_locked=True).values_list("pk", flat=True)
                Reranking.objects.filter(pk__in=list(free)).delete()
                count = corrections(round)
                fresh = count - seen(round, state=JobState.FINISHED)
                Reranking.objects.filter(pk=pk).update(corrections=count, fresh=fresh)
            return attempt
    except IntegrityError:  # reranking_one_at_a_time: the end of that one sends this one again
        return None


def send_waiting(round_id: int) -> None:
    """Send the re-ordering of a round that waited for another one to end."""
    waits = Reranking.objects.filter(round=round_id, state=JobState.QUEUED).order_by("-pk").first()
    if waits:
        job_state.submit(waits)


def movable(round: Round, *, lock: bool = False) -> dict[int, Place]:
    """Return what of a round's queue may be moved now, by recording; `lock` keeps others off until the commit."""
    found: defaultdict[int, list[tuple[int, int]]] = defaultdict(list)
    with connection.cursor() as cursor:
        cursor.execute(f"{MOVABLE} {'FOR UPDATE OF item SKIP LOCKED' if lock else ''}", [round.pk])
        for item, recording, rank in cursor.fetchall():
            found[recording].append((item, rank))
    return {
        recording: Place(tuple(item for item, _ in copies), copies[0][1])
        for recording, copies in found.items()
        if len(copies) == round.readers_per_item
    }


@transaction.atomic
def reorder(*, run: Reranking, attempt: int, order: NewOrder) -> Reranking:
    """Write a new order and finish the run; refuses a round that is no longer open, and an attempt that lost the run.

    What was claimed since the order was made keeps its recording and its place; what the round may no longer choose,
    settled or found unreadable since, does not come.
    """
    # Only a re-ordering brings recordings into an open round, and one runs at a time: this can be read before the lock.
    queued = set(QueueItem.objects.filter(round=run.round_id).values_list("recording", flat=True))
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", ORDER_LOCK)
    round = Round.objects.get(pk=run.round_id)
    if why := refusal(round):
        raise WrongState(why)
    free = {recording: place for recording, place in movable(round, lock=True).items() if recording in order.judged}
    entering = set(candidates.pool(round).filter(pk__in=set(order.wanted) - queued).values_list("pk", flat=True))
    moves = _moves(free, [recording for recording in order.wanted if recording in free or recording in entering])
    _write(free, moves, order.reasons)
    moved = sum(goes != comes or free[goes].rank != rank for goes, comes, rank in moves)
    replaced = sum(goes != comes for goes, comes, _ in moves)
    took_s = (timezone.now() - (run.started_at or run.created_at)).total_seconds()
    job_state.finish(run, attempt, waiting=len(free), moved=moved, replaced=replaced, took_s=took_s)
    audit.record(
        actor=run.created_by, action="queue re-ordered", target=round, corrections=run.fresh, moved=moved,
        replaced=replaced, waiting=len(free), took_s=took_s,
    )  # fmt: skip
    return run


def _moves(free: Mapping[int, Place], wanted: Sequence[int]) -> list[tuple[int, int, int]]:
    """Put the wanted recordings, best first, into the free places: (whose items, which recording, rank) of each.

    A recording that stays keeps its items; one from outside gets those of a recording that is no longer wanted.
    """
    wanted = wanted[: len(free)]
    leaving = iter(sorted(free.keys() - set(wanted), key=lambda recording: free[recording].rank))
    ranks = sorted(place.rank for place in free.values())
    return [(r if r in free else next(leaving), r, rank) for r, rank in zip(wanted, ranks, strict=True)]


def _write(free: Mapping[int, Place], moves: Sequence[tuple[int, int, int]], reasons: Mapping[int, str]) -> None:
    rows = [(item, comes, rank, reasons.get(comes)) for goes, comes, rank in moves for item in free[goes].items]
    if rows:
        with connection.cursor() as cursor:
            cursor.execute(WRITE, [list(column) for column in zip(*rows, strict=True)])
