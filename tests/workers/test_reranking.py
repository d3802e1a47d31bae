"""The fast loop on real rows and files: what corrections do to the order, what stays, what is refused."""

import pytest

from annotator.models import Reranking
from annotator.models.jobs import JobState
from annotator.services import reranking as service
from tests.annotator.manage_world import admin
from tests.annotator.rerank_world import HIDDEN, KINDS, kind_of, open_round, pool, settle
from workers import reranking

pytestmark = pytest.mark.django_db


def rerank(round) -> Reranking:
    """Ask for a new order and do what the worker does, in this test's transaction."""
    service.request(round=round, by=admin())
    run = Reranking.objects.latest("pk")
    attempt = service.take(run.pk)
    run.refresh_from_db()
    return service.reorder(run=run, attempt=attempt, order=reranking.new_order(round))


def kinds_in_order(round, rows) -> list[int]:
    kind = {row.pk: kind_of(number) for number, row in enumerate(rows)}
    waiting = round.items.filter(state="waiting", copy=1).order_by("rank")
    return [kind[pk] for pk in waiting.values_list("recording", flat=True)]


def test_corrections_of_one_kind_bring_the_rest_of_that_kind_to_the_front(places):
    point, rows = pool()
    queued = rows[: 10 * KINDS]
    round = open_round(point, queued)
    before = rerank(round)
    assert before.state == JobState.FINISHED, before.failure
    settle(round, [row for number, row in enumerate(rows) if kind_of(number) == HIDDEN][-8:])
    run = rerank(round)
    assert (run.fresh, run.corrections, run.waiting) == (8, 8, len(queued))
    assert kinds_in_order(round, rows)[:30] == [HIDDEN] * 30, "30 of them, though only 10 were in the queue"
    assert "5 of 5 models say abnormal" in round.items.get(rank=0).reason
