"""The gate before a candidate: verdicts on the frozen test split, what holds it back, what opens it, the way back."""

import pytest
from django.urls import reverse

from annotator.errors import HeldBack, InvalidInput, WrongState
from annotator.models import AuditEvent, Checkpoint, Recording, Role, Round, ScoringRun
from annotator.models.jobs import JobState
from annotator.selectors import gate as gates
from annotator.services import checkpoints, measuring, rounds
from ecgfm_core.noninferiority import Verdict
from tests.annotator.gate_world import checkpoint, frozen_split, judged, score
from tests.annotator.reading_world import AF, SINUS, Chosen, client, make_round, person, read, recordings, says
from tests.annotator.test_checkpoint_races import at_once
from workers import data_tasks

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _small(settings):
    settings.GATE_POSITIVES_MIN = 25


@pytest.fixture
def boss():
    return person("chief", Role.ADMIN)


@pytest.fixture
def rows():
    return frozen_split()


@pytest.fixture
def current(rows):
    return score(checkpoint(Checkpoint.State.CURRENT), rows, noise=0.8)


def verdicts(found: gates.Gate) -> dict[str, Verdict]:
    return {line.name: line.verdict for line in found.lines}


def test_a_better_candidate_passes_and_is_promoted(rows, current, boss):
    candidate = score(checkpoint(), rows, noise=0.3)
    found = judged(candidate)
    assert found.open
    assert found.recordings == 60
    assert found.sources == {"source": 60}
    assert set(verdicts(found).values()) <= {Verdict.BETTER, Verdict.NOT_INFERIOR}
    assert "not inferior" in found.words
    checkpoints.promote(checkpoint=candidate, by=boss)
    assert gates.current_checkpoint() == candidate
    assert "override_reason" not in AuditEvent.objects.get(action="checkpoint promoted").detail


def test_an_equal_candidate_passes(rows, current):
    found = judged(score(checkpoint(), rows, noise=0.8))
    assert found.open
    assert {line.difference for line in found.lines} == {0.0}


def test_one_worse_label_holds_a_candidate_back_by_name_and_number(rows, current, boss):
    candidate = score(checkpoint(), rows, noise=0.8)
    for one in candidate.predictions.all():
        one.label_probabilities = [0.5, one.label_probabilities[1]]
        one.save(update_fields=["label_probabilities"])
    found = judged(candidate)
    assert verdicts(found)["Atrial fibrillation"] == Verdict.INFERIOR
    assert verdicts(found)["Normal or abnormal"] == Verdict.NOT_INFERIOR
    with pytest.raises(HeldBack, match=r"0\.02 of .* fibrillation goes .* to 0\.500 .* written reason") as held:
        checkpoints.promote(checkpoint=candidate, by=boss)
    assert held.value.status == 409
    assert gates.current_checkpoint() == current
    assert not AuditEvent.objects.filter(action="checkpoint promoted").exists()


def test_a_label_that_the_candidate_lacks_is_lost(rows, current):
    found = judged(score(checkpoint(codes=(SINUS,)), rows))
    assert verdicts(found)["Atrial fibrillation"] == Verdict.LOST
    assert "does not know Atrial fibrillation" in found.words


def test_too_few_positives_hold_nobody_back(rows, current, settings):
    settings.GATE_POSITIVES_MIN = 31
    found = judged(score(checkpoint(), rows, noise=1.0, seed=3))
    assert found.open
    assert set(verdicts(found).values()) == {Verdict.TOO_FEW}
    assert "No label has enough positives" in found.words


def test_without_a_test_split_or_a_current_checkpoint_nothing_is_compared(boss):
    recordings(2)
    first, second = checkpoint(), checkpoint()
    assert "No checkpoint is current" in gates.gate(first, None).words
    for one in (first, second):
        checkpoints.promote(checkpoint=one, by=boss)
    assert "no recording" in gates.gate(first, second).words


def test_what_was_not_scored_is_not_promoted(rows, current, boss):
    candidate = checkpoint()
    with pytest.raises(HeldBack, match=f"Checkpoint {candidate.pk} has not scored the test split"):
        checkpoints.promote(checkpoint=candidate, by=boss)
    run = ScoringRun.objects.create(checkpoint=candidate, state=JobState.RUNNING)
    assert gates.gate(candidate, current).waits
    run.delete()
    score(candidate, rows[:50])
    found = judged(candidate)
    assert not found.open
    assert "has not scored 10 of the 60 test recordings" in found.words
    assert "(in made)" in found.words


def test_a_current_checkpoint_that_scored_nothing_is_named(rows):
    unscored = checkpoint(Checkpoint.State.CURRENT)
    candidate = score(checkpoint(), rows)
    assert f"Checkpoint {unscored.pk} has not scored" in gates.gate(candidate, unscored).words
    ScoringRun.objects.create(checkpoint=unscored, state=JobState.FINISHED)
    assert "the current one, has not scored" in judged(candidate).words


def test_a_comparison_on_other_scores_labels_or_another_rival_is_made_anew(rows, current, boss):
    candidate = score(checkpoint(), rows)
    assert "being compared" in gates.gate(candidate, current).words
    assert judged(candidate).open
    assert gates.due() == [current]  # its own figures are missing
    score(current, rows)
    assert gates.gate(candidate, current).waits
    assert judged(candidate).open
    turn = reading_of(rows, boss)
    for _ in range(3):
        read(turn["ann"], says(AF))
    assert not gates.gate(candidate, current).waits  # while a round is open nothing moves
    assert judged(candidate).sources == {"source": 60}, "nor what is compared"
    rounds.close_round(round=turn["round"], by=boss)
    assert gates.gate(candidate, current).waits
    assert judged(candidate).sources == {"source": 57, "single": 3}
    other = score(checkpoint(), rows)
    checkpoints.promote(checkpoint=other, by=boss, override_reason="not compared yet")
    candidate.refresh_from_db()
    assert gates.gate(candidate, other).waits
    assert judged(candidate).current == other.pk


def reading_of(rows, boss):
    turn = make_round(1, is_open=False)
    Round.objects.filter(pk=turn.pk).update(split="test")
    turn.items.all().delete()
    Round.objects.filter(pk=turn.pk).update(state=Round.State.FILLING)
    rounds.fill(round=turn, chosen=[Chosen(row.pk, n) for n, row in enumerate(rows[-3:])])
    rounds.open_round(round=turn, by=boss)
    return {"round": turn, "ann": person("ann")}


def test_due_names_the_current_and_newer_candidates_once_scored(rows, current):
    old = score(checkpoint(), rows)
    measuring.judge(checkpoint=current)
    assert gates.due() == [old]
    measuring.judge(checkpoint=old)
    assert gates.due() == []
    score(checkpoint(), rows[:3])
    assert len(gates.due()) == 1
    assert Checkpoint.objects.get(pk=current.pk).test_metrics["recordings"] == 60


def test_workers_measure_what_is_due_and_what_somebody_wants_to_promote(
    rows, current, boss, django_capture_on_commit_callbacks
):
    candidate = score(checkpoint(), rows)
    with django_capture_on_commit_callbacks() as queued, pytest.raises(HeldBack, match="Try again in a minute"):
        checkpoints.promote(checkpoint=candidate, by=boss)
    assert len(queued) == 1, "the comparison is asked for"
    data_tasks.measure_when_due()
    assert gates.due() == []
    before = Checkpoint.objects.get(pk=candidate.pk).gate
    data_tasks.judge_checkpoint(candidate.pk)
    assert Checkpoint.objects.get(pk=candidate.pk).gate == before, "the same seed, the same intervals"
    checkpoints.promote(checkpoint=candidate, by=boss)


def test_an_override_needs_a_reason_and_is_kept(rows, current, boss):
    worse = score(checkpoint(), rows, noise=5)
    assert not judged(worse).open
    for reason in ("", "   "):
        with pytest.raises(HeldBack):
            checkpoints.promote(checkpoint=worse, by=boss, override_reason=reason)
    with pytest.raises(InvalidInput, match="up to 500"):
        checkpoints.promote(checkpoint=worse, by=boss, override_reason="x" * 501)
    checkpoints.promote(checkpoint=worse, by=boss, override_reason=" The old one reads no aVR. ")
    worse.refresh_from_db()
    assert (worse.state, worse.override_reason) == ("current", "The old one reads no aVR.")
    said = AuditEvent.objects.get(action="checkpoint promoted").detail
    assert said["override_reason"] == "The old one reads no aVR."
    assert "is inferior to" in said["against"]


def test_going_back_always_works_and_is_audited(rows, current, boss):
    worse = score(checkpoint(), rows, noise=5)
    checkpoints.promote(checkpoint=worse, by=boss, override_reason="tried on purpose")
    assert checkpoints.go_back(by=boss) == current
    assert AuditEvent.objects.get(action="checkpoint went back").detail == {"leaves": worse.pk}
    with pytest.raises(WrongState, match="no earlier"):
        checkpoints.go_back(by=boss)
    with pytest.raises(HeldBack):
        checkpoints.promote(checkpoint=worse, by=boss)


def test_figures_on_the_test_split_by_label_and_subgroup(rows, current):
    measuring.judge(checkpoint=current)
    current.refresh_from_db()
    found = current.test_metrics
    assert (found["recordings"], found["sources"]) == (60, {"source": 60})
    assert (found["abnormal"]["positives"], found["abnormal"]["negatives"]) == (30, 30)
    value, low, high = found["abnormal"]["auroc"]
    assert 0.5 < low <= value <= high <= 1
    assert found["threshold"] == 0.5
    assert "too few" in found["threshold_origin"]
    assert {group["name"] for group in found["groups"]["Sex"]} == {"Female", "Male"}
    assert {group["name"] for group in found["groups"]["Centre"]} == {"A", "B"}
    assert [group["name"] for group in found["groups"]["Dataset"]] == ["made"]
    assert [(label["code"], label["positives"]) for label in found["labels"]] == [(AF, 30), (SINUS, 30)]


def frozen_split_settled_as_unreadable_or_unlabelled_count_for_nothing(rows, current):
    Recording.objects.filter(pk=rows[0].pk).update(source_abnormal=None)
    measuring.judge(checkpoint=current)
    current.refresh_from_db()
    assert current.test_metrics["abnormal"]["positives"] == 29


def test_the_gate_over_http(rows, current, boss):
    api, candidate = client(boss), score(checkpoint(), rows, noise=5)
    assert api.get(f"/api/v1/checkpoints/{candidate.pk}/gate").json()["waits"]
    assert not judged(candidate).open
    shown = api.get(f"/api/v1/checkpoints/{candidate.pk}/gate").json()
    assert (shown["open"], shown["current"], shown["margin"]) == (False, current.pk, 0.02)
    assert {line["verdict"] for line in shown["lines"]} >= {"inferior"}
    refused = api.post(f"/api/v1/checkpoints/{candidate.pk}/promote")
    assert (refused.status_code, refused.json()["error"]) == (409, "held_back")
    assert "inferior" in refused.json()["message"]
    body = {"override_reason": "The centre has a new device."}
    made = api.post(f"/api/v1/checkpoints/{candidate.pk}/promote", body, format="json").json()
    assert (made["state"], made["override_reason"]) == ("current", "The centre has a new device.")
    for role in (Role.READER, Role.ADJUDICATOR, Role.RESEARCHER):
        other = client(person(f"a {role}", role))
        assert other.post(f"/api/v1/checkpoints/{current.pk}/promote", body, format="json").status_code == 403


@pytest.mark.django_db(transaction=True)
def test_of_two_promotions_at_once_one_passes_and_the_other_meets_a_new_rival(settings):
    settings.GATE_POSITIVES_MIN = 25
    rows, boss = frozen_split(), person("chief", Role.ADMIN)
    score(checkpoint(Checkpoint.State.CURRENT), rows)
    both = [score(checkpoint(), rows) for _ in range(2)]
    assert all(judged(one).open for one in both)
    came = at_once(*(lambda one=one: checkpoints.promote(checkpoint=one, by=boss) for one in both))
    assert sorted(type(one).__name__ for one in came) == ["Checkpoint", "HeldBack"], came
    assert Checkpoint.objects.filter(state="current").count() == 1
    assert AuditEvent.objects.filter(action="checkpoint promoted").count() == 1


def test_the_page_asks_for_a_reason_where_the_gate_is_closed(rows, current, boss, client):
    client.force_login(boss)
    worse = score(checkpoint(), rows, noise=5)
    judged(worse)
    place = reverse("manage-promote", kwargs={"pk": worse.pk})
    shown = client.get(reverse("manage-checkpoints")).content.decode()
    assert "inferior" in shown
    assert "Atrial fibrillation" in shown
    assert 'name="override_reason"' in shown
    client.post(place)
    assert gates.current_checkpoint() == current
    client.post(place, {"override_reason": "a new device"})
    assert gates.current_checkpoint() == worse
    assert "a new device" in client.get(reverse("manage-checkpoints")).content.decode()
