"""Prospective tests: what is fixed at the start, which readings count, figures equal to those made by hand."""

from datetime import UTC, datetime, timedelta
from io import BytesIO
from zipfile import ZipFile

import numpy as np
import pytest
from django.db import IntegrityError, transaction
from django.urls import reverse

from annotator.errors import InvalidInput, WrongState
from annotator.models import Arrival, ArrivalBatch, ProspectiveTest, Recording, Role
from annotator.models.jobs import JobState
from annotator.selectors import prospective as selectors
from annotator.services import arrivals, job_state, prospective, rounds
from tests.annotator import prospective_world as world
from tests.annotator.manage_world import admin, someone
from tests.annotator.reading_world import AF, SINUS, client, person, read, recordings, says

pytestmark = pytest.mark.django_db
DAY = datetime(2026, 3, 2, 9, tzinfo=UTC)


@pytest.fixture(autouse=True)
def places(settings, tmp_path):
    settings.IMPORT_DIR = tmp_path
    (tmp_path / "ward" / "a").mkdir(parents=True)


def test_threshold_and_reference_come_from_the_validation_split_and_stay():
    truths = [True] * 40 + [False] * 40
    scores = [*np.linspace(0.35, 0.95, 40), *np.linspace(0.02, 0.30, 40)]
    made = world.validated(truths, scores)
    test = world.running(made, threshold=None)
    assert 0.30 < test.threshold < 0.35
    assert "80 labelled recordings" in test.threshold_origin
    assert test.reference["count"] == 80
    assert test.reference["scores"] == pytest.approx(sorted(scores), abs=1e-5)
    recordings(3)
    test.refresh_from_db()
    assert test.reference["count"] == 80


def test_without_validation_the_threshold_is_the_middle_and_the_first_days_are_the_reference():
    test = world.running(threshold=None)
    assert (test.threshold, test.reference) == (0.5, {})
    for day in range(9):
        world.arrived(test, 0.1 + 0.1 * day, DAY + timedelta(days=day))
    figures = selectors.Figures(test)
    assert figures.reference["count"] == 7
    assert "first 7 days" in figures.reference["origin"]
    assert figures.drift is None
    assert [day.drift is None for day in figures.days] == [True] * 7 + [False] * 2
    assert figures.week.distance == 1.0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"threshold": 1.0}, "between 0 and 1"),
        ({"name": " "}, "give the test a name"),
        ({"dataset_name": "../x"}, "Dataset name"),
        ({"watch_path": "../.."}, "not below the import folder"),
        ({"watch_path": "nowhere"}, "nothing of that name"),
        ({"watch_path": "arrivals"}, "no folder that can be watched"),
    ],
)
def test_what_can_not_be_tested_is_refused(changes, words, tmp_path):
    (tmp_path / "arrivals").mkdir()
    with pytest.raises(InvalidInput, match=words):
        world.running(**changes)


def test_one_running_test_a_watch_folder():
    first = world.running(watch_path="ward")
    for place in ("ward", "ward/a"):
        with pytest.raises(InvalidInput, match="watched by the test Online month"):
            world.running(first.checkpoint, name="Another", watch_path=place)
    with pytest.raises(IntegrityError), transaction.atomic():
        ProspectiveTest.objects.create(
            name="x", checkpoint=first.checkpoint, dataset=first.dataset, watch_path="ward", threshold=0.5,
            threshold_origin="", reference={}, created_by=admin(),
        )  # fmt: skip
    prospective.end(test=first, by=admin())
    world.running(first.checkpoint, name="Another", watch_path="ward")
    with pytest.raises(WrongState, match="ended already"):
        prospective.end(test=first, by=admin())


def test_figures_are_those_made_by_hand():
    test = world.running()
    # day 1: 8 found, 2 missed, 1 false alarm, 5 right; day 2: 5 found, 1 missed
    told = [(0.9, "abnormal")] * 8 + [(0.5, "normal")] + [(0.49, "abnormal")] * 2 + [(0.1, "normal")] * 5
    for number, (score, overall) in enumerate(told):
        arrival = world.arrived(test, score, DAY, centre="East" if number % 2 else "West", sex="F", age_years=17.9)
        world.settled(arrival, overall)
    for score in [0.8] * 5 + [0.2]:
        arrival = world.arrived(test, score, DAY + timedelta(days=1), sex="M", age_years=80)
        world.settled(arrival, "abnormal")
    world.settled(world.arrived(test, 0.9, DAY), "unreadable")
    world.arrived(test, 0.9, DAY)  # nobody has read it
    figures = selectors.Figures(test)
    all_ = figures.overall.judged
    assert (all_.recall.part, all_.recall.whole, all_.precision.part, all_.precision.whole) == (13, 16, 13, 14)
    assert all_.f1.value == pytest.approx(26 / 30)
    assert (figures.overall.arrived, all_.read, figures.unreadable) == (24, 22, 1)
    first, second = figures.days
    assert (first.group.judged.recall.value, first.group.judged.precision.value) == (0.8, pytest.approx(8 / 9))
    assert (second.group.judged.enough, second.so_far.recall.value) == (False, 13 / 16)
    assert {group.name: group.arrived for group in figures.by["Centre"]} == {"East": 8, "West": 8, "not stated": 8}
    assert [group.name for group in figures.by["Age"]] == ["0 to 17 years", "80 years and older", "not stated"]
    assert selectors.waits(test) == {"median_s": 5.0, "p95_s": 5.0}
    body = client(person("rita", Role.RESEARCHER)).get(f"/api/v1/prospective/{test.pk}/figures").json()
    assert body["overall"]["recall"]["value"] == 13 / 16
    assert body["to_beat"] == {"recall": 0.9335, "precision": 0.9571, "f1": 0.9451}
    assert "ecg" not in str(body), "file names may name patients"


def test_a_shifted_day_gives_an_alarm():
    rng = np.random.default_rng(0)
    made = world.validated(rng.random(60) < 0.5, rng.beta(2, 4, 60))
    test = world.running(made)
    for score in rng.beta(2, 4, 12):
        world.arrived(test, float(score), DAY)
    for score in rng.uniform(0.85, 1, 12):
        world.arrived(test, float(score), DAY + timedelta(days=1))
    for score in rng.uniform(0.9, 1, 5):
        world.arrived(test, float(score), DAY + timedelta(days=2))
    figures = selectors.Figures(test)
    assert [day.drift.alarm for day in figures.days] == [False, True, False]
    assert not figures.days[2].drift.judged


def test_only_readings_after_the_prediction_judge_it():
    test = world.running()
    arrival = world.arrived(test, 0.9, datetime.now(UTC) + timedelta(hours=1))
    world.settled(arrival, "abnormal")
    assert selectors.Figures(test).overall.judged.read == 0
    assert list(selectors.unread(test)) == [arrival]


def test_a_frozen_prediction_never_changes():
    arrival = world.arrived(world.running(), 0.9)
    for changes in ({"abnormal_probability": 0.1}, {"generated_text": "x"}, {"predicted_at": DAY}):
        with pytest.raises(IntegrityError, match="never changes"), transaction.atomic():
            Arrival.objects.filter(pk=arrival.pk).update(**changes)
    with pytest.raises(IntegrityError), transaction.atomic():
        arrival.delete()


def test_arrivals_are_read_in_an_ordinary_round_and_once():
    test = world.running()
    for _ in range(6):
        world.arrived(test, 0.9)
    turn = prospective.start_reading(test=test, budget=4, readers_per_item=1, reveal="never", by=admin())
    assert (turn.state, turn.items.count(), turn.reveal) == ("filled", 4, "never")
    assert selectors.unread(test).count() == 2
    rounds.open_round(round=turn, by=admin())
    reader = person("ann")
    for code in (AF, AF, SINUS):
        read(reader, says(code))
    rounds.close_round(round=turn, by=admin())
    assert selectors.unread(test).count() == 3, "what the closed round left unread can be read again"
    judged = selectors.Figures(test).overall.judged
    assert (judged.true_positive, judged.false_positive) == (2, 1)
    rest = prospective.start_reading(test=test, budget=None, readers_per_item=2, reveal="after_first_read", by=admin())
    assert rest.items.count() == 6
    with pytest.raises(WrongState, match="has been read"):
        prospective.start_reading(test=test, budget=1, readers_per_item=1, reveal="never", by=admin())
    with pytest.raises(InvalidInput, match="blind"):
        prospective.start_reading(test=test, budget=1, readers_per_item=1, reveal="at_once", by=admin())


def test_patients_whom_the_model_was_trained_on_are_known():
    made = world.validated([], [])
    [old] = recordings(1)
    Recording.objects.filter(pk=old.pk).update(patient_hash="p1", imported_at=made.run.started_at - timedelta(days=1))
    made.run.datasets.add(old.dataset)
    test = world.running(made)
    known, new = world.arrived(test, 0.9, patient_hash="p1"), world.arrived(test, 0.9, patient_hash="p2")
    assert prospective.trained_on(test, known.recording)
    assert not prospective.trained_on(test, new.recording)


def test_one_batch_takes_what_came_meanwhile():
    test = world.running()
    for number in range(3):
        files = [(f"r{number}.txt", [b"%d" % number])]
        arrivals.receive(test=test, files=files, name="r", centre="", by=admin())
    batch = ArrivalBatch.objects.get()
    attempt = job_state.take(ArrivalBatch, batch.pk)
    arrivals.gather(batch=batch, attempt=attempt)
    assert batch.arrivals.count() == 3
    arrivals.receive(test=test, files=[("r4.txt", [b"4"])], name="r", centre="", by=admin())
    assert ArrivalBatch.objects.count() == 2


def test_what_a_killed_worker_began_to_unpack_is_unpacked_anew():
    data = BytesIO()
    with ZipFile(data, "w") as file:
        file.writestr("r1.hea", "r1 1 100 1000\nr1.dat 16 1000/mV 16 0 0 0 0 I\n")
        file.writestr("r1.dat", np.arange(1000, dtype="<i2").tobytes())
    test = world.running()
    arrival = arrivals.receive(test=test, files=[("r.zip", [data.getvalue()])], name="r.zip", centre="", by=admin())
    begun = arrivals.folder_of(arrival) / "unpacked"
    begun.mkdir()
    (begun / "r1.hea").write_text("r1")
    entry, _ = arrivals._only_entry(arrival)
    assert entry.load().waveform_mv.shape == (1, 1000)


def test_a_form_field_that_is_no_file_sends_nothing():
    address = f"/api/v1/prospective/{world.running().pk}/arrivals"
    answer = client(admin()).post(address, {"raw": "words"}, format="multipart")
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid")


def test_a_batch_that_fails_is_tried_one_by_one_and_then_waits_for_a_person():
    test = world.running()
    for number in range(2):
        arrivals.receive(test=test, files=[(f"{number}.txt", [b"%d" % number])], name="r", centre="", by=admin())
    batch = ArrivalBatch.objects.get()
    attempt = job_state.take(ArrivalBatch, batch.pk)
    arrivals.gather(batch=batch, attempt=attempt)
    arrivals.part(batch=batch, attempt=attempt, words="out of memory")
    alone = ArrivalBatch.objects.filter(state=JobState.QUEUED)
    assert [one.arrivals.count() for one in alone] == [1, 1]
    for one in alone:
        arrivals.part(batch=one, attempt=job_state.take(ArrivalBatch, one.pk), words="out of memory")
    assert selectors.counts(test)["stuck"] == 2
    assert selectors.refused(test).first().reason == "out of memory"
    assert arrivals.try_again(test=test) == 2
    assert selectors.counts(test)["stuck"] == 0
    with pytest.raises(WrongState, match="No arrival is stuck"):
        arrivals.try_again(test=test)


@pytest.mark.parametrize(
    ("files", "words"),
    [([], "Nothing was sent"), ([("a.zip", [b""])], "Nothing"), ([("..", [b"x"])], "no file name"),
     ([("a.zip", [b"x" * 2**20, b"y"])], "larger than 1 MB"), ([("a/b.hea", [b"x"]), ("b.hea", [b"y"])], "of its own")],
)  # fmt: skip
def test_what_can_not_be_a_recording_is_not_kept(files, words, settings):
    settings.ARRIVAL_LIMIT_MB = 1
    with pytest.raises(InvalidInput, match=words):
        arrivals.receive(test=world.running(), files=files, name="x", centre="", by=admin())
    assert not any((settings.IMPORT_DIR / "arrivals").iterdir())
    assert not Arrival.objects.exists()


def test_a_body_larger_than_allowed_is_refused_before_it_is_read(settings):
    settings.ARRIVAL_LIMIT_MB = 1
    address = f"/api/v1/prospective/{world.running().pk}/arrivals"
    answer = client(admin()).generic("POST", address, b"x" * 1_200_000, content_type="application/zip")
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid")


def test_the_api_starts_and_ends_a_test():
    made, api = world.validated([], []), client(admin())
    body = {"name": "Spring", "checkpoint": made.pk, "dataset_name": "spring"}
    test = api.post("/api/v1/prospective", body, format="json")
    assert (test.status_code, test.json()["threshold"]) == (201, 0.5)
    assert api.get("/api/v1/prospective").json()["results"][0]["name"] == "Spring"
    place = f"/api/v1/prospective/{test.json()['id']}/end"
    assert api.post(place).json()["state"] == "ended"
    assert api.post(place).status_code == 409


def test_a_researcher_sees_figures_and_no_names(client):
    test = world.running()
    world.arrived(test, 0.9)
    Arrival.objects.create(test=test, state="refused", source="folder", name="SMITH_JOHN", reason="cut off")
    page = reverse("manage-prospective-test", kwargs={"pk": test.pk})
    client.force_login(someone("rita", Role.RESEARCHER))
    said = client.get(page).content.decode()
    assert "Recall" in said
    assert "SMITH" not in said
    assert "End the test" not in said
    assert client.post(reverse("manage-prospective"), {"name": "x"}).status_code == 403
    client.force_login(admin())
    assert "SMITH_JOHN" in client.get(page).content.decode()
