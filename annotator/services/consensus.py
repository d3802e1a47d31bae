"""From the copies' answers to what holds: agreement makes a consensus, disagreement an adjudication.

Readers agree when they say the same overall and the same codes; qualifiers, texts and marks may differ. Answers on
repeats and controls judge the reader: they never make a consensus.

A consensus corrects (`Consensus.corrects`) what held before its round - the newest consensus of an earlier round, else
the source labels - when
- that had an overall, and the new one differs (calling unreadable what was called normal or abnormal counts), or
- both name abnormal statements of the scheme, and not the same ones.
Saying more than nothing corrects nothing: a recording without a usable label, or one called abnormal without a mapped
statement, had nothing to be wrong. Normal statements (sinus rhythm) are left out, for they often go unsaid.
"""

import json
from collections.abc import Sequence

from annotator import sql
from annotator.errors import WrongState
from annotator.models import Adjudication, Annotation, Consensus, QueueItem, Recording, Round
from annotator.models.annotations import Overall, Reading
from annotator.selectors import readings, schemes
from annotator.selectors.schemes import Held, differs
from annotator.services import reranking

OPEN = (QueueItem.State.WAITING, QueueItem.State.CLAIMED)
HELD_BEFORE = """
SELECT earlier.overall, earlier.statements,
    ARRAY(SELECT code FROM annotator_sourcelabel WHERE recording_id = asked.id AND code <> '')
FROM (SELECT %(recording)s::bigint) asked (id) LEFT JOIN LATERAL (
    SELECT overall, statements FROM annotator_consensus
    WHERE recording_id = asked.id AND round_id <> %(round)s ORDER BY id DESC LIMIT 1) earlier ON true
"""


def codes_of(reading: Reading) -> frozenset[str]:
    """Return the codes of a stored reading, whatever their qualifiers."""
    return frozenset(statement["code"] for statement in reading.statements)


def lock_copies(item: QueueItem) -> None:
    """Put those who answer copies of one recording in line, so that the last one sees the others' answers."""
    if item.round.readers_per_item > 1:
        copies = QueueItem.objects.select_for_update().filter(round=item.round_id, recording=item.recording_id)
        list(copies.order_by("pk").values_list("pk", flat=True))


def refuse_settled(item: QueueItem) -> None:
    """Refuse to change answers once the round is closed or an adjudicator has them."""
    if item.round.state != Round.State.OPEN:
        raise WrongState(f"{item.round} is closed; its answers stay as they are.")
    rows = Adjudication.objects.select_for_update().filter(round=item.round_id, recording=item.recording_id)
    adjudication = rows.first()
    if adjudication and adjudication.state != Adjudication.State.WAITING:
        raise WrongState(f"{item.recording} is with an adjudicator or settled; the readers' answers stay as they are.")


def final_reads(round: Round, recording: Recording) -> list[Annotation]:
    """Return the newest final read of each copy that counts, in the order of the copies."""
    finals = Annotation.objects.filter(item__round=round, recording=recording, stage=Annotation.Stage.FINAL)
    finals = finals.filter(item__origin__in=QueueItem.COUNTED)
    return list(finals.filter(revised_by__isnull=True).select_related("item").order_by("item__copy"))


def conclude(round: Round, recording: Recording) -> Consensus | Adjudication | None:
    """Write the consensus or the adjudication of a recording whose copies are all answered; None while some wait."""
    if QueueItem.objects.filter(round=round, recording=recording, state__in=OPEN).exists():
        return None
    reads = final_reads(round, recording)
    waiting = Adjudication.objects.filter(round=round, recording=recording, state=Adjudication.State.WAITING)
    if words := disagreement(reads):
        if not waiting.update(disagreement=words):
            return Adjudication.objects.create(round=round, recording=recording, disagreement=words)
        return waiting.get()
    if len(reads) > 1:
        waiting.delete()  # a revision has made the readers agree
    source = Consensus.Source.AGREEMENT if len(reads) > 1 else Consensus.Source.SINGLE
    return write(round=round, recording=recording, reading=merged(reads), source=source)


def write(
    *,
    round: Round,
    recording: Recording,
    reading: Reading,
    source: Consensus.Source,
    adjudication: Adjudication | None = None,
) -> Consensus:
    """Write what holds from now on, and whether it corrects what held before the round."""
    written = Consensus.objects.create(
        round=round,
        recording=recording,
        scheme_id=round.scheme_id,
        source=source,
        adjudication=adjudication,
        statements=reading.statements,
        overall=reading.overall,
        unreadable_reason=reading.unreadable_reason,
        text=reading.text,
        corrects=corrects(round, recording, reading),
    )
    if written.corrects:
        reranking.corrected(round)
    return written


def corrects(round: Round, recording: Recording, reading: Reading) -> bool:
    """Return whether a reading corrects what held before the round, as the module says."""
    return differs(round.scheme_id, held_before(recording, round), Held(reading.overall, codes_of(reading)))


def held_before(recording: Recording, round: Round) -> Held:
    """Return what held for a recording before this round."""
    [(overall, statements, codes)] = sql.rows(HELD_BEFORE, recording=recording.pk, round=round.pk)
    if overall:
        return Held(overall, frozenset(statement["code"] for statement in json.loads(statements)))
    derived = {None: "", True: Overall.ABNORMAL, False: Overall.NORMAL}[recording.source_abnormal]
    return Held(derived, frozenset(codes))


def merged(reads: Sequence[Annotation]) -> Annotation:
    """Return agreeing reads as one: a qualifier stays where all set it alike, the first text written is taken."""
    first = reads[0]
    shared = set.intersection(*({(s["code"], s["qualifier"]) for s in read.statements} for read in reads))
    return Annotation(
        statements=[
            {"code": s["code"], "qualifier": s["qualifier"] if (s["code"], s["qualifier"]) in shared else ""}
            for s in first.statements
        ],
        overall=first.overall,
        unreadable_reason=next((read.unreadable_reason for read in reads if read.unreadable_reason), ""),
        text=next((read.text for read in reads if read.text), ""),
    )


def disagreement(reads: Sequence[Annotation]) -> str:
    """Say in words what final reads differ in, the readers as letters; blank where they agree."""
    names = [readings.pseudonym(read) for read in reads]
    parts = []
    if len({read.overall for read in reads}) > 1:
        parts.append("overall: " + ", ".join(f"{n} {r.overall}" for n, r in zip(names, reads, strict=True)))
    for code in sorted(frozenset().union(*map(codes_of, reads)) - frozenset.intersection(*map(codes_of, reads))):
        by = [name for name, read in zip(names, reads, strict=True) if code in codes_of(read)]
        parts.append(f"{schemes.name_of(reads[0].scheme_id, code)}: only {' and '.join(by)}")
    return "; ".join(parts)
