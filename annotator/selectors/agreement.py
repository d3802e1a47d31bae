"""A round in numbers: corrections, error rates with intervals, agreement, anchoring, time."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from itertools import combinations
from statistics import median
from typing import Any

from django.db.models import Count

from annotator.models import Adjudication, Annotation, Consensus, QueueItem, Round
from annotator.selectors import reliability
from annotator.selectors.shares import cohen_kappa, share

Answered = tuple[int, str, frozenset[str]]  # reader, overall, codes


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
    """Return how often two readers of one recording said the same, with Cohen's kappa of overall.

    The pairs are ordered by reader, so that with two readers the kappa is theirs; with more it mixes their pairs.
    """
    of_recording: dict[int, list[Answered]] = defaultdict(list)
    for read in finals:
        codes = frozenset(statement["code"] for statement in read.statements)
        of_recording[read.recording_id].append((read.reader_id, read.overall, codes))
    pairs = [pair for answers in of_recording.values() for pair in combinations(sorted(answers, key=_reader), 2)]
    return {
        "overall": share(sum(first[1] == second[1] for first, second in pairs), len(pairs)),
        "statements": share(sum(first[2] == second[2] for first, second in pairs), len(pairs)),
        "kappa_overall": cohen_kappa([(first[1], second[1]) for first, second in pairs]),
    }


def _reader(answer: Answered) -> int:
    return answer[0]


def anchoring(round: Round, finals: Iterable[Annotation]) -> dict[str, Any]:
    """Return how often the final read differs from the blind first one of the same reader."""
    first = Annotation.objects.filter(item__round=round, stage=Annotation.Stage.FIRST)
    firsts = {
        (read.item_id, read.reader_id): read for read in first.only("item_id", "reader_id", "overall", "statements")
    }
    both = [(firsts[key], read) for read in finals if (key := (read.item_id, read.reader_id)) in firsts]
    return {
        "overall_changed": share(sum(a.overall != b.overall for a, b in both), len(both)),
        "statements_changed": share(
            sum({s["code"] for s in a.statements} != {s["code"] for s in b.statements} for a, b in both), len(both)
        ),
    }
