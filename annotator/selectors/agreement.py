"""A round in numbers: corrections, error rates with intervals, agreement, anchoring, time."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from itertools import combinations
from statistics import median
from typing import Any

from django.db.models import Count

from annotator.models import Adjudication, Annotation, Consensus, Prediction, QueueItem, Recording, Round
from annotator.models.annotations import Overall
from annotator.selectors import reliability
from annotator.selectors.shares import cohen_kappa, krippendorff_alpha, share


def report(round: Round) -> dict[str, Any]:
    """Return a round's report; `error_rate` comes from the audit share alone, for only that was drawn at random."""
    items = QueueItem.objects.filter(round=round, origin__in=QueueItem.COUNTED)
    origins = dict(items.values_list("recording_id", "origin"))
    consensus = newest_consensus(round)
    by_origin = {
        origin: share(
            sum(row.corrects for row in consensus if origins[row.recording_id] == origin),
            sum(origins[row.recording_id] == origin for row in consensus),
        )
        for origin in QueueItem.COUNTED
    }
    finals = final_reads(round)
    return {
        "items": _item_counts(round),
        "recordings": {"chosen": len(origins), "concluded": len(consensus)},
        "corrections": share(sum(row.corrects for row in consensus), len(consensus)),
        "precision": by_origin[QueueItem.Origin.STRATEGY],
        "error_rate": by_origin[QueueItem.Origin.AUDIT],
        "overall": dict(Counter(row.overall for row in consensus)),
        "sources": dict(Counter(row.source for row in consensus)),
        "adjudications": dict(
            Adjudication.objects.filter(round=round).values_list("state").annotate(n=Count("pk")).order_by()
        ),
        "readers": readers(round, finals),
        "agreement": agreement(finals),
        "anchoring": anchoring(round, finals),
        "self_agreement": reliability.self_agreement(round),
        "control_accuracy": reliability.control_accuracy(round),
    }


def _item_counts(round: Round) -> dict[str, int]:
    counts = dict(QueueItem.objects.filter(round=round).values_list("state").annotate(n=Count("pk")).order_by())
    return {"total": sum(counts.values())} | {state: counts.get(state, 0) for state in QueueItem.State.values}


def newest_consensus(round: Round) -> list[Consensus]:
    """Return what holds for each recording by this round."""
    rows = Consensus.objects.filter(round=round).order_by("recording_id", "-pk").distinct("recording_id")
    return list(rows.only("recording_id", "corrects", "overall", "source"))


def final_reads(round: Round) -> list[Annotation]:
    """Return the newest final read of every answered copy that counts; `reliability` looks at the others."""
    finals = Annotation.objects.filter(item__round=round, stage=Annotation.Stage.FINAL, revised_by__isnull=True)
    finals = finals.filter(item__origin__in=QueueItem.COUNTED)
    fields = ("item_id", "recording_id", "reader_id", "overall", "statements", "duration_ms", "reader__username")
    return list(finals.select_related("reader").only(*fields).order_by("recording_id", "reader_id"))


def readers(round: Round, finals: Iterable[Annotation]) -> list[dict[str, Any]]:
    """Return for each reader the answers and the median time on an item, first and final read together."""
    time_ms: dict[int, int] = defaultdict(int)
    names: dict[int, str] = {}
    of_reader: dict[int, list[int]] = defaultdict(list)
    first = Annotation.objects.filter(item__round=round, stage=Annotation.Stage.FIRST)
    firsts = {(item, reader): ms for item, reader, ms in first.values_list("item_id", "reader_id", "duration_ms")}
    for read in finals:
        names[read.reader_id] = read.reader.username
        time_ms[read.item_id] = read.duration_ms + firsts.get((read.item_id, read.reader_id), 0)
        of_reader[read.reader_id].append(read.item_id)
    return [
        {"reader": names[pk], "answers": len(items), "median_s": median(time_ms[item] for item in items) / 1000}
        for pk, items in sorted(of_reader.items())
    ]


def agreement(finals: Iterable[Annotation]) -> dict[str, Any]:
    """Return how often two readers of one recording said the same, beyond chance a pair of readers and over all.

    `pairs` holds Cohen's kappa of overall for each two readers who share recordings; `alpha_overall` is Krippendorff's
    alpha over all readers.
    """
    of_recording: dict[int, list[Annotation]] = defaultdict(list)
    for read in finals:
        of_recording[read.recording_id].append(read)
    both = [two for reads in of_recording.values() for two in combinations(sorted(reads, key=_reader), 2)]
    of_pair: dict[tuple[str, str], list[tuple[str, str]]] = defaultdict(list)
    for first, second in both:
        of_pair[first.reader.username, second.reader.username].append((first.overall, second.overall))
    return {
        "overall": share(sum(first.overall == second.overall for first, second in both), len(both)),
        "statements": share(sum(_codes(first) == _codes(second) for first, second in both), len(both)),
        "alpha_overall": krippendorff_alpha([[read.overall for read in reads] for reads in of_recording.values()]),
        "pairs": [
            {
                "readers": list(names),
                "overall": share(sum(first == second for first, second in said), len(said)),
                "kappa_overall": cohen_kappa(said),
            }
            for names, said in sorted(of_pair.items())
        ],
    }


def _reader(read: Annotation) -> int:
    return read.reader_id


def _codes(read: Annotation) -> set[str]:
    return {statement["code"] for statement in read.statements}


def anchoring(round: Round, finals: Iterable[Annotation]) -> dict[str, Any]:
    """Return how often the final read differs from the blind first one of the same reader, and ends at what was shown.

    `to_file` and `to_model`: of the changes of overall, those to what the label on file and the model said.
    """
    first = Annotation.objects.filter(item__round=round, stage=Annotation.Stage.FIRST)
    firsts = {
        (read.item_id, read.reader_id): read for read in first.only("item_id", "reader_id", "overall", "statements")
    }
    both = [(firsts[key], read) for read in finals if (key := (read.item_id, read.reader_id)) in firsts]
    changed = [read for blind, read in both if blind.overall != read.overall]
    on_file, model = _shown(round, [read.recording_id for read in changed])
    return {
        "to_file": share(sum(read.overall == on_file.get(read.recording_id) for read in changed), len(changed)),
        "to_model": share(sum(read.overall == model.get(read.recording_id) for read in changed), len(changed)),
        "overall_changed": share(sum(a.overall != b.overall for a, b in both), len(both)),
        "statements_changed": share(sum(_codes(a) != _codes(b) for a, b in both), len(both)),
    }


def _shown(round: Round, recordings: list[int]) -> tuple[dict[int, str], dict[int, str]]:
    """Return what the source label and the round's checkpoint say of these recordings, as a reader would say it."""
    words = {True: Overall.ABNORMAL.value, False: Overall.NORMAL.value}
    rows = Recording.objects.filter(pk__in=recordings).values_list("pk", "source_abnormal")
    said = Prediction.objects.filter(checkpoint=round.checkpoint_id, recording__in=recordings)
    return (
        {pk: words[abnormal] for pk, abnormal in rows if abnormal is not None},
        {pk: words[score > 0.5] for pk, score in said.values_list("recording", "abnormal_probability")},
    )
