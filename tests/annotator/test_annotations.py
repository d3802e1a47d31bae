"""Answers: what they may say, idempotency, append-only, revision, drafts, and two tabs at once."""

import math
from uuid import uuid4

import pytest
from django.db import IntegrityError, transaction

from annotator.errors import InvalidInput, NotAllowed, NotFound, WrongState
from annotator.models import Adjudication, Annotation, Consensus, Draft, QueueItem
from annotator.services import queue, rounds
from annotator.services.annotations import revise, save_draft, submit_final, submit_first
from annotator.services.answers import Answer, MarkAnswer, Statement
from tests.annotator.reading_world import AF, LBBB, NORMAL_ECG, SINUS, make_round, person, read, says
from tests.annotator.test_queue import together


def submit(item, reader, answer, key=None):
    return submit_final(item=item, reader=reader, answer=answer, idempotency_key=key or uuid4())


def claimed(reader, **kinds):
    make_round(**kinds)
    return queue.claim_next(reader=reader)


def mark(**fields):
    return MarkAnswer(**{"lead_names": ("V1",), "start_s": 1.0, "end_s": 2.0} | fields)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("answer", "overall"),
    [
        (says(SINUS), "normal"),
        (says(SINUS, AF), "abnormal"),
        (says(AF, overall="normal", override_reason="paced, as expected"), "normal"),
        (says(overall="abnormal"), "abnormal"),
        (says(overall="unreadable", unreadable_reason="loose leads"), "unreadable"),
        (Answer(statements=(Statement(AF, "possible"),)), "abnormal"),
        (says(AF, marks=(mark(), mark(end_s=None), mark(lead_names=("aVF", "III")), mark(end_s=10.0))), "abnormal"),
    ],
)
def test_overall_follows_from_the_statements(answer, overall):
    ann = person("ann")
    assert submit(claimed(ann), ann, answer).overall == overall


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (says(), "Nothing is said"),
        (says("1"), "no statement of the round's scheme"),
        (says(AF, AF), "stated twice"),
        (Answer(statements=(Statement(AF, "maybe"),)), "qualifier 'maybe'"),
        (says(AF, overall="fine"), "one of normal, abnormal, unreadable"),
        (says(AF, overall="normal"), "Give a reason"),
        (says(NORMAL_ECG, AF), "can't both hold"),
        (says(overall="unreadable"), "Why is it unreadable"),
        (says(AF, overall="unreadable", unreadable_reason="noise"), "no statements and no marks"),
        (says(AF, unreadable_reason="noise"), "Remove one of the two"),
        (says(AF, text="x" * 10_001), "10,001 characters"),
        (says(AF, text="a\x00b"), "NUL"),
        (says(AF, confidence="sure"), "low, medium, high"),
        (says(AF, duration_ms=-1), "duration_ms"),
        (says(AF, display={"x": "y" * 5000}), "display"),
        (says(AF, marks=(mark(lead_names=()),)), "at least one lead"),
        (says(AF, marks=(mark(lead_names=("V6",)),)), "V6 is not in this recording"),
        (says(AF, marks=(mark(start_s=-0.1),)), "starts at -0.1 s"),
        (says(AF, marks=(mark(start_s=math.nan),)), "starts at nan"),
        (says(AF, marks=(mark(end_s=10.1),)), "ends at 10.1"),
        (says(AF, marks=(mark(end_s=0.5),)), "ends at 0.5"),
        (says(AF, marks=(mark(code="1"),)), "no statement of the round's scheme"),
        (says(AF, marks=(mark(),) * 201), "at most 200"),
        (says(*[AF] * 41), "at most 40"),
    ],
)
def test_what_can_not_be_a_reading_is_refused_and_nothing_changes(answer, words):
    ann = person("ann")
    item = claimed(ann)
    with pytest.raises(InvalidInput, match=words):
        submit(item, ann, answer)
    item.refresh_from_db()
    assert item.state == "claimed"
    assert not Annotation.objects.exists()


@pytest.mark.django_db
def test_the_same_key_returns_what_it_stored():
    ann, key = person("ann"), uuid4()
    item = claimed(ann, count=2)
    stored = submit(item, ann, says(AF), key)
    assert submit(item, ann, says(AF), key) == stored
    assert (Annotation.objects.count(), Consensus.objects.count()) == (1, 1)
    with pytest.raises(WrongState, match="used for another answer"):
        submit(queue.claim_next(reader=ann), ann, says(AF), key)
    with pytest.raises(WrongState, match="Reopen it from your last answers"):
        submit(item, ann, says(AF))


@pytest.mark.django_db
def test_one_first_read_then_the_final():
    ann, key = person("ann"), uuid4()
    item = claimed(ann, reveal="after_first_read")
    with pytest.raises(WrongState, match="blind first read"):
        submit(item, ann, says(AF))
    first = submit_first(item=item, reader=ann, answer=says(AF), idempotency_key=key)
    assert submit_first(item=item, reader=ann, answer=says(AF), idempotency_key=key) == first
    with pytest.raises(WrongState, match="has a first read of yours"):
        submit_first(item=item, reader=ann, answer=says(SINUS), idempotency_key=uuid4())
    with pytest.raises(WrongState, match="used for another answer"):
        submit(item, ann, says(AF), key)
    final = submit(item, ann, says(SINUS))
    assert [row.stage for row in Annotation.objects.order_by("pk")] == ["first", "final"]
    assert final.scheme == item.round.scheme


@pytest.mark.django_db
def test_annotations_can_not_be_changed_even_by_the_program():
    ann = person("ann")
    stored = submit(claimed(ann), ann, says(AF, marks=(mark(),)))
    for change in (
        lambda: Annotation.objects.update(overall="normal"),
        lambda: stored.marks.all().delete(),
        lambda: Consensus.objects.all().delete(),
    ):
        with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
            change()


@pytest.mark.django_db
def test_a_draft_is_one_s_own_and_limited():
    ann, bob = person("ann"), person("bob")
    item = claimed(ann)
    with pytest.raises(WrongState, match="another reader"):
        save_draft(item=item, reader=bob, content={}, version=0)
    with pytest.raises(InvalidInput, match="at most"):
        save_draft(item=item, reader=ann, content={"text": "x" * 70_000}, version=0)
    with pytest.raises(WrongState) as caught:
        save_draft(item=item, reader=ann, content={"text": "a"}, version=4)
    assert caught.value.detail["draft"] == {"content": {}, "version": 0}
    save_draft(item=item, reader=ann, content={"text": "a"}, version=0)
    assert Draft.objects.get().version == 1


@pytest.mark.django_db
def test_a_revision_hides_nothing_and_moves_the_consensus():
    ann, bob = person("ann"), person("bob")
    stored = submit(claimed(ann), ann, says(AF))
    key = uuid4()
    newer = revise(annotation=stored, reader=ann, answer=says(SINUS), idempotency_key=key)
    assert revise(annotation=stored, reader=ann, answer=says(SINUS), idempotency_key=key) == newer
    assert newer.revises == stored
    assert [(row.overall, row.corrects) for row in Consensus.objects.order_by("pk")] == [
        ("abnormal", True),
        ("normal", False),
    ]
    with pytest.raises(WrongState, match="revised this answer already"):
        revise(annotation=stored, reader=ann, answer=says(LBBB), idempotency_key=uuid4())
    with pytest.raises(NotFound):
        revise(annotation=newer, reader=bob, answer=says(LBBB), idempotency_key=uuid4())


@pytest.mark.django_db
def test_a_first_read_and_a_closed_round_can_not_be_revised():
    ann = person("ann")
    round = make_round(1, reveal="after_first_read")
    item = read(ann, says(AF), first=says(AF))
    first, final = item.annotations.order_by("pk")
    with pytest.raises(NotAllowed, match="first read stays"):
        revise(annotation=first, reader=ann, answer=says(SINUS), idempotency_key=uuid4())
    rounds.close_round(round=round, by=person("chief", "admin"))
    with pytest.raises(WrongState, match="is closed"):
        revise(annotation=final, reader=ann, answer=says(SINUS), idempotency_key=uuid4())


@pytest.mark.django_db(transaction=True)
def test_the_same_submit_from_two_tabs_is_stored_once():
    ann = person("ann")
    make_round(6)
    for _ in range(6):
        item, key = queue.claim_next(reader=ann), uuid4()
        stored = together(4, lambda _, item=item, key=key: submit(item, ann, says(AF), key))
        assert len({row.pk for row in stored}) == 1, stored
    assert Annotation.objects.count() == Consensus.objects.count() == 6


@pytest.mark.django_db(transaction=True)
def test_different_submits_from_two_tabs_store_one_and_refuse_the_other():
    ann = person("ann")
    item = claimed(ann)
    results = together(2, lambda _: submit(item, ann, says(AF)))
    assert sorted(type(result).__name__ for result in results) == ["Annotation", "WrongState"]


@pytest.mark.django_db(transaction=True)
def test_drafts_of_two_tabs_one_wins_the_other_is_told():
    ann = person("ann")
    item = claimed(ann)
    results = together(2, lambda n: save_draft(item=item, reader=ann, content={"tab": n}, version=0))
    assert sorted(type(result).__name__ for result in results) == ["Draft", "WrongState"]
    loser = next(result for result in results if isinstance(result, WrongState))
    assert loser.detail["draft"]["version"] == 1


@pytest.mark.django_db(transaction=True)
def test_the_last_copies_answered_at_once_are_concluded_once():
    make_round(6, copies=3)
    readers = [person(name) for name in ("ann", "bob", "cem")]
    for turn in range(6):
        items = [queue.claim_next(reader=reader) for reader in readers]
        answer = says(AF) if turn % 2 else says(SINUS)
        last = says(LBBB) if turn >= 4 else answer
        results = together(3, lambda n, i=items, a=answer, b=last: submit(i[n], readers[n], b if n == 2 else a))
        assert all(isinstance(result, Annotation) for result in results), results
    assert Consensus.objects.filter(source="agreement").count() == 4
    assert Adjudication.objects.count() == 2
    assert not QueueItem.objects.exclude(state="answered").exists()
