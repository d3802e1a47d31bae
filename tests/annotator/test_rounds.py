"""A round's life: making, filling, opening, closing, its report and its live numbers."""

from uuid import uuid4

import pytest

from annotator.errors import InvalidInput, WrongState
from annotator.models import AuditEvent, Consensus, QueueItem, Role, Round, Skip
from annotator.selectors.progress import corrections, progress
from annotator.services import queue, reviews, rounds
from annotator.services.schemes import ensure_scheme
from tests.annotator.reading_world import AF, SINUS, Chosen, client, make_round, person, read, recordings, says
from tests.annotator.test_queue import together


def create(admin, **fields):
    given = {
        "dataset_ids": fields.get("dataset_ids") or [recordings(1)[0].dataset_id],
        "strategy": "random",
        "budget": 5,
        "audit_share": 0.1,
        "readers_per_item": 2,
        "reveal": "never",
        "checkpoint": None,
        "seed": 1,
    }
    return rounds.create_round(**{**given, **fields}, by=admin)


@pytest.fixture
def admin(db):
    ensure_scheme()
    return person("chief", Role.ADMIN)


def test_rounds_are_numbered_and_start_as_drafts(admin):
    made = [create(admin) for _ in range(2)]
    assert [(row.number, row.state) for row in made] == [(1, "draft"), (2, "draft")]
    assert AuditEvent.objects.filter(action="round created", actor=admin).count() == 2


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"strategy": "magic"}, "Strategy 'magic'"),
        ({"reveal": "later"}, "Reveal 'later'"),
        ({"budget": 0}, "budget of 0"),
        ({"audit_share": 1.5}, "audit share of 1.5"),
        ({"audit_share": float("nan")}, "audit share of nan"),
        ({"repeat_share": 0.3}, "repeat share of 0.3"),
        ({"control_share": -0.1}, "control share of -0.1"),
        ({"split": "holdout"}, "Split 'holdout'"),
        ({"split": "test", "reveal": "after_first_read"}, "drawn at random and read blind"),
        ({"readers_per_item": 6}, "6 readers"),
        ({"dataset_ids": []}, "at least one"),
        ({"dataset_ids": [999]}, "all of which exist"),
        ({"strategy": "relabel"}, "needs a checkpoint"),
    ],
)
def test_a_round_that_can_not_be_is_refused(admin, fields, words):
    with pytest.raises(InvalidInput, match=words):
        create(admin, **fields)
    assert not Round.objects.exists()


def test_each_step_only_from_the_one_before(admin):
    round = create(admin)
    steps = (rounds.request_fill, rounds.open_round, rounds.close_round)
    for step in steps[1:]:
        with pytest.raises(WrongState, match="is draft"):
            step(round=round, by=admin)
    rounds.request_fill(round=round, by=admin)
    with pytest.raises(WrongState, match="is filling"):
        rounds.request_fill(round=round, by=admin)
    rounds.fail_fill(round=round, failure="no recording can be chosen")
    round.refresh_from_db()
    assert (round.state, round.failure) == ("draft", "no recording can be chosen")
    rounds.request_fill(round=round, by=admin)
    assert round.failure == ""
    assert rounds.fill(round=round, chosen=[Chosen(row.pk, n) for n, row in enumerate(recordings(3))]) == 6
    with pytest.raises(WrongState, match="is filled"):
        rounds.fill(round=round, chosen=[Chosen(1, 0)])
    rounds.open_round(round=round, by=admin)
    with pytest.raises(WrongState, match="is open"):
        rounds.open_round(round=round, by=admin)
    rounds.close_round(round=round, by=admin)
    assert round.opened_at < round.closed_at
    for step in steps:
        with pytest.raises(WrongState, match="is closed"):
            step(round=round, by=admin)


def test_fill_writes_every_copy_with_rank_origin_and_reason_or_nothing(admin):
    round = create(admin)
    rounds.request_fill(round=round, by=admin)
    with pytest.raises(InvalidInput, match="nothing to read"):
        rounds.fill(round=round, chosen=[])
    round.refresh_from_db()
    assert round.state == "filling"
    one, two = recordings(2)
    rounds.fill(round=round, chosen=[Chosen(one.pk, 0, reason='tab\t"quoted"\nline'), Chosen(two.pk, 1, "audit")])
    rows = QueueItem.objects.order_by("rank", "copy").values_list("recording", "copy", "rank", "origin", "state")
    assert list(rows) == [
        (one.pk, 1, 0, "strategy", "waiting"),
        (one.pk, 2, 0, "strategy", "waiting"),
        (two.pk, 1, 1, "audit", "waiting"),
        (two.pk, 2, 1, "audit", "waiting"),
    ]
    assert QueueItem.objects.first().reason == 'tab\t"quoted"\nline'


@pytest.mark.django_db
def test_closing_withdraws_what_waits_and_concludes_what_was_answered():
    round = make_round(4, copies=2)
    ann, bob = person("ann"), person("bob")
    admin = person("chief", Role.ADMIN)
    for _ in range(2):
        read(ann, says(AF))
    read(bob, says(AF))
    queue.claim_next(reader=ann)
    assert Consensus.objects.count() == 1
    rounds.close_round(round=round, by=admin)
    states = sorted(QueueItem.objects.values_list("state", flat=True))
    assert states == ["answered"] * 3 + ["withdrawn"] * 5
    assert sorted(Consensus.objects.values_list("source", flat=True)) == ["agreement", "single"]
    assert round.report["items"] == {"total": 8, "waiting": 0, "claimed": 0, "answered": 3, "withdrawn": 5}


@pytest.mark.django_db
def test_the_report_tells_precision_from_the_error_rate():
    round = make_round(10, copies=2, audit=4, reveal="after_first_read")
    ann, bob = person("ann"), person("bob")
    for place in range(10):
        truth = says(AF, duration_ms=4000) if place in (0, 1, 2, 6) else says(SINUS, duration_ms=4000)
        read(ann, truth, first=says(AF if place == 5 else truth.statements[0].code, duration_ms=2000))
        read(bob, says(SINUS) if place == 0 else truth, first=truth)
    live = progress(round)
    assert live["items"]["answered"] == 20
    assert live["adjudications"] == {"waiting": 1, "claimed": 0, "settled": 0}
    assert live["corrections"]["count"] == len(corrections(round)) == 3
    rounds.close_round(round=round, by=person("chief", Role.ADMIN))
    report = round.report
    assert report["recordings"] == {"chosen": 10, "concluded": 9}
    assert (report["precision"]["count"], report["precision"]["of"]) == (2, 5)
    assert (report["error_rate"]["count"], report["error_rate"]["of"]) == (1, 4)
    assert report["error_rate"]["interval_95"] == pytest.approx([0.0456, 0.6994], abs=1e-4)
    assert report["agreement"]["overall"]["share"] == pytest.approx(0.9)
    (pair,) = report["agreement"]["pairs"]
    assert pair["readers"] == ["ann", "bob"]
    assert pair["kappa_overall"] == pytest.approx(0.7826, abs=1e-4)
    assert report["anchoring"]["overall_changed"]["count"] == 2
    assert report["readers"][0] == {"reader": "ann", "answers": 10, "median_s": 6.0}
    cem = person("cem", Role.ADJUDICATOR)
    late = reviews.claim_adjudication(adjudicator=cem)
    reviews.settle(adjudication=late, adjudicator=cem, answer=says(AF), reason="clear", idempotency_key=uuid4())
    round.refresh_from_db()
    assert (round.report["precision"]["count"], round.report["precision"]["of"]) == (3, 6)
    assert round.report["adjudications"] == {"settled": 1}


@pytest.mark.django_db
def test_rounds_over_http(django_capture_on_commit_callbacks):
    ensure_scheme()
    api = client(person("chief", Role.ADMIN))
    sent = {"dataset_ids": [recordings(2)[0].dataset_id], "strategy": "random", "budget": 2}
    made = api.post("/api/v1/rounds", sent, format="json")
    assert made.status_code == 201, made.json()
    pk = made.json()["id"]
    assert made.json()["datasets"] == ["made"]
    assert api.post("/api/v1/rounds", {**sent, "budget": 0}, format="json").status_code == 400
    assert api.post("/api/v1/rounds", {**sent, "strategy": "relabel"}, format="json").status_code == 400
    assert api.post(f"/api/v1/rounds/{pk}/open").status_code == 409
    with django_capture_on_commit_callbacks() as queued:
        assert api.post(f"/api/v1/rounds/{pk}/fill").json()["state"] == "filling"
    assert len(queued) == 1
    rounds.fill(round=Round.objects.get(), chosen=[Chosen(row.pk, row.pk) for row in recordings(2)])
    assert api.post(f"/api/v1/rounds/{pk}/open").json()["state"] == "open"
    assert api.get(f"/api/v1/rounds/{pk}").json()["progress"]["items"]["waiting"] == 2
    assert api.get(f"/api/v1/rounds/{pk}/report").json()["corrections"]["of"] == 0
    assert api.post(f"/api/v1/rounds/{pk}/close").json()["state"] == "closed"
    assert api.get(f"/api/v1/rounds/{pk}/report").json()["items"]["withdrawn"] == 2
    assert [row["number"] for row in api.get("/api/v1/rounds").json()] == [1]
    assert api.get("/api/v1/rounds/999").status_code == 404


@pytest.mark.django_db
def test_skips_are_kept_when_a_round_closes():
    round = make_round(2)
    ann = person("ann")
    queue.skip(item=queue.claim_next(reader=ann), reader=ann, reason="a relative")
    rounds.close_round(round=round, by=person("chief", Role.ADMIN))
    assert Skip.objects.get().reason == "a relative"


@pytest.mark.django_db(transaction=True)
def test_rounds_made_at_once_get_different_numbers():
    ensure_scheme()
    admin = person("chief", Role.ADMIN)
    dataset = recordings(1)[0].dataset_id
    made = together(5, lambda _: create(admin, dataset_ids=[dataset]))
    assert sorted(round.number for round in made) == [1, 2, 3, 4, 5], made


@pytest.mark.django_db(transaction=True)
def test_two_admins_open_at_once_and_one_wins():
    round = make_round(2, is_open=False)
    admin = person("chief", Role.ADMIN)
    results = together(2, lambda _: rounds.open_round(round=Round.objects.get(pk=round.pk), by=admin))
    assert sorted(type(result).__name__ for result in results) == ["Round", "WrongState"]
