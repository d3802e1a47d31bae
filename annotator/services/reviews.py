"""Settling disagreements: an adjudicator who read none of the copies decides, with a reason."""

from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone

from annotator.errors import InvalidInput, NotAllowed, WrongState
from annotator.models import Adjudication, Annotation, Consensus, Role, Round, User
from annotator.services import answers, audit, consensus, rounds
from annotator.services.answers import Answer

State = Adjudication.State
REASON_MAX = 2_000


def open_to(adjudicator: User) -> QuerySet[Adjudication]:
    """Return the adjudications of recordings that this person did not read in the same round."""
    own = Annotation.objects.filter(reader=adjudicator, recording=OuterRef("recording"), item__round=OuterRef("round"))
    return Adjudication.objects.filter(~Exists(own))


@transaction.atomic
def claim_adjudication(*, adjudicator: User) -> Adjudication | None:
    """Return the adjudication a person holds, else claim the oldest that they did not read; None if none is left."""
    if adjudicator.role != Role.ADJUDICATOR:
        raise NotAllowed(f"{adjudicator} is {adjudicator.role}; only adjudicators settle disagreements.")
    User.objects.select_for_update(no_key=True).get(pk=adjudicator.pk)  # two tabs of one person stand in line
    if mine := Adjudication.objects.filter(state=State.CLAIMED, claimed_by=adjudicator).order_by("pk").first():
        return mine
    waiting = open_to(adjudicator).filter(state=State.WAITING).order_by("pk")
    found = waiting.select_for_update(skip_locked=True, of=("self",)).first()
    if found:
        found.state, found.claimed_by, found.lease_until = State.CLAIMED, adjudicator, _lease()
        found.save(update_fields=["state", "claimed_by", "lease_until"])
    return found


def give_back(*, adjudication: Adjudication, adjudicator: User) -> None:
    """Put an adjudication back; refuses one that the person does not hold."""
    if not _mine(adjudication, adjudicator).update(state=State.WAITING, claimed_by=None, lease_until=None):
        raise _lost(adjudication)


def heartbeat(*, adjudication: Adjudication, adjudicator: User) -> datetime:
    """Extend the lease of an adjudication; refuses one that the person does not hold."""
    until = _lease()
    if not _mine(adjudication, adjudicator).update(lease_until=until):
        raise _lost(adjudication)
    return until


def settle(
    *, adjudication: Adjudication, adjudicator: User, answer: Answer, reason: str, idempotency_key: UUID
) -> Consensus:
    """Write the decision as consensus; refuses a reader of the recording, a blank reason, a second decision."""
    reason = reason.strip()
    if not reason or len(reason) > REASON_MAX:
        raise InvalidInput(f"Say why it is settled so, in 1 to {REASON_MAX:,} characters; there are {len(reason)}.")
    if stored := _settled_by(idempotency_key, adjudication, adjudicator):
        return stored
    if not open_to(adjudicator).filter(pk=adjudication.pk).exists():
        raise NotAllowed(f"You read {adjudication.recording} in {adjudication.round}; someone else has to settle it.")
    checked = answers.check(answer, adjudication.round.scheme_id, adjudication.recording)
    try:
        return _settle(adjudication, adjudicator, checked, reason, idempotency_key)
    except (IntegrityError, WrongState) as error:
        if stored := _settled_by(idempotency_key, adjudication, adjudicator):  # the same request, sent twice at once
            return stored
        raise _lost(adjudication) from error


@transaction.atomic
def _settle(adjudication: Adjudication, adjudicator: User, answer: Answer, reason: str, key: UUID) -> Consensus:
    changes = {
        "state": State.SETTLED,
        "claimed_by": adjudicator,
        "lease_until": None,
        "settled_at": timezone.now(),
        "reason": reason,
        "idempotency_key": key,
    }
    # A lease that ran out is no loss while nobody else has taken the adjudication.
    waiting = Adjudication.objects.filter(pk=adjudication.pk, state=State.WAITING)
    if not _mine(adjudication, adjudicator).update(**changes) and not waiting.update(**changes):
        raise _lost(adjudication)
    settled = consensus.write(
        round=adjudication.round,
        recording=adjudication.recording,
        reading=Annotation(**answer.reading()),
        source=Consensus.Source.ADJUDICATION,
        adjudication=adjudication,
    )
    audit.record(actor=adjudicator, action="adjudication settled", target=adjudication, overall=answer.overall)
    if adjudication.round.state == Round.State.CLOSED:
        rounds.write_report(round=adjudication.round)
    return settled


def _settled_by(key: UUID, adjudication: Adjudication, adjudicator: User) -> Consensus | None:
    stored = Consensus.objects.filter(adjudication__idempotency_key=key).select_related("adjudication").first()
    if stored is None or stored.adjudication is None:
        return None
    if (stored.adjudication.pk, stored.adjudication.claimed_by_id) != (adjudication.pk, adjudicator.pk):
        raise WrongState("This idempotency key was used for another decision. Make a new one for each.")
    return stored


def _mine(adjudication: Adjudication, adjudicator: User) -> QuerySet[Adjudication]:
    return Adjudication.objects.filter(pk=adjudication.pk, state=State.CLAIMED, claimed_by=adjudicator)


def _lost(adjudication: Adjudication) -> WrongState:
    state = Adjudication.objects.filter(pk=adjudication.pk).values_list("state", flat=True).first()
    why = {
        State.SETTLED: "it is settled, and what was settled stays",
        State.WAITING: "you do not hold it, it waits; claim it first",
        State.CLAIMED: "another adjudicator has it, for your claim ran out or was never there",
    }.get(State(state) if state else State.WAITING, "")
    return WrongState(
        f"{adjudication.recording} in {adjudication.round}: {why or 'it is gone: the readers agree by now'}."
    )


def _lease() -> datetime:
    return timezone.now() + timedelta(seconds=settings.LEASE_S)
