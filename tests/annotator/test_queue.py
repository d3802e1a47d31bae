"""Claims: order, disjointness, leases, skips, and races of real connections."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import uuid4

import pytest
from django.conf import settings
from django.db import connection, connections
from django.utils import timezone

from annotator.errors import InvalidInput, NotAllowed, WrongState
from annotator.models import Annotation, QueueItem, Role, Skip
from annotator.selectors import worklists
from annotator.services import queue, rounds
from annotator.services.annotations import save_draft, submit_final
from tests.annotator.reading_world import AF, SINUS, make_round, person, read, says


def expire(*items):
    QueueItem.objects.filter(pk__in=[item.pk for item in items]).update(
        lease_until=timezone.now() - timedelta(seconds=1)
    )


def together(count, action):
    """Run `action(n)` in threads with connections of their own, all let go at once; return the results."""
    gate = threading.Barrier(count)

    def run(number):
        try:
            gate.wait(30)
            return action(number)
        except Exception as error:
            return error
        finally:
            connections["default"].close()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


@pytest.mark.django_db
def test_items_come_by_rank_and_a_reader_gets_each_recording_once():
    round = make_round(3, copies=2)
    ann, bob = person("ann"), person("bob")
    mine = [queue.claim_next(reader=ann) for _ in range(3)]
    assert [(item.rank, item.copy) for item in mine] == [(0, 1), (1, 1), (2, 1)]
    other = queue.claim_next(reader=bob, round=round)
    assert (other.rank, other.copy) == (0, 2)
    assert other.lease_until > timezone.now() + timedelta(seconds=settings.LEASE_S - 5)


@pytest.mark.django_db
def test_at_most_three_are_held_and_the_words_say_so():
    make_round(5)
    ann = person("ann")
    held = [queue.claim_next(reader=ann) for _ in range(3)]
    assert queue.claim_next(reader=ann) is None
    words = worklists.why_nothing(ann, queue.HELD_MAX)
    assert all(f"R-{item.recording_id}" in words for item in held)
    queue.give_back(item=held[0], reader=ann)
    assert queue.claim_next(reader=ann) == held[0]


@pytest.mark.django_db
def test_the_open_round_with_the_lowest_number_comes_first():
    first, second = make_round(1), make_round(1)
    ann = person("ann")
    assert [queue.claim_next(reader=ann).round for _ in range(2)] == [first, second]
    assert queue.claim_next(reader=ann) is None


@pytest.mark.django_db
def test_why_there_is_nothing():
    ann, bob = person("ann"), person("bob")
    assert "No round is open" in worklists.why_nothing(ann)
    make_round(1)
    item = queue.claim_next(reader=bob)
    assert queue.claim_next(reader=ann) is None
    assert f"held by other readers until {timezone.localtime(item.lease_until):%H:%M}" in worklists.why_nothing(ann)
    submit_final(item=item, reader=bob, answer=says(AF), idempotency_key=uuid4())
    assert worklists.why_nothing(ann) == "You have read or passed on all that waits."
    assert worklists.worklist(ann)["why_nothing"]


@pytest.mark.django_db
@pytest.mark.parametrize("role", [Role.ADJUDICATOR, Role.ADMIN, Role.RESEARCHER])
def test_only_readers_claim(role):
    make_round(1)
    with pytest.raises(NotAllowed, match="only readers"):
        queue.claim_next(reader=person("eve", role))


@pytest.mark.django_db
def test_rounds_that_are_not_open_give_nothing():
    round = make_round(1, is_open=False)
    ann = person("ann")
    assert queue.claim_next(reader=ann) is None
    with pytest.raises(WrongState, match="only an open round"):
        queue.claim_next(reader=ann, round=round)


@pytest.mark.django_db
def test_a_skipped_recording_goes_to_others_and_never_back():
    make_round(1, copies=2)
    ann, bob = person("ann"), person("bob")
    item = queue.claim_next(reader=ann)
    with pytest.raises(InvalidInput, match="needs a reason"):
        queue.skip(item=item, reader=ann, reason="   ")
    queue.skip(item=item, reader=ann, reason="my own ECG")
    assert Skip.objects.get().reason == "my own ECG"
    assert queue.claim_next(reader=ann) is None  # nor the other copy
    assert queue.claim_next(reader=bob) == item
    with pytest.raises(WrongState, match="with another reader"):
        queue.skip(item=item, reader=ann, reason="again")


@pytest.mark.django_db
def test_a_heartbeat_extends_all_that_is_held_and_fails_for_others():
    make_round(2)
    ann, bob = person("ann"), person("bob")
    first, second = queue.claim_next(reader=ann), queue.claim_next(reader=ann)
    expire(first, second)
    until = queue.heartbeat(item=first, reader=ann)
    second.refresh_from_db()
    assert second.lease_until == until > timezone.now()
    with pytest.raises(WrongState, match="another reader"):
        queue.heartbeat(item=first, reader=bob)
    with pytest.raises(WrongState):
        queue.give_back(item=first, reader=bob)


@pytest.mark.django_db
def test_expired_claims_go_to_the_next_reader_when_nothing_else_waits():
    make_round(1)
    ann, bob = person("ann"), person("bob")
    item = queue.claim_next(reader=ann)
    assert queue.claim_next(reader=bob) is None
    expire(item)
    assert queue.claim_next(reader=bob) == item
    with pytest.raises(WrongState, match="draft is kept"):
        submit_final(item=item, reader=ann, answer=says(AF), idempotency_key=uuid4())
    assert not Annotation.objects.exists()


@pytest.mark.django_db
def test_a_lapsed_claim_is_taken_back_by_its_reader_alone():
    make_round(2)
    ann, bob = person("ann"), person("bob")
    item = queue.claim_next(reader=ann)
    expire(item)
    assert queue.release_expired() == 1
    assert queue.release_expired() == 0
    with pytest.raises(WrongState, match="Claim the next"):  # the queue's order can't be gone round
        submit_final(item=item, reader=bob, answer=says(AF), idempotency_key=uuid4())
    assert save_draft(item=item, reader=ann, content={"text": "slow"}, version=0).version == 1
    item.refresh_from_db()
    assert (item.state, item.claimed_by, item.lapsed_from) == ("claimed", ann, None)
    expire(item)
    queue.release_expired()
    submit_final(item=item, reader=ann, answer=says(AF), idempotency_key=uuid4())
    item.refresh_from_db()
    assert item.state == "answered"


@pytest.mark.django_db
def test_what_was_given_back_or_skipped_is_not_taken_back():
    make_round(1)
    ann = person("ann")
    item = queue.claim_next(reader=ann)
    queue.give_back(item=item, reader=ann)
    with pytest.raises(WrongState, match="waits in the queue"):
        submit_final(item=item, reader=ann, answer=says(AF), idempotency_key=uuid4())


@pytest.mark.django_db
def test_a_closed_round_refuses_in_words():
    round = make_round(2)
    ann = person("ann")
    item = queue.claim_next(reader=ann)
    rounds.close_round(round=round, by=person("chief", Role.ADMIN))
    for act in (
        lambda: queue.heartbeat(item=item, reader=ann),
        lambda: queue.skip(item=item, reader=ann, reason="late"),
        lambda: save_draft(item=item, reader=ann, content={}, version=0),
        lambda: submit_final(item=item, reader=ann, answer=says(AF), idempotency_key=uuid4()),
    ):
        with pytest.raises(WrongState, match="Round 1 is closed"):
            act()


@pytest.mark.django_db
def test_the_claim_reads_the_queue_s_index_and_sorts_nothing():
    make_round(60, copies=2)
    ann = person("ann")
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE annotator_queueitem")
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute("EXPLAIN " + queue.CLAIM, queue.claim_parameters(ann, None))
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert "item_waiting" in plan
    assert "Sort Key: item." not in plan


@pytest.mark.django_db(transaction=True)
def test_sixteen_readers_at_once_hold_the_top_sixteen():
    make_round(40)
    readers = [person(f"reader{n}") for n in range(16)]
    items = together(16, lambda n: queue.claim_next(reader=readers[n]))
    assert sorted(item.rank for item in items) == list(range(16))
    assert {item.pk: item.claimed_by for item in items} == {
        item.pk: reader for item, reader in zip(items, readers, strict=True)
    }


@pytest.mark.django_db(transaction=True)
def test_more_readers_than_items_get_each_once():
    make_round(5)
    readers = [person(f"reader{n}") for n in range(12)]
    items = [item for item in together(12, lambda n: queue.claim_next(reader=readers[n])) if item]
    assert sorted(item.rank for item in items) == list(range(5))


@pytest.mark.django_db(transaction=True)
def test_tabs_of_one_reader_hold_three_different_recordings_at_most():
    make_round(6, copies=3)
    ann = person("ann")
    items = [item for item in together(8, lambda _: queue.claim_next(reader=ann)) if item]
    assert not [item for item in items if isinstance(item, Exception)]
    assert sorted(item.rank for item in items) == [0, 1, 2]
    assert worklists.held_items(ann).count() == 3


@pytest.mark.django_db(transaction=True)
def test_a_submit_against_the_expiry_and_the_next_reader():
    make_round(20)
    ann = person("ann")
    for turn in range(8):
        item = queue.claim_next(reader=ann)
        expire(item)
        bob = person(f"bob{turn}")

        def act(n, item=item, bob=bob):
            if n == 0:
                return submit_final(item=item, reader=ann, answer=says(AF), idempotency_key=uuid4())
            return queue.release_expired() if n == 1 else queue.claim_next(reader=bob)

        stored, _, other = together(3, act)
        item.refresh_from_db()
        if isinstance(stored, Annotation):
            assert (item.state, item.claimed_by) == ("answered", ann)
            assert other is None or other != item
        else:  # the other reader took it first; nothing of ann's was stored
            assert isinstance(stored, WrongState), stored
            assert other == item
            assert not item.annotations.exists()
        if other:
            submit_final(item=other, reader=bob, answer=says(SINUS), idempotency_key=uuid4())


@pytest.mark.django_db(transaction=True)
def test_closing_against_claims_and_answers_leaves_nothing_held():
    round = make_round(30)
    admin = person("chief", Role.ADMIN)
    readers = [person(f"reader{n}") for n in range(6)]

    def act(n):
        if n == 6:
            return rounds.close_round(round=round, by=admin)
        try:
            return [read(readers[n], says(AF)) for _ in range(3)]
        except (WrongState, AssertionError) as error:
            return error

    together(7, act)
    states = set(QueueItem.objects.values_list("state", flat=True))
    assert states <= {"answered", "withdrawn"}
    answered = QueueItem.objects.filter(state="answered")
    assert answered.count() == Annotation.objects.count()
