"""Consensus by agreement, disagreement, adjudication by someone who did not read; races of adjudicators."""

from datetime import timedelta
from uuid import uuid4

import pytest
from django.utils import timezone

from annotator.errors import InvalidInput, NotAllowed, WrongState
from annotator.models import Adjudication, Annotation, Consensus, Role
from annotator.services import queue, reviews
from annotator.services.annotations import revise, submit_final
from annotator.services.answers import Answer, Statement
from tests.annotator.reading_world import AF, LBBB, RBBB, SINUS, body, client, make_round, person, read, says
from tests.annotator.test_queue import together


def disagree(count=1, **kinds):
    """Let two readers of a new round disagree on all its recordings; return the readers."""
    make_round(count, copies=2, **kinds)
    ann, bob = person("ann"), person("bob")
    for _ in range(count):
        read(ann, says(AF, text="irregular"))
        read(bob, says(SINUS))
    return ann, bob


def settle(adjudication, who, answer, **fields):
    fields = {"reason": "no P waves", "idempotency_key": uuid4()} | fields
    return reviews.settle(adjudication=adjudication, adjudicator=who, answer=answer, **fields)


@pytest.mark.django_db
def test_readers_who_say_the_same_codes_agree():
    make_round(1, copies=2)
    ann, bob = person("ann"), person("bob")
    read(ann, Answer(statements=(Statement(AF, "possible"), Statement(RBBB, "old"))))
    assert not Consensus.objects.exists()
    read(bob, Answer(statements=(Statement(RBBB, "old"), Statement(AF)), text="AF with RBBB"))
    holds = Consensus.objects.get()
    assert (holds.source, holds.overall, holds.corrects) == ("agreement", "abnormal", True)
    assert holds.statements == [{"code": AF, "qualifier": ""}, {"code": RBBB, "qualifier": "old"}]
    assert holds.text == "AF with RBBB"


@pytest.mark.django_db
def test_one_reader_is_enough_where_one_is_asked():
    make_round(1)
    read(person("ann"), says(SINUS))
    assert Consensus.objects.get().source == "single"


@pytest.mark.django_db
def test_a_disagreement_is_said_in_words_without_names():
    disagree()
    words = Adjudication.objects.get().disagreement
    assert "Reader A abnormal, Reader B normal" in words
    assert "Atrial fibrillation: only Reader A" in words
    assert "ann" not in words
    assert not Consensus.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("before", "codes", "now", "corrects"),
    [
        (False, (SINUS,), says(SINUS), False),
        (False, (SINUS,), says(overall="normal"), False),
        (False, (SINUS,), says(AF), True),
        (True, (AF, SINUS), says(AF), False),
        (True, (AF,), says(LBBB), True),
        (True, (AF,), says(AF, LBBB), True),
        (True, (AF,), says(overall="abnormal"), False),
        (True, (), says(AF), False),
        (True, (AF,), says(overall="unreadable", unreadable_reason="noise"), True),
        (None, (), says(AF), False),
        (None, (AF,), says(LBBB), True),
    ],
)
def test_what_counts_as_a_correction(before, codes, now, corrects):
    make_round(1, abnormal=before, codes=codes)
    read(person("ann"), now)
    assert Consensus.objects.get().corrects is corrects


@pytest.mark.django_db
def test_a_later_round_corrects_the_earlier_consensus_not_the_source():
    first = make_round(1)
    ann = person("ann")
    read(ann, says(AF))
    recording = first.items.get().recording
    make_round(1)
    second = queue.claim_next(reader=ann)
    second.recording = recording
    second.save()
    submit_final(item=second, reader=ann, answer=says(AF), idempotency_key=uuid4())
    assert [row.corrects for row in Consensus.objects.filter(recording=recording).order_by("pk")] == [True, False]


@pytest.mark.django_db
def test_an_adjudicator_sees_letters_settles_with_a_reason_and_nothing_is_lost():
    disagree(reveal="never")
    api = client(person("cem", Role.ADJUDICATOR))
    pk = api.post("/api/v1/adjudications/claim").json()["adjudication"]["id"]
    assert api.post("/api/v1/adjudications/claim").json()["adjudication"]["id"] == pk
    assert api.post(f"/api/v1/adjudications/{pk}/heartbeat").status_code == 200
    shown = api.get(f"/api/v1/adjudications/{pk}")
    assert [side["reader"] for side in shown.json()["answers"]] == ["Reader A", "Reader B"]
    assert shown.json()["answers"][0]["final"]["text"] == "irregular"
    assert shown.json()["on_file"]["report_text"] == "old text"
    listed = api.get("/api/v1/annotations")
    assert {row["reader"] for row in listed.json()["results"]} == {"Reader A", "Reader B"}
    for name in ("ann", "bob"):
        assert f'"{name}"' not in listed.content.decode()
        assert f'"{name}"' not in shown.content.decode()
    sent = body(AF, text="AF", reason="no P waves")
    assert api.post(f"/api/v1/adjudications/{pk}/settle", {**sent, "reason": " "}, format="json").status_code == 400
    settled = api.post(f"/api/v1/adjudications/{pk}/settle", sent, format="json")
    assert settled.status_code == 201, settled.json()
    assert api.post(f"/api/v1/adjudications/{pk}/settle", sent, format="json").json() == settled.json()
    assert (settled.json()["source"], settled.json()["corrects"]) == ("adjudication", True)
    assert api.get(f"/api/v1/adjudications/{pk}").json()["consensus"]["text"] == "AF"
    assert Annotation.objects.count() == 2
    assert api.post("/api/v1/adjudications/claim").json()["adjudication"] is None
    again = api.post(f"/api/v1/adjudications/{pk}/settle", body(SINUS, reason="no"), format="json")
    assert again.status_code == 409
    assert "it is settled" in again.json()["message"]
    assert [row["id"] for row in api.get("/api/v1/adjudications?state=settled").json()["results"]] == [pk]
    assert api.get("/api/v1/adjudications?state=x").status_code == 400
    assert api.get("/api/v1/adjudications/999").status_code == 404


@pytest.mark.django_db
def test_who_read_it_does_not_settle_it():
    ann, _ = disagree()
    ann.role = Role.ADJUDICATOR
    ann.save()
    assert reviews.claim_adjudication(adjudicator=ann) is None
    answer = client(ann).get(f"/api/v1/adjudications/{Adjudication.objects.get().pk}")
    assert (answer.status_code, "someone else" in answer.json()["message"]) == (403, True)
    with pytest.raises(NotAllowed, match="someone else"):
        settle(Adjudication.objects.get(), ann, says(AF))
    with pytest.raises(NotAllowed, match="only adjudicators"):
        reviews.claim_adjudication(adjudicator=person("dee", Role.ADMIN))


@pytest.mark.django_db
def test_give_back_expiry_and_the_lapsed_adjudicator():
    disagree()
    cem, dee = person("cem", Role.ADJUDICATOR), person("dee", Role.ADJUDICATOR)
    held = reviews.claim_adjudication(adjudicator=cem)
    with pytest.raises(WrongState, match="another adjudicator"):
        reviews.give_back(adjudication=held, adjudicator=dee)
    with pytest.raises(WrongState, match="another adjudicator"):
        settle(held, dee, says(AF))
    reviews.give_back(adjudication=held, adjudicator=cem)
    assert reviews.claim_adjudication(adjudicator=dee) == held
    Adjudication.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    assert queue.release_expired() == 1
    assert settle(held, dee, says(AF)).source == "adjudication"
    with pytest.raises(InvalidInput, match="Say why"):
        settle(held, dee, says(AF), reason="")


@pytest.mark.django_db
def test_one_key_is_one_decision():
    disagree(2)
    cem, key = person("cem", Role.ADJUDICATOR), uuid4()
    settle(reviews.claim_adjudication(adjudicator=cem), cem, says(AF), idempotency_key=key)
    with pytest.raises(WrongState, match="another decision"):
        settle(reviews.claim_adjudication(adjudicator=cem), cem, says(AF), idempotency_key=key)


@pytest.mark.django_db
def test_a_revision_may_end_or_start_a_disagreement_until_an_adjudicator_has_it():
    ann, bob = disagree()
    first = Annotation.objects.get(reader=ann)
    newer = revise(annotation=first, reader=ann, answer=says(SINUS), idempotency_key=uuid4())
    assert not Adjudication.objects.exists()
    assert Consensus.objects.get().source == "agreement"
    newest = revise(annotation=newer, reader=ann, answer=says(LBBB), idempotency_key=uuid4())
    assert "Left bundle branch block: only Reader A" in Adjudication.objects.get().disagreement
    reviews.claim_adjudication(adjudicator=person("cem", Role.ADJUDICATOR))
    for own, who in ((newest, ann), (Annotation.objects.get(reader=bob), bob)):
        with pytest.raises(WrongState, match="with an adjudicator"):
            revise(annotation=own, reader=who, answer=says(AF), idempotency_key=uuid4())


@pytest.mark.django_db(transaction=True)
def test_adjudicators_at_once_get_different_ones():
    disagree(4)
    people = [person(f"judge{n}", Role.ADJUDICATOR) for n in range(6)]
    held = [row for row in together(6, lambda n: reviews.claim_adjudication(adjudicator=people[n])) if row]
    assert len({row.pk for row in held}) == len(held) == 4


@pytest.mark.django_db(transaction=True)
def test_tabs_of_one_adjudicator_get_the_same_one():
    disagree(3)
    cem = person("cem", Role.ADJUDICATOR)
    held = together(4, lambda _: reviews.claim_adjudication(adjudicator=cem))
    assert len({row.pk for row in held}) == 1


@pytest.mark.django_db(transaction=True)
def test_two_settle_a_waiting_one_at_once_and_one_wins():
    disagree()
    waiting = Adjudication.objects.get()
    people = [person(f"judge{n}", Role.ADJUDICATOR) for n in range(2)]
    results = together(2, lambda n: settle(waiting, people[n], says(AF) if n else says(SINUS)))
    assert sorted(type(result).__name__ for result in results) == ["Consensus", "WrongState"]
    assert Consensus.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_the_same_decision_sent_twice_at_once_is_stored_once():
    disagree()
    cem, key = person("cem", Role.ADJUDICATOR), uuid4()
    held = reviews.claim_adjudication(adjudicator=cem)
    results = together(3, lambda _: settle(held, cem, says(AF), idempotency_key=key))
    assert len({row.pk for row in results}) == 1
