"""A round's life: draft -> filling -> filled -> open -> closed, each step by conditional update."""

from collections.abc import Iterable, Sequence
from typing import Protocol, Required, TypedDict, Unpack

from django.db import connection, transaction
from django.db.models import Max
from django.utils import timezone

from annotator import jobs
from annotator.errors import InvalidInput, WrongState
from annotator.models import Checkpoint, Consensus, Dataset, Prediction, QueueItem, Recording, Round, User
from annotator.selectors import agreement, schemes
from annotator.services import audit, consensus

State = Round.State
NUMBER_LOCK = (7002, 0)  # new rounds are numbered one after the other
BUDGET_MAX = 1_000_000
ADDED_MAX = 0.2  # of the budget, for repeats and for controls


class Chosen(Protocol):
    """What `ecgfm_core.active` says of a recording it chose."""

    @property
    def id(self) -> int: ...
    @property
    def rank(self) -> int: ...
    @property
    def origin(self) -> str: ...
    @property
    def reason(self) -> str: ...
    @property
    def reserved_for(self) -> int | None: ...


class Plan(TypedDict, total=False):
    """How a round is to be; what is left out is as the row's default."""

    strategy: str
    split: str
    budget: Required[int]
    audit_share: float
    repeat_share: float
    control_share: float
    readers_per_item: int
    reveal: str
    seed: int


@transaction.atomic
def create_round(*, dataset_ids: Sequence[int], checkpoint: Checkpoint | None, by: User, **plan: Unpack[Plan]) -> Round:
    """Make a draft round with the next number; refuses unknown choices, and a model's strategy without a checkpoint."""
    round = Round(created_by=by, **plan)
    _refuse_bad_choices(round)
    datasets = list(Dataset.objects.filter(pk__in=set(dataset_ids)))
    if not datasets or len(datasets) != len(set(dataset_ids)):
        raise InvalidInput(f"Datasets {sorted(set(dataset_ids))}: choose at least one, all of which exist.")
    scheme = schemes.current_scheme()
    if scheme is None:
        raise InvalidInput("There is no label scheme yet. Import recordings first.")
    checkpoint = checkpoint or Checkpoint.objects.filter(state=Checkpoint.State.CURRENT).first()
    if checkpoint is None and round.strategy != Round.Strategy.RANDOM:
        raise InvalidInput(
            f"Strategy {round.strategy} needs a checkpoint, and none is current. Train one and promote it, or draw at "
            "random."
        )
    round.number, round.scheme, round.checkpoint = _next_number(), scheme, checkpoint
    round.save(force_insert=True)
    round.datasets.set(datasets)
    audit.record(
        actor=by, action="round created", target=round,
        number=round.number, strategy=round.strategy, budget=round.budget,
    )  # fmt: skip
    return round


def _next_number() -> int:
    """Return the number after the last round's; two rounds made at once wait for each other."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", NUMBER_LOCK)
    return (Round.objects.aggregate(last=Max("number"))["last"] or 0) + 1


def _refuse_bad_choices(round: Round) -> None:
    for name, value, known in (
        ("Strategy", round.strategy, Round.Strategy.values),
        ("Reveal", round.reveal, Round.Reveal.values),
        ("Split", round.split, Recording.Split.values),
    ):
        if value not in known:
            raise InvalidInput(f"{name} {value!r}: it is one of {', '.join(known)}.")
    if not 1 <= round.budget <= BUDGET_MAX:
        raise InvalidInput(f"A budget of {round.budget} recordings: it is 1 to {BUDGET_MAX:,}.")
    if not 0 <= round.audit_share <= 1:
        raise InvalidInput(f"An audit share of {round.audit_share}: it is 0 to 1 (0.1 is a tenth of the budget).")
    for name, share in (("repeat", round.repeat_share), ("control", round.control_share)):
        if not 0 <= share <= ADDED_MAX:
            raise InvalidInput(f"A {name} share of {share}: it is 0 to {ADDED_MAX:g} of the budget, and added to it.")
    if not 1 <= round.readers_per_item <= 5:
        raise InvalidInput(f"{round.readers_per_item} readers an item: it is 1 to 5.")
    blind = (round.strategy, round.reveal) == (Round.Strategy.RANDOM, Round.Reveal.NEVER)
    if round.split == Recording.Split.TEST and not blind:
        raise InvalidInput(
            f"The test split judges models, so it is drawn at random and read blind; this round has strategy "
            f"{round.strategy} and reveal {round.reveal}. Choose random and never, or another split."
        )


@transaction.atomic
def request_fill(*, round: Round, by: User) -> Round:
    """Ask a worker to choose the recordings; refuses a round that is no draft, and a checkpoint that scored nothing."""
    if round.strategy != Round.Strategy.RANDOM:
        pool = Recording.objects.filter(dataset__rounds=round, split=round.split)
        if not Prediction.objects.filter(checkpoint=round.checkpoint_id, recording__in=pool).exists():
            raise WrongState(
                f"{round.checkpoint} has scored no {round.split} recording of this round's datasets. Score them first."
            )
    _move(round, State.DRAFT, State.FILLING, failure="")
    audit.record(actor=by, action="round fill asked for", target=round)
    jobs.enqueue("fill_round", round.pk)
    return round


@transaction.atomic
def fill(*, round: Round, chosen: Iterable[Chosen]) -> int:
    """Write the queue items of a filling round and return how many; refuses an empty choice and any other state.

    Repeats and controls are asked for once, whatever the round's readers an item.
    """
    _move(round, State.FILLING, State.FILLED)
    count = 0
    columns = "round_id, recording_id, copy, rank, origin, reserved_for_id, reason, state"
    with connection.cursor() as cursor, cursor.copy(f"COPY annotator_queueitem ({columns}) FROM STDIN") as copy:
        for item in chosen:
            copies = round.readers_per_item if item.origin in QueueItem.COUNTED else 1
            for number in range(1, copies + 1):
                row = (round.pk, item.id, number, item.rank, item.origin, item.reserved_for, item.reason, "waiting")
                copy.write_row(row)
                count += 1
    if not count:
        raise InvalidInput(f"{round} has nothing to read: no recording of its datasets can be chosen.")
    audit.record(actor=None, action="round filled", target=round, items=count)
    return count


@transaction.atomic
def fill_with(*, round: Round, chosen: Iterable[Chosen], by: User) -> int:
    """Fill a draft round at once with what was chosen elsewhere and return how many items; refuses any other state."""
    _move(round, State.DRAFT, State.FILLING, failure="")
    audit.record(actor=by, action="round fill asked for", target=round)
    return fill(round=round, chosen=chosen)


def fail_fill(*, round: Round, failure: str) -> None:
    """Put a filling round back to draft with the reason in words."""
    _move(round, State.FILLING, State.DRAFT, failure=failure)


@transaction.atomic
def open_round(*, round: Round, by: User) -> Round:
    """Let readers claim its items; refuses a round that is not filled."""
    _move(round, State.FILLED, State.OPEN, opened_at=timezone.now())
    audit.record(actor=by, action="round opened", target=round)
    return round


@transaction.atomic
def close_round(*, round: Round, by: User) -> Round:
    """End reading: withdraw what is not answered, conclude what is, write the report; refuses a round that is not open.

    Where some copies of a recording were answered and others not, those that are in decide.
    """
    _move(round, State.OPEN, State.CLOSED, closed_at=timezone.now())
    QueueItem.objects.filter(round=round, state__in=consensus.OPEN).update(
        state=QueueItem.State.WITHDRAWN, claimed_by=None, claimed_at=None, lease_until=None, lapsed_from=None
    )
    answered = Recording.objects.filter(
        queue_items__round=round,
        queue_items__state=QueueItem.State.ANSWERED,
        queue_items__origin__in=QueueItem.COUNTED,
    )
    known = Consensus.objects.filter(round=round).values("recording")
    unsettled = answered.exclude(pk__in=known).exclude(adjudications__round=round).distinct()
    for recording in unsettled:
        consensus.conclude(round, recording)
    write_report(round=round)
    audit.record(actor=by, action="round closed", target=round)
    return round


def write_report(*, round: Round) -> None:
    """Store the round's report as of now."""
    round.report = agreement.report(round)
    round.save(update_fields=["report"])


def _move(round: Round, before: State, after: State, **changes: object) -> None:
    if not Round.objects.filter(pk=round.pk, state=before).update(state=after, **changes):
        round.refresh_from_db(fields=["state"])
        raise WrongState(f"{round} is {round.state}; only a {before} round can become {after}.")
    round.refresh_from_db()
