"""When to stop: how many labels of a round's pool are still wrong, and what the next reads will correct.

Workers compute it (a million scores take seconds), pages read what was stored on the round's row. The scores are those
of the round's checkpoint, and reads count from every round that chose by them: same checkpoint, split and datasets.
N read, U bucket of unread recordings, K next read.
"""

from typing import Any

import numpy as np
from django.db import connection
from django.db.models import Exists, F, OuterRef, QuerySet
from django.db.models.functions import Greatest

from annotator.models import Consensus, Prediction, QueueItem, Recording, Round, ScoringRun
from annotator.models.jobs import JobState
from annotator.selectors import candidates, reliability
from ecgfm_core.active import stopping
from ecgfm_core.active.stopping import NEXT_READS, Estimate, Reads, audit_error_rate

REFRESH_READS = 10  # an open round is estimated anew after so many
CONTROLS_MIN = 20  # answers on controls that a reader's error is taken from
ERROR_MAX = 0.4  # who errs more often than this tells nothing of labels
STATES = (Round.State.OPEN, Round.State.CLOSED)
SCORE = Greatest("label_error", "label_set_error")  # what the strategy orders by; PostgreSQL passes over null
# Scores in 400 steps of equal ratio: fine enough for sums of calibrated probabilities over a million recordings.
HISTOGRAM = """
SELECT avg(score), count(*) FROM (
    SELECT GREATEST(said.label_error, said.label_set_error) AS score
    FROM ({unread}) pool LEFT JOIN annotator_prediction said
        ON said.recording_id = pool.id AND said.checkpoint_id IS NOT DISTINCT FROM %s) scored
GROUP BY CASE WHEN score IS NULL THEN -1 ELSE width_bucket(ln(GREATEST(score, 1e-6)), ln(1e-6), ln(14), 400) END
"""
Json = dict[str, Any]
Rows = list[tuple[Any, ...]]


def estimate(round_: Round) -> Json:
    """Return what is left to find in a round's pool; `None` for what too little was read to say."""
    reads, scored = _reads(round_), not _scored_since(round_)
    score_U, count_U = _unread(round_)
    error = _reader_error(round_)
    if not scored:
        reads = Reads(np.full(len(reads.score_N), np.nan), reads.corrected_N, reads.audit_N, reads.round_N)
        score_U = np.full(len(score_U), np.nan)
    unread = int(count_U.sum())
    own_N = reads.round_N == round_.number
    audit_N = own_N & reads.audit_N
    pool = unread + int(own_N.sum())
    corrected, audited = int(reads.corrected_N[audit_N].sum()), int(audit_N.sum())
    left = stopping.remaining_errors(reads, score_U, count_U, reader_error=error or 0.0)
    next_K = _next_scores(round_) if scored else np.empty(0)
    remaining = _json(left.combined if left.audit else None)  # unaudited, nothing is claimed
    return {
        "reads": _answers(round_).count(),
        "pool": pool,
        "unread": unread,
        "read": int(own_N.sum()),
        "audit": {"corrected": corrected, "read": audited},
        "before": _json(audit_error_rate(corrected, audited, pool, error or 0.0)),
        "remaining": remaining,
        "after": [(end + (error or 0.0) * (pool - unread)) / pool for end in remaining] if remaining and pool else None,
        "by": "audit and scores" if left.model else "audit alone",
        "next": _json(_wrong_next(reads, next_K, error or 0.0)),
        "next_reads": len(next_K),
        "random": [NEXT_READS * end / unread for end in remaining] if remaining and unread else None,
        "reader_error": error,
    }


def _json(found: Estimate | None) -> list[float] | None:
    return [found.value, found.low, found.high] if found else None


def _wrong_next(reads: Reads, next_K: np.ndarray, error: float) -> Estimate | None:
    """Return how many of the next reads put a wrong label right; the reader's slips among them correct nothing."""
    corrected = stopping.expected_yield(reads, next_K, reader_error=error) if len(next_K) else None
    return stopping.wrong_labels(corrected, len(next_K), error) if corrected else None


def counted(round_: Round) -> QuerySet[Consensus]:
    """Return what a round settled, without answers that only judge readers: the newest of each recording."""
    return _answers(round_).order_by("recording", "-pk").distinct("recording")


def _answers(round_: Round) -> QuerySet[Consensus]:
    """Return all that a round settled; a revised answer counts anew."""
    items = QueueItem.objects.filter(
        round=OuterRef("round"), recording=OuterRef("recording"), origin__in=QueueItem.COUNTED
    )
    return Consensus.objects.filter(Exists(items), round=round_)


def _alike(round_: Round) -> list[Round]:
    """Return the rounds that chose from the same recordings by the same scores."""
    same = Round.objects.filter(checkpoint=round_.checkpoint_id, split=round_.split, state__in=STATES)
    datasets = set(round_.datasets.values_list("pk", flat=True))
    return [row for row in same.prefetch_related("datasets") if {one.pk for one in row.datasets.all()} == datasets]


def _reads(round_: Round) -> Reads:
    found: list[tuple[float, bool, bool, int]] = []
    for row in _alike(round_):
        settled = counted(row)
        earlier = Consensus.objects.filter(recording=OuterRef("recording"), round__number__lt=row.number)
        verdicts = dict(settled.filter(~Exists(earlier)).values_list("recording", "corrects"))
        drawn = QueueItem.objects.filter(round=row, origin=QueueItem.Origin.AUDIT).values_list("recording", flat=True)
        at_random = set(verdicts) if row.strategy == Round.Strategy.RANDOM else set(drawn)
        scores = {} if _scored_since(row) else _scores(row, list(verdicts))
        found += [
            (np.nan if (known := scores.get(pk)) is None else known, corrects, pk in at_random, row.number)
            for pk, corrects in verdicts.items()
        ]
    score, corrected, audit, number = zip(*found, strict=True) if found else ((), (), (), ())
    return Reads(np.array(score), np.array(corrected), np.array(audit), np.array(number))


def _scores(row: Round, recordings: list[int]) -> dict[int, float | None]:
    said = Prediction.objects.filter(checkpoint=row.checkpoint_id, recording__in=recordings)
    return dict(said.values_list("recording", SCORE))


def _scored_since(round_: Round) -> bool:
    """Whether the checkpoint scored anew after the round opened: what its readers said may be in those scores.

    Then its reads are no longer held against them. Scores made between filling and opening know nothing of its reads.
    """
    runs = ScoringRun.objects.filter(checkpoint=round_.checkpoint_id, state=JobState.FINISHED)
    return runs.filter(datasets__rounds=round_, finished_at__gt=round_.opened_at or round_.created_at).exists()


def _pool(round_: Round) -> QuerySet[Recording]:
    return candidates.readable(round_).exclude(Exists(Consensus.objects.filter(recording=OuterRef("pk"))))


def _unread(round_: Round) -> tuple[np.ndarray, np.ndarray]:
    """Return the scores of the unread as a histogram: mean score of each bucket, NaN for none, and how many."""
    statement, parameters = _pool(round_).distinct().values("id").query.sql_with_params()
    with connection.cursor() as cursor:
        cursor.execute(HISTOGRAM.format(unread=statement), [*parameters, round_.checkpoint_id])
        rows: Rows = cursor.fetchall()
    score = [np.nan if mean is None else float(mean) for mean, _ in rows]
    return np.array(score), np.array([count for _, count in rows], dtype=float)


def _next_scores(round_: Round) -> np.ndarray:
    """Return the scores of the next reads: what waits in the round, then the unread with the highest."""
    waiting = QueueItem.objects.filter(round=round_, state=QueueItem.State.WAITING, copy=1).order_by("rank")
    first = list(waiting.filter(origin=QueueItem.Origin.STRATEGY).values_list("recording", flat=True)[:NEXT_READS])
    said = Prediction.objects.filter(checkpoint=round_.checkpoint_id)
    known = dict(said.filter(recording__in=first).values_list("recording", SCORE))
    scores = [np.nan if (score := known.get(pk)) is None else score for pk in first]
    if len(scores) < NEXT_READS:
        items = QueueItem.objects.filter(round=round_).values("recording")
        rest = said.filter(recording__in=_pool(round_).exclude(pk__in=items)).annotate(score=SCORE)
        best = rest.order_by(F("score").desc(nulls_last=True)).values_list("score", flat=True)
        scores += [np.nan if score is None else score for score in best[: NEXT_READS - len(scores)]]
    return np.array(scores, dtype=float)


def _reader_error(round_: Round) -> float | None:
    """Return the share of controls that readers got wrong; None where too few were read, or several readers decide."""
    if round_.readers_per_item > 1:
        return None
    rows = Round.objects.filter(state__in=STATES, number__lte=round_.number, control_share__gt=0)
    found = [reliability.control_errors(row) for row in rows]
    wrong, read = sum(errors for errors, _ in found), sum(of for _, of in found)
    return min(wrong / read, ERROR_MAX) if read >= CONTROLS_MIN else None


def newest() -> Round | None:
    """Return the newest round of the train split that has an estimate."""
    return Round.objects.filter(split=Recording.Split.TRAIN).exclude(estimate={}).order_by("-number").first()


def due() -> list[Round]:
    """Return the rounds whose estimate is out of date: the newest few that are open or closed."""
    rows = Round.objects.filter(state__in=STATES).order_by("-number")[:3]
    return [row for row in rows if _due(row)]


def _due(row: Round) -> bool:
    fresh, known = _answers(row).count(), row.estimate.get("reads")
    return known is None or fresh >= known + (1 if row.state == Round.State.CLOSED else REFRESH_READS)
