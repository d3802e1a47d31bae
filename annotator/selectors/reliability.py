"""How far readers can be relied on: agreement with themselves on repeats, accuracy on controls.

The newest final read counts, as everywhere. Agreement with oneself is given for the blind first reads too, where both
times had one: a final read follows the same reveal twice, which pulls both to the same answer.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from annotator.models import Annotation, KnownAnswer, QueueItem, Recording, Round
from annotator.models.annotations import Overall
from annotator.selectors import schemes, training_pool
from annotator.selectors.schemes import Held, differs
from annotator.selectors.shares import cohen_kappa, share

Pair = tuple[str, str, str]  # reader, what was said or known before, what was said now
FIELDS = ("item_id", "recording_id", "reader_id", "overall", "statements", "scheme_id", "reader__username")


def self_agreement(round: Round) -> dict[str, Any]:
    """Return how often readers said the same of a recording that they had read in an earlier round.

    `overall` and `statements` compare final reads (all codes alike), `blind_overall` first reads; `readers` holds
    `overall` a reader.
    """
    now = {(read.recording_id, read.reader_id): read for read in _finals(round, QueueItem.Origin.REPEAT)}
    before = _before(round, now.values())
    both = [(before[key], read) for key, read in sorted(now.items()) if key in before]
    overall = [(read.reader.username, earlier.overall, read.overall) for earlier, read in both]
    firsts = _firsts([read.item_id for pair in both for read in pair])
    blind = [(firsts.get(a.item_id), firsts.get(b.item_id)) for a, b in both]
    blind_both = [(a, b) for a, b in blind if a is not None and b is not None]
    return {
        "overall": _alike(overall),
        "kappa_overall": cohen_kappa([(earlier, later) for _, earlier, later in overall]),
        "statements": share(sum(_codes(earlier) == _codes(read) for earlier, read in both), len(both)),
        "blind_overall": share(sum(a == b for a, b in blind_both), len(blind_both)),
        "readers": _by_reader(overall),
    }


def control_accuracy(round: Round) -> dict[str, Any]:
    """Return how often readers found the known answer of control items, over all and a reader each.

    `statements` compares the abnormal codes, of those whose known answer has any.
    """
    found = _controls(round)
    overall = [(read.reader.username, answer, read.overall) for read, answer, _ in found]
    coded = [(codes, schemes.abnormal_codes(read.scheme_id, _codes(read))) for read, _, codes in found if codes]
    return {
        "overall": _alike(overall),
        "statements": share(sum(codes == said for codes, said in coded), len(coded)),
        "readers": _by_reader(overall),
    }


def control_errors(round: Round) -> tuple[int, int]:
    """Return on how many control items a reader would have corrected the known answer, and of how many."""
    found = _controls(round)
    wrong = [
        differs(read.scheme_id, Held(answer, codes), Held(read.overall, _codes(read))) for read, answer, codes in found
    ]
    return sum(wrong), len(wrong)


def _controls(round: Round) -> list[tuple[Annotation, str, frozenset[str]]]:
    """Return the reads of control items with the known overall and abnormal codes."""
    reads = _finals(round, QueueItem.Origin.CONTROL)
    known = _known(round, {read.recording_id for read in reads})
    return [(read, *known[read.recording_id]) for read in reads if read.recording_id in known]


def _alike(pairs: Sequence[Pair]) -> dict[str, Any]:
    return share(sum(before == now for _, before, now in pairs), len(pairs))


def _by_reader(pairs: Iterable[Pair]) -> list[dict[str, Any]]:
    of_reader: defaultdict[str, list[Pair]] = defaultdict(list)
    for pair in pairs:
        of_reader[pair[0]].append(pair)
    return [{"reader": reader, "overall": _alike(own)} for reader, own in sorted(of_reader.items())]


def _codes(read: Annotation) -> frozenset[str]:
    return frozenset(statement["code"] for statement in read.statements)


def _finals(round: Round, origin: QueueItem.Origin) -> list[Annotation]:
    finals = Annotation.objects.filter(
        item__round=round, item__origin=origin, stage=Annotation.Stage.FINAL, revised_by__isnull=True
    )
    return list(finals.select_related("reader").only(*FIELDS).order_by("pk"))


def _before(round: Round, reads: Iterable[Annotation]) -> dict[tuple[int, int], Annotation]:
    """Return each reader's newest final read of the same recording in an earlier round."""
    earlier = Annotation.objects.filter(
        recording__in={read.recording_id for read in reads}, item__round__number__lt=round.number,
        item__origin__in=QueueItem.COUNTED, stage=Annotation.Stage.FINAL, revised_by__isnull=True,
    )  # fmt: skip
    return {(read.recording_id, read.reader_id): read for read in earlier.only(*FIELDS[:-1]).order_by("pk")}


def _firsts(items: list[int]) -> dict[int, str]:
    """Return what the first read of whoever answered each item says overall."""
    finals = Annotation.objects.filter(item__in=items, stage=Annotation.Stage.FINAL)
    readers = dict(finals.values_list("item", "reader"))
    firsts = Annotation.objects.filter(item__in=items, stage=Annotation.Stage.FIRST)
    rows = firsts.values_list("item", "reader", "overall")
    return {item: overall for item, reader, overall in rows if readers[item] == reader}


def _known(round: Round, recordings: set[int]) -> dict[int, tuple[str, frozenset[str]]]:
    """Return the known overall and abnormal codes: of the consensus, else of the label that an admin vouches for."""
    vouched = Recording.objects.filter(pk__in=KnownAnswer.objects.filter(recording__in=recordings).values("recording"))
    found: dict[int, tuple[str, frozenset[str]]] = {}
    for row in vouched.filter(source_abnormal__isnull=False).prefetch_related("source_labels"):
        codes = frozenset(label.code for label in row.source_labels.all() if label.code)
        overall = Overall.ABNORMAL if row.source_abnormal else Overall.NORMAL
        found[row.pk] = (overall, schemes.abnormal_codes(round.scheme_id, codes))
    for settled in training_pool.newest_consensus(recordings):
        codes = frozenset(statement["code"] for statement in settled.statements)
        found[settled.recording_id] = (settled.overall, schemes.abnormal_codes(settled.scheme_id, codes))
    return found
