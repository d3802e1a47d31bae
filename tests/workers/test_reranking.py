"""The fast loop on real rows and files: what corrections do to the order, what stays, what is refused."""

import numpy as np
import pytest
from django.db import connection
from django.utils import timezone

from annotator.models import Checkpoint, Prediction, QualityDecision, Recording, Reranking, Round, ScoringRun
from annotator.models.jobs import JobState
from annotator.services import job_state
from annotator.services import reranking as service
from ecgfm_core.active import embedding_store, scores
from tests.annotator.manage_world import admin, checkpoint, scored
from tests.annotator.reading_world import AF, recordings
from tests.annotator.rerank_world import HIDDEN, KINDS, kind_of, open_round, pool, settle
from tests.workers.conftest import wait_for
from workers import embedding_files, reranking, round_tasks

pytestmark = pytest.mark.django_db


def rerank(round) -> Reranking:
    """Ask for a new order and do what the worker does, in this test's transaction."""
    service.request(round=round, by=admin())
    run = Reranking.objects.latest("pk")
    attempt = service.take(run.pk)
    run.refresh_from_db()
    return service.reorder(run=run, attempt=attempt, order=reranking.new_order(round))


def recordings_in_order(round) -> list[int]:
    waiting = round.items.filter(state="waiting", copy=1).order_by("rank")
    return list(waiting.values_list("recording", flat=True))


def kinds_in_order(round, rows) -> list[int]:
    kind = {row.pk: kind_of(number) for number, row in enumerate(rows)}
    return [kind[pk] for pk in recordings_in_order(round)]


def hidden(rows) -> list[Recording]:
    return [row for number, row in enumerate(rows) if kind_of(number) == HIDDEN]


def test_corrections_of_one_kind_bring_the_rest_of_that_kind_to_the_front(places):
    point, rows = pool()
    queued = rows[: 10 * KINDS]
    round = open_round(point, queued)
    rerank(round)
    assert kinds_in_order(round, rows)[:30].count(HIDDEN) < 10
    settle(round, hidden(rows)[-8:])
    run = rerank(round)
    assert (run.fresh, run.corrections, run.waiting) == (8, 8, len(queued))
    assert kinds_in_order(round, rows)[:30].count(HIDDEN) >= 27, "though only 10 of them were in the queue"
    assert "5 of 5 models say abnormal" in round.items.get(rank=0).reason
    again = rerank(round)
    assert (again.fresh, again.moved, again.replaced) == (0, 0, 0), "the same corrections give the same order"


def test_only_what_the_round_may_choose_comes_into_its_queue(places):
    point, rows = pool()
    round = open_round(point, [row for number, row in enumerate(rows) if kind_of(number) == 0])
    corrected, others = hidden(rows)[:8], hidden(rows)[8:]
    settle(round, corrected)
    settle(open_round(point, others[:2], is_open=False), others[:2])
    Recording.objects.filter(pk=others[2].pk).update(split="test")
    Recording.objects.filter(pk=others[3].pk).update(quality={"readable": False})
    Recording.objects.filter(pk=others[4].pk).update(quality={"readable": False})
    for row, readable in ((others[4], True), (others[5], False)):
        QualityDecision.objects.create(recording=row, readable=readable, decided_by=admin(), decided_at=timezone.now())
    open_round(point, others[6:8])  # waits in another round: that is no reason against it here
    rerank(round)
    inside = set(recordings_in_order(round))
    assert not inside & {row.pk for row in [*corrected, *others[:4], others[5]]}
    assert {row.pk for row in (others[4], *others[6:12])} <= inside


def test_copies_of_what_is_read_already_do_not_come(places):
    point, rows = pool()
    round = open_round(point, rows[:30])
    corrected, copies = hidden(rows)[0], hidden(rows)[20:30]
    vector = Prediction.objects.get(recording=corrected).embedding
    Prediction.objects.filter(recording__in=copies).update(embedding=vector)
    round.items.filter(recording=corrected).update(claimed_at=timezone.now())  # seen: it stays, and is no candidate
    settle(round, [*hidden(rows)[40:48], corrected])
    rerank(round)
    assert kinds_in_order(round, rows)[:20].count(HIDDEN) >= 15
    assert not {row.pk for row in copies} & set(recordings_in_order(round))


def test_one_score_has_one_formula(places):
    point, rows = pool()
    said = Prediction.objects.filter(recording=rows[0])
    said.update(label_error_detail={"doubt": {"code": AF, "probability": 0.96, "given": 0, "votes": 5, "models": 5}})
    store = embedding_files.opened(point.pk)
    votes_SP = np.full((5, 2), 0.3)
    round = open_round(point, rows[:2])
    round_pool = reranking._pool(round, store, np.array([0, 1]), votes_SP)
    expected = scores.label_set_scores(np.array([[0, 0], [0, -1]]), np.array([[0.3, 0.96], [0.3, 0.5]]))
    assert round_pool.score("label_set_error") == pytest.approx(expected)
    assert [one.doubt is None for one in round_pool.describe(round_pool.ids_N)] == [False, True]


def test_what_became_unreadable_since_the_files_were_written_does_not_come(places):
    point, rows = pool()
    round = open_round(point, rows[:20])
    embedding_files.write(point.pk)
    late = [row.pk for row in hidden(rows)[-20:]]
    Recording.objects.filter(pk__in=late).update(quality={"readable": False})
    settle(round, hidden(rows)[5:12])
    run = rerank(round)
    assert run.replaced
    assert not set(late) & set(recordings_in_order(round))


def test_what_no_checkpoint_has_scored_stays_in_its_place(places):
    point, rows = pool()
    unscored = recordings(2)
    round = open_round(point, [*rows[:4], unscored[0], *rows[4:8], unscored[1]])
    settle(round, hidden(rows)[-8:])
    rerank(round)
    order = recordings_in_order(round)
    assert [order.index(row.pk) for row in unscored] == [4, 9]


def test_the_test_split_teaches_nothing(places):
    point, rows = pool()
    Recording.objects.filter(pk__in=[row.pk for row in hidden(rows)[:20]]).update(split="test")
    round = open_round(point, rows[-30:])
    rerank(round)
    before = recordings_in_order(round)
    settle(round, hidden(rows)[:20])
    rerank(round)
    assert recordings_in_order(round) == before


@pytest.mark.parametrize("strategy", ["uncertainty", "committee"])
def test_strategies_without_labels_are_ordered_anew_too(places, strategy):
    point, rows = pool()
    round = open_round(point, rows[:30], strategy=strategy)
    settle(round, hidden(rows)[-8:])
    run = rerank(round)
    assert run.moved
    words = {"uncertainty": "the model is unsure", "committee": "the models disagree"}[strategy]
    assert words in round.items.get(rank=0).reason


def test_files_are_written_when_missing_stale_or_damaged_and_not_else(places):
    point, rows = pool(60)
    folder = embedding_files.folder_of(point.pk)
    store = embedding_files.opened(point.pk)
    assert store.ids_N.tolist() == [row.pk for row in rows]
    said = dict(Prediction.objects.values_list("recording", "embedding"))
    assert np.allclose(store.embeddings_ND, [said[row.pk] for row in rows])
    assert store.known_N["given"].tolist() == [int(row.source_abnormal) for row in rows]
    assert [len(set(store.known_N[name].tolist())) for name in ("dataset", "patient", "centre")] == [1, 10, 1]
    version = (folder / embedding_store.ABOUT).read_text()
    embedding_files.opened(point.pk)
    assert (folder / embedding_store.ABOUT).read_text() == version
    next(folder.glob("*/features.npy")).unlink()
    assert len(embedding_files.opened(point.pk).ids_N) == 60
    assert (folder / embedding_store.ABOUT).read_text() != version
    Prediction.objects.filter(recording=rows[0]).delete()
    scored(point, JobState.RUNNING)
    assert len(embedding_files.opened(point.pk).ids_N) == 60, "a scoring run under way changes nothing yet"
    ScoringRun.objects.update(state=JobState.FINISHED)
    assert len(embedding_files.opened(point.pk).ids_N) == 59
    Prediction.objects.all().delete()
    scored(point)
    with pytest.raises(Exception, match="score recordings with this checkpoint first"):
        embedding_files.opened(point.pk)
    assert len(embedding_store.load(folder).ids_N) == 59, "what was there is left"


def test_a_run_that_ends_writes_files_that_hold_when_it_has_ended(places):
    point, _ = pool(30)
    scored(point, JobState.RUNNING)
    run, about = ScoringRun.objects.latest("pk"), embedding_files.folder_of(point.pk) / embedding_store.ABOUT
    for _ in range(2):  # the second attempt does not trust the first one's
        version = about.read_text() if about.exists() else None
        embedding_files.write(point.pk, ending=run)
        assert about.read_text() != version
    version = about.read_text()
    job_state.finish(run, run.attempt)
    embedding_files.opened(point.pk)
    assert about.read_text() == version


def test_files_of_retired_checkpoints_go_once_no_round_needs_them(places):
    point, rows = pool(30)
    used, unused, ready = (checkpoint(Checkpoint.State.CANDIDATE) for _ in range(3))
    round = open_round(point, rows[:3])
    Round.objects.filter(pk=round.pk).update(checkpoint=used)
    folders = {one.pk: embedding_files.folder_of(one.pk) for one in (used, unused, ready, point)}
    for folder in folders.values():
        folder.mkdir()
    Checkpoint.objects.filter(pk__in=[used.pk, unused.pk]).update(state=Checkpoint.State.RETIRED)

    def left() -> set[int]:
        embedding_files.write(point.pk, again=True)
        return {pk for pk, folder in folders.items() if folder.exists()}

    assert left() == {used.pk, ready.pk, point.pk}
    Round.objects.filter(pk=round.pk).update(state=Round.State.CLOSED)
    Checkpoint.objects.filter(pk=point.pk).update(state=Checkpoint.State.RETIRED)
    assert left() == {ready.pk, point.pk}, "what was just written stays"


@pytest.mark.django_db(transaction=True)
def test_nothing_scored_is_said_in_words_and_a_stale_message_does_nothing(places):
    point, rows = pool(30)
    round = open_round(point, rows[:6])
    Prediction.objects.all().delete()
    service.request(round=round, by=admin())
    run = Reranking.objects.get()
    for _ in range(2):
        round_tasks.rerank_round(run.pk)
    run.refresh_from_db()
    assert (run.state, run.attempt) == (JobState.FAILED, 1)
    assert "score recordings with this checkpoint first" in run.failure


@pytest.mark.django_db(transaction=True)
def test_a_worker_killed_in_mid_task_leaves_the_queue_and_another_goes_on(worker, places, settings):
    point, rows = pool()
    round = open_round(point, rows[:30])
    settle(round, hidden(rows)[-8:])
    before = recordings_in_order(round)
    with connection.cursor() as cursor:
        lock = [embedding_files.WRITE_LOCK, point.pk]  # where the worker waits, in the middle of its task
        cursor.execute("SELECT pg_advisory_lock(%s, %s)", lock)
        service.request(round=round, by=admin())
        run = Reranking.objects.get()
        waits = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND classid = %s"

        def held_up() -> bool:
            cursor.execute(waits, lock[:1])
            return cursor.fetchone() == (1,)

        wait_for(held_up, "the worker's beginning", 30)
        worker.kill()
        cursor.execute("SELECT pg_advisory_unlock(%s, %s)", lock)
    run.refresh_from_db()
    assert (run.state, run.attempt) == (JobState.RUNNING, 1)
    assert recordings_in_order(round) == before
    settings.JOB_STALE_S = 0
    assert job_state.recover_stale() == 1
    round_tasks.rerank_round(run.pk)
    run.refresh_from_db()
    assert (run.state, run.attempt, run.fresh) == (JobState.FINISHED, 2, 8), run.failure
    assert kinds_in_order(round, rows)[:20].count(HIDDEN) >= 18
