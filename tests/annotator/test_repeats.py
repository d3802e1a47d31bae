"""Repeats: whose they are, who can claim them, what they give away, and that they never change a label."""

import re
from uuid import uuid4

import pytest
from django.db import IntegrityError, connection, transaction

from annotator.models import Consensus, QueueItem, Recording, Role
from annotator.selectors import reader_checks, training_pool, worklists
from annotator.selectors.loop import corrections_since_training, loop
from annotator.selectors.progress import progress
from annotator.services import queue, rounds
from annotator.services.annotations import revise, submit_final
from tests.annotator.checks_world import answer, boss, claimed, closed_round, next_round
from tests.annotator.reading_world import AF, LBBB, SINUS, body, client, make_round, person, says
from tests.annotator.test_queue import together

pytestmark = pytest.mark.django_db


def readings_of(reader):
    return list(QueueItem.objects.filter(claimed_by=reader).order_by("pk").values_list("recording", flat=True))


def test_a_reader_repeats_what_they_answered_in_closed_rounds_and_nothing_else():
    ann, bob, gone = person("ann"), person("bob"), person("gone")
    closed_round({ann: [says(AF)] * 2, bob: [says(SINUS)], gone: [says(AF)]})
    gone.is_active = False
    gone.save()
    mine, theirs = readings_of(ann), readings_of(bob)
    Recording.objects.filter(pk=mine[0]).update(split="test")
    open_one = make_round(1)
    answer(claimed(ann), ann, says(AF))  # in a round that is still open
    new = next_round(ordinary=1)
    assert reader_checks.own_readings(new) == {ann.pk: mine[1:], bob.pk: theirs}
    rounds.close_round(round=open_one, by=boss())
    assert len(reader_checks.own_readings(new)[ann.pk]) == 2
    rounds.close_round(round=new, by=boss())
    again = next_round(repeats={mine[1]: ann})
    answer(claimed(ann), ann, says(AF))
    rounds.close_round(round=again, by=boss())
    assert mine[1] not in reader_checks.own_readings(next_round(ordinary=1))[ann.pk]  # once is enough


def test_only_their_reader_gets_it_and_in_its_place():
    ann, bob, cem = person("ann"), person("bob"), person("cem")
    closed_round({ann: [says(AF)] * 2, bob: [says(AF)]})
    own = readings_of(ann)
    round = next_round(repeats={own[0]: ann, readings_of(bob)[0]: bob, own[1]: ann}, ordinary=2)
    QueueItem.objects.filter(round=round, rank=2).update(rank=9)  # ann's second stands last
    assert claimed(cem).rank == 3
    assert [claimed(ann).rank for _ in range(3)] == [0, 4, 9]
    assert claimed(bob).rank == 1
    assert queue.claim_next(reader=bob) is None
    waiting = worklists.worklist(cem)["rounds"][0]
    assert waiting["waiting"] == 0


def test_the_database_gives_a_repeat_to_nobody_else():
    ann, bob = person("ann"), person("bob")
    closed_round({ann: [says(AF)]})
    next_round(repeats={readings_of(ann)[0]: ann})
    item = QueueItem.objects.get(origin="repeat")
    for changes in (
        {"claimed_by": bob, "state": "claimed", "lease_until": "2030-01-01T00:00Z"},
        {"reserved_for": None},
    ):
        with pytest.raises(IntegrityError), transaction.atomic():
            QueueItem.objects.filter(pk=item.pk).update(**changes)


def test_passed_over_and_given_back_repeats():
    ann = person("ann")
    closed_round({ann: [says(AF)] * 2})
    next_round(repeats=dict.fromkeys(readings_of(ann), ann), ordinary=1)
    first = claimed(ann)
    queue.give_back(item=first, reader=ann)
    assert claimed(ann) == first
    queue.skip(item=first, reader=ann, reason="a relative")
    assert [claimed(ann).rank, claimed(ann).rank] == [1, 2]
    assert queue.claim_next(reader=ann) is None


@pytest.mark.parametrize("copies", [1, 2])
def test_an_answer_on_a_repeat_changes_no_label_and_no_count_of_corrections(copies):
    ann, bob = person("ann"), person("bob")
    earlier = closed_round({ann: [says(AF)], bob: [says(AF)]} if copies > 1 else {ann: [says(AF)]}, copies=copies)
    [recording] = readings_of(ann)
    held = Consensus.objects.get()
    before = (corrections_since_training(), training_pool.corrections([earlier.datasets.get().pk]).count())
    round = next_round(repeats={recording: ann}, copies=copies)
    item = claimed(ann)
    assert QueueItem.objects.filter(round=round).count() == 1  # one copy, whatever the readers an item
    answer(item, ann, says(LBBB))
    newest = revise(annotation=item.annotations.get(), reader=ann, answer=says(SINUS, LBBB), idempotency_key=uuid4())
    assert newest.revises_id
    assert progress(round)["corrections"]["of"] == progress(round)["concluded"] == 0
    rounds.close_round(round=round, by=boss())
    assert list(Consensus.objects.all()) == [held]
    assert before == (corrections_since_training(), training_pool.corrections([earlier.datasets.get().pk]).count())
    assert round.report["corrections"]["of"] == 0
    assert round.report["recordings"] == {"chosen": 0, "concluded": 0}
    assert round.report["agreement"]["overall"]["of"] == round.report["anchoring"]["overall_changed"]["of"] == 0
    assert round.report["adjudications"] == {}
    assert round.report["self_agreement"]["overall"]["count"] == 1  # both times abnormal
    assert round.report["self_agreement"]["statements"]["count"] == 0


def test_self_agreement_in_numbers():
    ann, bob = person("ann"), person("bob")
    closed_round({ann: [says(AF), says(AF), says(SINUS)], bob: [says(SINUS)]}, first=True)
    mine, theirs = readings_of(ann), readings_of(bob)
    round = next_round(repeats=dict.fromkeys(mine, ann) | dict.fromkeys(theirs, bob), reveal="after_first_read")
    for said, first in ((AF, SINUS), (LBBB, AF), (AF, AF)):
        answer(claimed(ann), ann, says(said), first=says(first))
    answer(claimed(bob), bob, says(SINUS), first=says(SINUS))
    rounds.close_round(round=round, by=boss())
    found = round.report["self_agreement"]
    assert (found["overall"]["count"], found["overall"]["of"]) == (3, 4)
    assert (found["statements"]["count"], found["statements"]["of"]) == (2, 4)
    assert (found["blind_overall"]["count"], found["blind_overall"]["of"]) == (2, 4)
    assert found["kappa_overall"] == pytest.approx(0.5)
    assert [(one["reader"], one["overall"]["count"], one["overall"]["of"]) for one in found["readers"]] == [
        ("ann", 2, 3), ("bob", 1, 1),
    ]  # fmt: skip


def test_nothing_gives_a_repeat_away():
    """Before the final read and after it, a repeat looks like an item of the audit share."""
    ann = person("ann")
    closed_round({ann: [says(AF)]})
    next_round(repeats={readings_of(ann)[0]: ann}, ordinary=1, reveal="after_first_read")
    QueueItem.objects.filter(origin="strategy", round__state="open").update(origin="audit")
    api = client(ann)
    shown = []
    for _ in range(2):
        item = api.post("/api/v1/claims").json()["item"]
        revealed = api.post(f"/api/v1/claims/{item['id']}/first-read", body(AF), format="json").json()["reveal"]
        final = api.post(f"/api/v1/claims/{item['id']}/final-read", body(AF), format="json").json()
        assert "repeat" not in str([item, revealed, final])
        shown.append((item.keys(), revealed["origin"], revealed["reason"], revealed["consensus"], final.keys()))
    assert shown[0] == shown[1]
    assert "repeat" not in str(api.get("/api/v1/annotations").json())
    assert "repeat" not in str(api.get("/api/v1/worklist").json())


def test_a_reader_who_left_keeps_no_round_from_its_end():
    ann, bob = person("ann"), person("bob")
    closed_round({ann: [says(AF)], bob: [says(AF)]})
    round = next_round(repeats={readings_of(ann)[0]: ann}, ordinary=1)
    ann.is_active = False
    ann.save()
    answer(claimed(bob), bob, says(SINUS))
    assert queue.claim_next(reader=bob) is None
    assert loop().to_read == 0
    rounds.close_round(round=round, by=boss())
    assert QueueItem.objects.get(origin="repeat").state == "withdrawn"
    assert round.report["self_agreement"]["overall"]["of"] == 0


def test_the_claim_sorts_nothing_and_looks_at_no_repeat_of_others():
    ann, bob = person("ann"), person("bob")
    closed_round({ann: [says(AF)] * 30})
    next_round(repeats=dict.fromkeys(readings_of(ann), ann), ordinary=30)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE annotator_queueitem")
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute("EXPLAIN (ANALYZE) " + queue.CLAIM, queue.claim_parameters(bob, None))
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert "item_waiting" in plan
    assert "item_reserved" in plan
    assert max(map(int, re.findall(r"Rows Removed by Filter: (\d+)", plan))) <= 1, plan  # the closed round's row


@pytest.mark.django_db(transaction=True)
def test_two_tabs_claim_and_answer_a_repeat_once():
    ann, bob = person("ann"), person("bob")
    closed_round({ann: [says(AF)] * 6})
    next_round(repeats=dict.fromkeys(readings_of(ann), ann), ordinary=6)
    readers = [ann, ann, bob, ann, bob, bob]
    items = together(6, lambda n: queue.claim_next(reader=readers[n]))
    assert not [item for item in items if isinstance(item, Exception)]
    assert len({item.pk for item in items}) == 6
    of_ann = [item for item, reader in zip(items, readers, strict=True) if reader == ann]
    assert sorted(item.rank for item in of_ann) == [0, 1, 2]
    assert {item.origin for item in of_ann} == {"repeat"}
    item = of_ann[0]

    def submit(_):
        return submit_final(item=item, reader=ann, answer=says(AF), idempotency_key=uuid4())

    stored = together(3, submit)
    assert sum(not isinstance(one, Exception) for one in stored) == 1
    assert Consensus.objects.filter(round=item.round).count() == 0


@pytest.mark.django_db(transaction=True)
def test_closing_against_answers_on_repeats_leaves_nothing_held():
    ann = person("ann")
    closed_round({ann: [says(AF)] * 3})
    round = next_round(repeats=dict.fromkeys(readings_of(ann), ann))
    items = [claimed(ann) for _ in range(3)]

    def act(n):
        if n == 3:
            return rounds.close_round(round=round, by=boss())
        return submit_final(item=items[n], reader=ann, answer=says(SINUS), idempotency_key=uuid4())

    together(4, act)
    assert set(round.items.values_list("state", flat=True)) <= {"answered", "withdrawn"}
    assert not Consensus.objects.filter(round=round).exists()


def test_adjudicators_are_not_asked_to_repeat():
    cem = person("cem", Role.ADJUDICATOR)
    ann = person("ann")
    closed_round({ann: [says(AF)]})
    ann.role = Role.ADJUDICATOR
    ann.save()
    assert reader_checks.own_readings(next_round(ordinary=1)) == {}
    assert cem not in reader_checks.readers()
