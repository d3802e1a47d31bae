"""The API of recordings, imports, training, checkpoints and tokens: good path, wrong state, bad input."""

import gzip
import io
import zipfile

import numpy as np
import pytest
from django.core.management import call_command

from annotator.models import (
    AuditEvent,
    Checkpoint,
    Dataset,
    ImportRun,
    Prediction,
    Recording,
    Role,
    TrainingRun,
    Waveform,
)
from annotator.models.jobs import JobState
from annotator.services import queue
from annotator.services.schemes import ensure_scheme
from ecgfm_core import waveform
from ecgfm_core.active import meanings
from tests.annotator.reading_world import client, make_round, person, read, recordings, says

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def places(settings, tmp_path):
    for name in ("IMPORT_DIR", "WAVEFORM_DIR", "CHECKPOINT_DIR", "RELEASE_DIR"):
        setattr(settings, name, tmp_path / name.lower())
        getattr(settings, name).mkdir()


@pytest.fixture
def admin():
    return client(person("admin", Role.ADMIN))


def write_samples(sha256: str, folder) -> bytes:
    path = waveform.path_of(folder, sha256)
    path.parent.mkdir(parents=True)
    data = np.arange(3 * 5000, dtype="<i2").tobytes()
    path.write_bytes(data)
    return data


def test_a_reader_sees_the_waveform_of_what_they_claim_and_no_other(settings):
    make_round(2)
    reader, other = person("ann"), person("ben")
    item = queue.claim_next(reader=reader)
    sha256 = item.recording.waveform_id
    data = write_samples(sha256, settings.WAVEFORM_DIR)
    address = f"/api/v1/waveforms/{sha256}"
    answer = client(reader).get(address)
    assert answer.content == data
    assert answer["Content-Type"] == "application/octet-stream"
    assert answer["Cache-Control"] == "private, max-age=31536000, immutable"
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert client(other).get(address).status_code == 404
    assert client(person("judge", Role.ADJUDICATOR)).get(address).status_code == 404
    assert client(person("boss2", Role.ADMIN)).get(address).status_code == 200
    assert client(person("rita", Role.RESEARCHER)).get(address).status_code == 403
    queue.give_back(item=item, reader=reader)
    assert client(reader).get(address).status_code == 404


def test_an_answered_waveform_may_be_seen_again_and_is_compressed(settings):
    make_round(1)
    reader = person("ann")
    item = read(reader, says("426783006"))
    data = write_samples(item.recording.waveform_id, settings.WAVEFORM_DIR)
    address = f"/api/v1/waveforms/{item.recording.waveform_id}"
    answer = client(reader).get(address, HTTP_ACCEPT_ENCODING="gzip, br", HTTP_ACCEPT="application/octet-stream")
    assert answer["Content-Encoding"] == "gzip"
    assert gzip.decompress(answer.content) == data
    again = client(reader).get(address, HTTP_IF_NONE_MATCH=answer["ETag"])
    assert (again.status_code, again.content) == (304, b"")


def test_a_disagreement_opens_the_waveform_to_adjudicators(settings):
    make_round(1, copies=2)
    item = read(person("ann"), says("426783006"))
    read(person("ben"), says("164889003"))
    write_samples(item.recording.waveform_id, settings.WAVEFORM_DIR)
    judge = client(person("judge", Role.ADJUDICATOR))
    assert judge.get(f"/api/v1/waveforms/{item.recording.waveform_id}").status_code == 200


@pytest.mark.parametrize("name", ["0" * 64, "x", "..%2f..%2fsecrets", "%00"])
def test_no_name_leads_anywhere_else(admin, name):
    assert admin.get(f"/api/v1/waveforms/{name}").status_code == 404


def test_recordings_are_listed_by_dataset_without_their_patients(admin):
    rows = recordings(3)
    Recording.objects.update(patient_hash="secret")
    found = admin.get(f"/api/v1/recordings?dataset={rows[0].dataset_id}").json()["results"]
    assert [one["id"] for one in found] == [row.pk for row in reversed(rows)]
    detail = admin.get(f"/api/v1/recordings/{rows[0].pk}").json()
    assert detail["source_labels"][0]["code"] == "426783006"
    assert detail["pseudonym"] == f"R-{rows[0].pk}"
    assert "secret" not in str(found) + str(detail)
    assert detail["predictions"] == []
    assert admin.get("/api/v1/recordings?dataset=99999").json()["results"] == []


def test_a_recording_shows_what_each_checkpoint_said_of_it(admin):
    [row] = recordings(1)
    made = checkpoint()
    Prediction.objects.create(
        checkpoint=made, recording=row, abnormal_probability=0.9, label_probabilities=[0.7] * len(made.label_codes),
        entropy=0.5, label_error=2.5, label_error_detail={"votes": 14, "models": 15}, embedding=[0.0] * 4,
    )  # fmt: skip
    [said] = admin.get(f"/api/v1/recordings/{row.pk}").json()["predictions"]
    assert (said["checkpoint"], said["label_error"], said["aum"]) == (made.pk, 2.5, None)
    assert said["label_probabilities"] == dict.fromkeys(made.label_codes, 0.7)
    assert said["label_error_detail"] == {"votes": 14, "models": 15}
    assert set(meanings.NAMES) < set(said)
    assert "embedding" not in said


def test_an_import_by_path_and_what_is_refused(admin, settings):
    (settings.IMPORT_DIR / "set").mkdir()
    made = admin.post("/api/v1/imports", {"path": "set", "dataset": "new"}, format="json")
    assert made.status_code == 201
    assert admin.get(f"/api/v1/imports/{made.json()['id']}").json()["issues"] == []
    for body in ({"path": "../..", "dataset": "new"}, {"path": "set", "dataset": "../x"}, {"dataset": "new"}, {}):
        refused = admin.post("/api/v1/imports", body, format="json")
        assert refused.status_code == 400, body
        assert refused.json()["message"]
    assert ImportRun.objects.count() == 1


def test_an_upload_is_stored_and_queued(admin, settings):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("a.hea", "x")
    content.seek(0)
    content.name = "set.zip"
    made = admin.post("/api/v1/imports", {"file": content, "dataset": "up"}, format="multipart")
    assert made.status_code == 201, made.json()
    assert made.json()["source_path"].startswith(str(settings.IMPORT_DIR / "uploads"))
    settings.UPLOAD_LIMIT_MB = -1
    content.seek(0)
    refused = admin.post("/api/v1/imports", {"file": content, "dataset": "up"}, format="multipart")
    assert refused.status_code == 400
    assert "import folder" in refused.json()["message"]


def test_datasets(admin):
    assert admin.post("/api/v1/datasets", {"name": "one"}, format="json").status_code == 201
    assert admin.post("/api/v1/datasets", {"name": "one"}, format="json").status_code == 201
    assert [one["name"] for one in admin.get("/api/v1/datasets").json()["results"]] == ["one"]


def test_a_training_run_is_started_and_cancelled(admin):
    dataset_id = recordings(2)[0].dataset_id
    body = {"config_name": "tiny_cpu", "config": {"epochs": 1}, "dataset_ids": [dataset_id], "seed": 3}
    made = admin.post("/api/v1/training-runs", body, format="json")
    assert made.status_code == 201, made.json()
    address = f"/api/v1/training-runs/{made.json()['id']}"
    assert admin.get(address).json()["state"] == "queued"
    assert admin.post(f"{address}/cancel").json()["state"] == "cancelled"
    assert admin.post(f"{address}/cancel").status_code == 409
    run = TrainingRun.objects.get()
    for step in (1, 2):
        run.metrics.create(step=step, name="loss", value=1 / step)
    points = admin.get(f"{address}/metrics").json()
    assert [(one["step"], one["value"]) for one in points] == [(1, 1.0), (2, 0.5)]
    assert len(admin.get(f"{address}/metrics?after={points[0]['id']}").json()) == 1
    assert admin.get(f"{address}/metrics?after=x").status_code == 400


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"config_name": "huge"}, "'huge' is unknown"),
        ({"config": {"colour": 1}}, "no field 'colour'"),
        ({"config": {"epochs": -1}}, "epochs is -1"),
        ({"dataset_ids": []}, "at least one dataset"),
        ({"dataset_ids": [99999]}, "No dataset"),
        ({"seed": -1}, "seed"),
    ],
)
def test_a_training_that_can_not_work_is_refused_in_words(admin, change, words):
    body = {"config_name": "tiny_cpu", "config": {}, "dataset_ids": [recordings(1)[0].dataset_id], "seed": 0, **change}
    refused = admin.post("/api/v1/training-runs", body, format="json")
    assert refused.status_code == 400
    assert words in refused.json()["message"]
    assert not TrainingRun.objects.exists()


def checkpoint(state: str = "candidate") -> Checkpoint:
    run = TrainingRun.objects.create(config_name="tiny_cpu", scheme=ensure_scheme(), state=JobState.FINISHED)
    run.datasets.set(Dataset.objects.all())
    return Checkpoint.objects.create(run=run, state=state, path="x", sha256="0", label_codes=[], provenance={})


def test_checkpoints_are_promoted_and_gone_back_from(admin):
    first, second, third = (checkpoint() for _ in range(3))
    assert admin.post("/api/v1/checkpoints/go-back").status_code == 409
    for one in (first, second, third):
        assert admin.post(f"/api/v1/checkpoints/{one.pk}/promote").json()["state"] == "current"
    assert admin.post(f"/api/v1/checkpoints/{third.pk}/promote").status_code == 409
    assert Checkpoint.objects.get(state="current") == third
    assert admin.post("/api/v1/checkpoints/go-back").json()["id"] == second.pk
    assert admin.post("/api/v1/checkpoints/go-back").json()["id"] == first.pk
    assert admin.post("/api/v1/checkpoints/go-back").status_code == 409
    assert Checkpoint.objects.get(state="current") == first
    assert AuditEvent.objects.filter(action="checkpoint went back").count() == 2


def test_a_checkpoint_scores_what_it_was_trained_on_or_what_is_named(admin):
    recordings(1)
    one = checkpoint()
    made = admin.post(f"/api/v1/checkpoints/{one.pk}/score", {}, format="json")
    assert made.json()["dataset_ids"] == list(Dataset.objects.values_list("pk", flat=True))
    assert admin.post(f"/api/v1/checkpoints/{one.pk}/score", {"dataset_ids": [0]}, format="json").status_code == 400
    assert len(admin.get("/api/v1/scoring-runs").json()["results"]) == 1


def test_tokens_are_shown_once_hashed_and_deleted():
    reader = person("ann")
    api = client(reader)
    made = api.post("/api/v1/tokens", {"name": "laptop"}, format="json").json()
    program = client()
    program.credentials(HTTP_AUTHORIZATION=f"Token {made['token']}")
    assert program.get("/api/v1/claims").status_code == 200
    assert program.get("/api/v1/recordings").status_code == 403
    listed = api.get("/api/v1/tokens").json()
    assert [(one["name"], one["id"]) for one in listed] == [("laptop", made["id"])]
    assert made["token"] not in str(listed)
    assert client(person("ben")).delete(f"/api/v1/tokens/{made['id']}").status_code == 404
    assert api.delete(f"/api/v1/tokens/{made['id']}").status_code == 204
    assert program.get("/api/v1/claims").status_code == 401


def test_errors_have_one_form():
    api = client()
    assert api.get("/api/v1/recordings").json()["error"] == "not_signed_in"
    assert client(person("ann")).get("/api/v1/recordings").json() == {
        "error": "not_allowed",
        "message": "Your role may not do this.",
    }
    admin = client(person("admin", Role.ADMIN))
    assert admin.get("/api/v1/recordings/1").json()["error"] == "not_found"
    assert admin.delete("/api/v1/recordings").json()["error"] == "wrong_method"
    bad = admin.post("/api/v1/training-runs", "{", content_type="application/json")
    assert (bad.status_code, bad.json()["error"]) == (400, "invalid")


def test_the_schema_is_clean(tmp_path):
    call_command("spectacular", "--validate", "--fail-on-warn", file=str(tmp_path / "schema.yml"))
    assert (tmp_path / "schema.yml").stat().st_size > 20_000
    assert not Waveform.objects.exists()


@pytest.mark.parametrize(
    ("address", "body"),
    [
        ("imports", {"dataset": "x", "path": "a" * 5000}),
        ("rounds", {"dataset_ids": [1], "budget": 1, "strategy": "random", "seed": 10**30}),
    ],
)
def test_what_can_not_be_stored_is_refused_in_words(admin, address, body):
    make_round(1)
    body = {**body, "dataset_ids": [Dataset.objects.get().pk]}
    answer = admin.post(f"/api/v1/{address}", body, format="json")
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid"), answer.content
    assert admin.get("/api/v1/annotations?stage=%00").status_code == 400


@pytest.mark.parametrize("text", [r"\u0000", r"\ud800"])
def test_a_draft_that_can_not_be_stored_is_refused_in_words(text):
    make_round(1)
    api = client(person("ann"))
    item = api.post("/api/v1/claims").json()["item"]["id"]
    body = f'{{"content": {{"text": "{text}"}}, "version": 0}}'
    answer = api.put(f"/api/v1/claims/{item}/draft", body, content_type="application/json")
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid"), answer.content
