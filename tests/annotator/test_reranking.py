"""Re-orderings of an open queue: when they are asked for, what they may touch, and races with claims and each other."""

import threading
from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import connection, transaction
from django.urls import reverse
from django.utils import timezone

from annotator.errors import WrongState
from annotator.models import AuditEvent, QualityDecision, QueueItem, Recording, Reranking, Role, Round
from annotator.models.jobs import JobState
from annotator.services import job_state, queue, reranking, rounds
from annotator.services.annotations import save_draft, submit_final, submit_first
from annotator.services.reranking import NewOrder
from tests.annotator.manage_world import admin, someone
from tests.annotator.reading_world import AF, SINUS, make_round, recordings, says
from tests.annotator.rerank_world import open_round, pool, settle
from tests.annotator.test_queue import together

pytestmark = pytest.mark.django_db


def asked(round: Round) -> Reranking:
    reranking.request(round=round, by=admin())
    return Reranking.objects.filter(round=round, state=JobState.QUEUED).get()


def begun(round: Round) -> tuple[Reranking, int]:
    run = asked(round)
    attempt = reranking.take(run.pk)
    run.refresh_from_db()
    return run, attempt


def order_of(round: Round, wanted: list[int], coming: tuple[int, ...] = ()) -> NewOrder:
    """An order of what may be moved: `wanted` first, then what is left."""
    judged = reranking.movable(round).keys()
    left = [pk for pk in judged if pk not in wanted]
    return NewOrder(frozenset(judged), [*wanted, *left], {pk: f"why {pk}" for pk in (*wanted, *coming)})


def places(round: Round) -> dict[int, tuple[int, int]]:
    return {item.pk: (item.recording_id, item.rank) for item in round.items.all()}


def by_rank(round: Round) -> list[int]:
    return list(round.items.filter(copy=1).order_by("rank").values_list("recording", flat=True))


@pytest.fixture
def scored(db):
    return pool(12)


def test_the_new_order_is_written_with_its_reasons_and_told(scored):
    point, rows = scored
    round = open_round(point, rows[:4])
    settle(round, rows[10:])
    run, attempt = begun(round)
    ids = [row.pk for row in rows]
    wanted = [ids[3], ids[7], ids[0], ids[1]]  # the third leaves, the eighth comes
    reranking.reorder(run=run, attempt=attempt, order=order_of(round, wanted, coming=(ids[7],)))
    assert by_rank(round) == wanted
    assert [item.rank for item in round.items.order_by("rank")] == [0, 1, 2, 3]
    assert round.items.get(recording=ids[7]).reason == f"why {ids[7]}"
    run.refresh_from_db()
    assert (run.state, run.corrections, run.fresh) == (JobState.FINISHED, 2, 2)
    assert (run.waiting, run.moved, run.replaced) == (4, 4, 1)
    event = AuditEvent.objects.get(action="queue re-ordered")
    assert event.detail == {
        "corrections": 2, "moved": 4, "replaced": 1, "waiting": 4, "took_s": pytest.approx(run.took_s),
    }  # fmt: skip


def test_what_readers_hold_have_begun_or_passed_on_stays(scored):
    point, rows = scored
    round = open_round(point, rows, origins={5: "audit", 7: "control"}, reveal="after_first_read")
    readers = [someone(f"reader{n}") for n in range(5)]
    claimed, answered, given_back, drafted, skipped = [queue.claim_next(reader=reader) for reader in readers]
    for item, reader in ((answered, readers[1]), (given_back, readers[2])):
        submit_first(item=item, reader=reader, answer=says(SINUS), idempotency_key=uuid4())
    submit_final(item=answered, reader=readers[1], answer=says(SINUS), idempotency_key=uuid4())
    queue.give_back(item=given_back, reader=readers[2])
    save_draft(item=drafted, reader=readers[3], content={"a": 1}, version=0)
    queue.give_back(item=drafted, reader=readers[3])
    queue.skip(item=skipped, reader=readers[4], reason="noise")
    lapsed = round.items.get(rank=6)
    QueueItem.objects.filter(pk=lapsed.pk).update(lapsed_from=readers[0], claimed_at=timezone.now())
    before, stay = places(round), {5, 7, 6, *(item.rank for item in (claimed, answered, given_back, drafted, skipped))}
    run, attempt = begun(round)
    assert {place.rank for place in reranking.movable(round).values()} == set(range(12)) - stay
    outside = [row.pk for row in recordings(4)]
    reranking.reorder(run=run, attempt=attempt, order=order_of(round, outside))
    after = places(round)
    assert {pk: after[pk] for pk, (_, rank) in before.items() if rank in stay} == {
        pk: place for pk, place in before.items() if place[1] in stay
    }
    assert [by_rank(round)[rank] for rank in (8, 9, 10, 11)] == outside
    assert run.replaced == 4


def test_what_anybody_ever_held_keeps_its_recording(scored):
    point, rows = scored
    round = open_round(point, rows[:4])
    ann, bob, cid = (someone(name) for name in ("ann", "bob", "cid"))
    seen, late = queue.claim_next(reader=ann), queue.claim_next(reader=bob)
    queue.give_back(item=seen, reader=ann)
    QueueItem.objects.filter(pk=late.pk).update(lease_until=timezone.now() - timedelta(seconds=1))
    queue.release_expired()
    for item in (seen, late):  # whoever takes the late one over gives it back as well, and no name is left on it
        assert queue.claim_next(reader=cid).pk == item.pk
    for item in (seen, late):
        queue.give_back(item=item, reader=cid)
    run, attempt = begun(round)
    outside = [row.pk for row in rows[6:10]]
    reranking.reorder(run=run, attempt=attempt, order=order_of(round, outside))
    assert by_rank(round) == [seen.recording_id, late.recording_id, *outside[:2]]
    again = queue.claim_next(reader=ann)
    stored = submit_final(item=seen, reader=ann, answer=says(AF), idempotency_key=uuid4())
    assert (again.pk, stored.recording_id) == (seen.pk, seen.recording_id), "a page left open answers what it shows"


def test_what_people_decided_while_the_order_was_made_does_not_come(scored):
    point, rows = scored
    round = open_round(point, rows[:3])
    run, attempt = begun(round)
    settled, refused, put_away, fine = rows[4:8]
    order = order_of(round, [settled.pk, refused.pk, put_away.pk, fine.pk])
    settle(round, [settled])
    QualityDecision.objects.create(recording=refused, readable=False, decided_by=admin(), decided_at=timezone.now())
    Recording.objects.filter(pk=put_away.pk).update(split="test")
    reranking.reorder(run=run, attempt=attempt, order=order)
    assert by_rank(round) == [fine.pk, rows[0].pk, rows[1].pk]


def test_copies_move_together_or_not_at_all(scored):
    point, rows = scored
    round = open_round(point, rows[:4], copies=2)
    ids = [row.pk for row in rows]
    held = queue.claim_next(reader=someone("ann"))
    assert held.recording_id == ids[0]
    run, attempt = begun(round)
    reranking.reorder(run=run, attempt=attempt, order=order_of(round, [ids[3], ids[9]]))
    by_copy = [
        list(round.items.filter(copy=copy).order_by("rank").values_list("recording", flat=True)) for copy in (1, 2)
    ]
    assert by_copy == [[ids[0], ids[3], ids[9], ids[1]]] * 2
    held.refresh_from_db()
    assert (held.state, held.recording_id) == ("claimed", ids[0])


def test_a_claim_between_reading_and_writing_is_kept(scored):
    point, rows = scored
    round = open_round(point, rows[:5])
    ids = [row.pk for row in rows]
    run, attempt = begun(round)
    order = order_of(round, [ids[4], ids[0], ids[8], ids[9], ids[3]])
    held = [queue.claim_next(reader=someone("ann")) for _ in range(2)]  # the first two: one wanted, one not
    reranking.reorder(run=run, attempt=attempt, order=order)
    assert [item.recording_id for item in held] == ids[:2]
    for item in held:
        state = (item.state, item.recording_id, item.rank)
        item.refresh_from_db()
        assert (item.state, item.recording_id, item.rank) == state
    assert by_rank(round) == [ids[0], ids[1], ids[4], ids[8], ids[9]]


def test_what_was_not_judged_stays_and_nothing_comes_twice(scored):
    point, rows = scored
    round = open_round(point, rows[:4])
    ids = [row.pk for row in rows]
    order = order_of(round, [ids[2], ids[3], ids[1], ids[7]])
    order = NewOrder(order.judged - {ids[1]}, [ids[2], ids[3], ids[1], ids[7], ids[0]], order.reasons)
    run, attempt = begun(round)
    reranking.reorder(run=run, attempt=attempt, order=order)
    assert by_rank(round) == [ids[2], ids[1], ids[3], ids[7]], "the second stays where it was"


def test_an_empty_queue_and_a_queue_in_order_are_fine(scored):
    point, rows = scored
    round = open_round(point, rows[:2])
    run, attempt = begun(round)
    reranking.reorder(run=run, attempt=attempt, order=order_of(round, [row.pk for row in rows[:2]]))
    assert (run.waiting, run.moved, run.replaced) == (2, 0, 0)
    QueueItem.objects.filter(round=round).update(origin="audit")
    run, attempt = begun(round)
    reranking.reorder(run=run, attempt=attempt, order=order_of(round, [rows[5].pk]))
    assert (run.waiting, run.moved, run.replaced) == (0, 0, 0)


def test_only_an_open_round_whose_order_corrections_change(scored):
    point, rows = scored
    filled = open_round(point, rows[:3], is_open=False)
    with pytest.raises(WrongState, match="is filled; only what waits in an open round"):
        reranking.request(round=filled, by=admin())
    with pytest.raises(WrongState, match="which no correction changes"):
        reranking.request(round=make_round(3), by=admin())
    with pytest.raises(WrongState, match="by novelty, which is measured at scoring alone: it is not re-ordered"):
        reranking.request(round=open_round(point, rows[3:6], strategy="novelty"), by=admin())
    rounds.open_round(round=filled, by=admin())
    filled.refresh_from_db()
    run, attempt = begun(filled)
    order = order_of(filled, [rows[2].pk])
    rounds.close_round(round=filled, by=admin())
    with pytest.raises(WrongState, match="is closed"):
        reranking.reorder(run=run, attempt=attempt, order=order)
    assert by_rank(filled) == [row.pk for row in rows[:3]]


def test_an_attempt_that_lost_the_run_writes_nothing(scored):
    point, rows = scored
    round = open_round(point, rows[:3])
    run, attempt = begun(round)
    Reranking.objects.filter(pk=run.pk).update(attempt=attempt + 1)  # another worker has it by now
    before = places(round)
    with pytest.raises(WrongState, match="has lost job"), transaction.atomic():
        reranking.reorder(run=run, attempt=attempt, order=order_of(round, [rows[2].pk]))
    assert places(round) == before


def corrects(round: Round, count: int) -> None:
    """One reader corrects as many recordings."""
    ann = someone("ann")
    for _ in range(count):
        item = queue.claim_next(reader=ann, round=round)
        answer = says(SINUS if item.recording.source_abnormal else AF)
        submit_final(item=item, reader=ann, answer=answer, idempotency_key=uuid4())


@pytest.mark.django_db(transaction=True)
def test_one_is_asked_for_after_so_many_corrections_and_a_burst_asks_once(settings):
    settings.RERANK_AFTER_CORRECTIONS = 3
    point, rows = pool(18)
    round = open_round(point, rows)
    corrects(round, 2)
    assert not Reranking.objects.exists()
    corrects(round, 1)
    first = Reranking.objects.get()
    corrects(round, 2)
    assert Reranking.objects.count() == 1, "the one that waits will see them all"
    assert reranking.take(first.pk) == 1
    first.refresh_from_db()
    assert (first.corrections, first.fresh) == (5, 5)
    corrects(round, 2)
    assert Reranking.objects.count() == 1
    corrects(round, 4)
    second = Reranking.objects.get(state=JobState.QUEUED)
    assert reranking.take(second.pk) is None, "one at a time"
    assert reranking.take(first.pk) is None, "a message that came twice"
    reranking.reorder(run=first, attempt=1, order=order_of(round, []))
    assert reranking.take(second.pk) == 1
    second.refresh_from_db()
    assert (second.corrections, second.fresh) == (11, 6)


@pytest.mark.django_db(transaction=True)
def test_zero_turns_it_off_and_confirmations_do_not_count(settings):
    settings.RERANK_AFTER_CORRECTIONS = 1
    point, rows = pool(12)
    round = open_round(point, rows)
    ann = someone("ann")
    item = queue.claim_next(reader=ann)
    submit_final(item=item, reader=ann, answer=says(AF if item.recording.source_abnormal else SINUS),
                 idempotency_key=uuid4())  # fmt: skip
    assert not Reranking.objects.exists()
    settings.RERANK_AFTER_CORRECTIONS = 0
    corrects(round, 2)
    assert not Reranking.objects.exists()
    reranking.request(round=round, by=admin())
    assert Reranking.objects.count() == 1, "an admin may ask all the same"


@pytest.mark.django_db(transaction=True)
def test_agreeing_copies_that_correct_count_too(settings):
    settings.RERANK_AFTER_CORRECTIONS = 1
    point, rows = pool(6)
    open_round(point, rows, copies=2)
    for name in ("ann", "bob"):
        item = queue.claim_next(reader=someone(name))
        submit_final(item=item, reader=someone(name), answer=says(AF), idempotency_key=uuid4())
    assert Reranking.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_two_workers_with_two_messages_begin_one():
    point, rows = pool(6)
    round = open_round(point, rows)
    run = asked(round)
    lost = Reranking.objects.create(round=round, attempt=1)  # given back by a worker that fell silent
    taken = together(2, lambda number: reranking.take([run.pk, lost.pk][number]))
    assert len([attempt for attempt in taken if attempt is not None]) == 1, taken
    assert Reranking.objects.filter(state=JobState.RUNNING).count() == 1


@pytest.mark.django_db(transaction=True)
def test_claims_wait_for_the_writing_and_find_the_new_order():
    point, rows = pool(8)
    round = open_round(point, rows)
    run, attempt = begun(round)
    ids = [row.pk for row in rows]
    found = []

    def claim() -> None:
        try:
            found.append(queue.claim_next(reader=someone("ann")))
        finally:
            connection.close()

    reader = threading.Thread(target=claim)
    with transaction.atomic():
        reranking.reorder(run=run, attempt=attempt, order=order_of(round, ids[::-1]))
        reader.start()
        reader.join(0.3)
        assert reader.is_alive(), "all rows are locked: a claim that did not wait would find nothing"
    reader.join(30)
    assert found[0].recording_id == ids[-1]
    assert found[0].rank == 0


@pytest.mark.django_db(transaction=True)
def test_a_claim_that_began_first_is_waited_for_and_kept():
    point, rows = pool(8)
    round = open_round(point, rows)
    run, attempt = begun(round)
    ids = [row.pk for row in rows]
    order, written = order_of(round, [*ids[:0:-1], ids[0]]), threading.Event()

    def write() -> None:
        try:
            reranking.reorder(run=run, attempt=attempt, order=order)
            written.set()
        finally:
            connection.close()

    writer = threading.Thread(target=write)
    with transaction.atomic():
        held = queue.claim_next(reader=someone("ann"))
        writer.start()
        assert not written.wait(0.3)
    writer.join(30)
    assert written.is_set()
    held.refresh_from_db()
    assert (held.recording_id, held.rank, held.state) == (ids[0], 0, "claimed")
    assert by_rank(round) == [ids[0], *ids[:0:-1]]


@pytest.mark.django_db(transaction=True)
def test_readers_go_on_while_the_order_changes_again_and_again():
    point, rows = pool(120)
    round = open_round(point, rows[:80])
    outside = [row.pk for row in rows[80:]]
    readers = [someone(f"reader{n}") for n in range(3)]

    def act(number: int) -> list[int]:
        if number < len(readers):
            done = []
            for _ in range(12):
                item = queue.claim_next(reader=readers[number])
                submit_final(item=item, reader=readers[number], answer=says(AF), idempotency_key=uuid4())
                done.append(item.pk)
            return done
        for turn in range(6):
            run, attempt = begun(round)
            wanted = [*outside[turn * 5 : turn * 5 + 5], *sorted(reranking.movable(round), reverse=turn % 2 == 0)]
            reranking.reorder(run=run, attempt=attempt, order=order_of(round, wanted))
        return []

    results = together(4, act)
    assert not [result for result in results if isinstance(result, Exception)], results
    done = [pk for result in results for pk in result]
    assert len(done) == len(set(done)) == 36
    assert round.items.filter(state="answered").count() == 36
    assert len(set(by_rank(round))) == 80
    assert sorted(round.items.values_list("rank", flat=True)) == list(range(80))


def test_the_admin_asks_and_the_page_says_what_became_of_it(client, scored):
    point, rows = scored
    round = open_round(point, rows[:4])
    client.force_login(admin())
    page = reverse("manage-round", args=[round.pk])
    said = client.get(page).content.decode()
    assert "As it was filled. Anew after each 10 corrections." in said
    assert "Re-order now" in said
    client.post(reverse("manage-round-reorder", args=[round.pk]))
    said = client.get(page).content.decode()
    assert "A new order is being made." in said
    assert "Re-order now" not in said
    run = Reranking.objects.get()
    assert run.created_by == admin()
    attempt = reranking.take(run.pk)
    settle(round, rows[10:11])
    reranking.reorder(run=run, attempt=attempt, order=order_of(round, [rows[9].pk]))
    said = client.get(page).content.decode()
    assert "Re-ordered 0 s ago after 0 corrections: 4 of 4 waiting recordings moved, 1 of them new to the queue" in said
    failed = asked(round)
    attempt = reranking.take(failed.pk)
    failed.refresh_from_db()
    job_state.fail(failed, attempt, "Too few are known.")
    said = client.get(page).content.decode()
    assert "No new order could be made: Too few are known." in said
    assert "Re-order now" in said


@pytest.mark.parametrize("role", [Role.READER, Role.ADJUDICATOR, Role.RESEARCHER])
def test_nobody_else_asks(client, scored, role):
    point, rows = scored
    round = open_round(point, rows[:4])
    client.force_login(someone("other", role))
    client.post(reverse("manage-round-reorder", args=[round.pk]))
    assert not Reranking.objects.exists()


def test_a_round_drawn_at_random_says_nothing_of_an_order(client):
    round = make_round(3)
    client.force_login(admin())
    said = client.get(reverse("manage-round", args=[round.pk])).content.decode()
    assert "Re-order" not in said
