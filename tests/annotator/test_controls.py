"""Controls: what may be one, who reads them, that their answers change no label, and what the report says."""

import pytest

from annotator.errors import InvalidInput, NotFound
from annotator.models import AuditEvent, Consensus, KnownAnswer, QueueItem, Recording, Role
from annotator.selectors import reader_checks, worklists
from annotator.selectors.loop import loop
from annotator.services import known_answers, queue, rounds
from tests.annotator.checks_world import answer, boss, claimed, closed_round, next_round
from tests.annotator.reading_world import AF, LBBB, SINUS, body, client, person, recordings, says

pytestmark = pytest.mark.django_db


def test_known_is_what_readers_agreed_on_an_adjudicator_settled_or_an_admin_vouches_for():
    ann, bob, cem = person("ann"), person("bob"), person("cem")
    closed_round({ann: [says(AF), says(SINUS)], bob: [says(AF), says(LBBB)]}, copies=2)
    agreed = Consensus.objects.get(source="agreement").recording_id
    closed_round({ann: [says(AF)]})
    single = Consensus.objects.get(source="single").recording_id
    vouched = recordings(1)[0].pk
    new = next_round(ordinary=1)
    assert reader_checks.known_answers(new) == [agreed]
    for pk in (single, vouched):
        known_answers.vouch(recording_id=pk, by=boss())
    assert set(reader_checks.known_answers(new)) == {agreed, single, vouched}
    Recording.objects.filter(pk=vouched).update(split="test")
    Recording.objects.filter(pk=single).update(quality={"readable": False})
    assert reader_checks.known_answers(new) == [agreed]
    cem.is_active = False
    cem.save()
    assert reader_checks.known_answers(new) == []  # everyone who could be asked has read it


def test_what_was_settled_as_unreadable_is_not_known_and_the_database_finds_it(django_assert_num_queries):
    ann, bob = person("ann"), person("bob")
    person("cem")
    closed_round({ann: [says(AF), says(AF)], bob: [says(AF), says(AF)]}, copies=2)
    settled, kept = Consensus.objects.order_by("pk")
    new = next_round(ordinary=1)
    known_answers.vouch(recording_id=settled.recording_id, by=boss())
    assert set(reader_checks.known_answers(new)) == {settled.recording_id, kept.recording_id}
    settled.pk, settled.overall, settled.unreadable_reason, settled.statements = None, "unreadable", "loose leads", []
    settled.save()  # a later word
    with django_assert_num_queries(1):
        assert reader_checks.known_answers(new) == [kept.recording_id]


def test_a_control_goes_to_who_did_not_read_it_before():
    ann, bob, cem = person("ann"), person("bob"), person("cem")
    closed_round({ann: [says(AF)], bob: [says(AF)]}, copies=2)
    [known] = Recording.objects.values_list("pk", flat=True)
    next_round(controls=[known], ordinary=1)
    assert worklists.worklist(ann)["rounds"][0]["waiting"] == 1
    assert worklists.worklist(cem)["rounds"][0]["waiting"] == 2
    assert claimed(ann).rank == 1
    assert queue.claim_next(reader=bob) is None
    assert claimed(cem).origin == "control"


def test_accuracy_on_controls_in_numbers():
    ann, bob, cem, dan = (person(name) for name in ("ann", "bob", "cem", "dan"))
    closed_round({ann: [says(AF), says(SINUS), says(LBBB)], bob: [says(AF), says(SINUS), says(LBBB)]}, copies=2)
    vouched = recordings(1, abnormal=True, codes=(LBBB,))[0].pk
    known_answers.vouch(recording_id=vouched, by=boss())
    known = [*Consensus.objects.order_by("pk").values_list("recording", flat=True), vouched]
    before = list(Consensus.objects.values_list("pk", flat=True))
    round = next_round(controls=known)
    for reader, said in ((cem, SINUS), (cem, SINUS), (dan, AF), (dan, LBBB)):
        answer(claimed(reader), reader, says(said))
    assert loop().to_read == 0
    rounds.close_round(round=round, by=boss())
    found = round.report["control_accuracy"]
    assert (found["overall"]["count"], found["overall"]["of"]) == (3, 4)
    assert (found["statements"]["count"], found["statements"]["of"]) == (1, 3)
    assert [(one["reader"], one["overall"]["count"], one["overall"]["of"]) for one in found["readers"]] == [
        ("cem", 1, 2), ("dan", 2, 2),
    ]  # fmt: skip
    assert list(Consensus.objects.values_list("pk", flat=True)) == before
    assert round.report["corrections"]["of"] == round.report["recordings"]["chosen"] == 0


def test_nothing_gives_a_control_away():
    ann, bob, cem = person("ann"), person("bob"), person("cem")
    closed_round({ann: [says(AF)], bob: [says(AF)]}, copies=2)
    next_round(controls=list(Recording.objects.values_list("pk", flat=True)), reveal="after_first_read")
    api = client(cem)
    item = api.post("/api/v1/claims").json()["item"]
    revealed = api.post(f"/api/v1/claims/{item['id']}/first-read", body(SINUS), format="json").json()["reveal"]
    assert "control" not in str([item, revealed])
    assert (revealed["origin"], revealed["consensus"]) == ("audit", None)


def test_an_admin_vouches_for_an_answer_and_takes_it_back():
    api = client(boss())
    row = recordings(1)[0]
    address = f"/api/v1/recordings/{row.pk}/known-answer"
    assert [api.put(address).status_code for _ in range(2)] == [204, 204]
    assert KnownAnswer.objects.get().marked_by == boss()
    assert api.delete(address).status_code == api.delete(address).status_code == 204
    assert not KnownAnswer.objects.exists()
    assert AuditEvent.objects.filter(action__contains="vouched for").count() == 2
    assert client(person("jo", Role.READER)).put(address).status_code == 403


def test_what_nobody_knows_can_not_be_vouched_for():
    unlabelled = recordings(1, abnormal=None)[0]
    with pytest.raises(InvalidInput, match="no answer to know"):
        known_answers.vouch(recording_id=unlabelled.pk, by=boss())
    with pytest.raises(NotFound):
        known_answers.vouch(recording_id=0, by=boss())
    ann = person("ann")
    closed_round({ann: [says(overall="unreadable", unreadable_reason="noise")]})
    with pytest.raises(InvalidInput, match="unreadable"):
        known_answers.vouch(recording_id=QueueItem.objects.get().recording_id, by=boss())
