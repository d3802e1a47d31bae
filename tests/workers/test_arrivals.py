"""Prospective tests with a real worker: by API and watch folder, bad and lying files, doubles, a killed worker."""

import io
import shutil
import zipfile
from pathlib import Path

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import IntegrityError
from rest_framework.test import APIClient

from annotator.models import Arrival, ArrivalBatch, Checkpoint, Prediction, ProspectiveTest, TrainingRun
from annotator.models.jobs import JobState
from annotator.services import prospective
from annotator.services.schemes import ensure_scheme
from ecgfm_core import configs
from ecgfm_core.datasets.simulated import write_dataset
from tests.annotator.reading_world import client, person
from tests.ecgfm_core.tiny_data import TINY, make
from tests.workers.conftest import wait_for

State = Arrival.State
WAIT_S = 180  # seconds when nothing else runs; far more on a busy machine


@pytest.fixture(scope="session")
def weights(tmp_path_factory) -> Path:
    """A checkpoint folder of the smallest network there is, hardly trained."""
    from ecgfm_core.training.pretrain import TrainingOptions, pretrain

    folder = tmp_path_factory.mktemp("weights")
    manifest_path, waveforms = make(folder, 8, 4)
    return pretrain(
        manifest_path=manifest_path, waveform_folder=waveforms,
        config=configs.build("tiny_cpu", {**TINY, "epochs": 1}), seed=0, out=folder / "run",
        options=TrainingOptions(threads=1, device="cpu"),
    )  # fmt: skip


@pytest.fixture(scope="session")
def sent(tmp_path_factory) -> list[Path]:
    """Headers of recordings that will arrive and that name no centre; their samples lie beside them."""
    folder = tmp_path_factory.mktemp("sent")
    write_dataset(folder, count=5, seed=9, sampling_rate_hz=100.0, duration_s=6.0)
    headers = sorted(folder.rglob("*.hea"))
    for header in headers:
        lines = [line for line in header.read_text().splitlines() if "centre" not in line.lower()]
        header.write_text("\n".join(lines) + "\n")
    return headers


@pytest.fixture
def test(transactional_db, places, settings, weights, admin) -> ProspectiveTest:
    """A running test that watches IMPORT_DIR/ward."""
    from ecgfm_core.training.checkpoint import load_checkpoint

    run = TrainingRun.objects.create(config_name="tiny_cpu", scheme=ensure_scheme(), state=JobState.FINISHED)
    path = settings.CHECKPOINT_DIR / "run-1" / "checkpoint"
    shutil.copytree(weights, path)
    known = load_checkpoint(path)
    checkpoint = Checkpoint.objects.create(
        run=run, path="run-1/checkpoint", sha256=known.sha256, label_codes=list(known.label_codes), provenance={}
    )
    (settings.IMPORT_DIR / "ward").mkdir()
    return prospective.start(
        name="Online month", checkpoint=checkpoint, dataset_name="online", watch_path="ward", threshold=0.5, by=admin
    )


def files_of(header: Path) -> list[Path]:
    return [header, *(path for path in header.parent.glob(f"{header.stem}.*") if path != header)]


def zipped(header: Path) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for file in files_of(header):
            archive.write(file, file.name)
    return data.getvalue()


def post(api: APIClient, test: ProspectiveTest, data: bytes, name: str = "one.zip") -> dict:
    address = f"/api/v1/prospective/{test.pk}/arrivals?name={name}&centre=Ward+B"
    answer = api.generic("POST", address, data, content_type="application/octet-stream")
    assert answer.status_code == 202, answer.content
    assert answer["Location"].endswith(f"/arrivals/{answer.json()['id']}")
    return answer.json()


def put(header: Path, folder: Path, name: str) -> None:
    """Copy a record into a folder under its own name, below a subfolder."""
    (folder / name).mkdir(exist_ok=True)
    for file in files_of(header):
        shutil.copy(file, folder / name / file.name)


def decided(test: ProspectiveTest, count: int) -> bool:
    open_states = (State.SETTLING, State.WAITING)
    rows = test.arrivals.exclude(state__in=open_states).count()
    return rows == count and not test.arrivals.filter(state__in=open_states).exists()


def test_recordings_arrive_though_a_worker_is_killed(worker, test, sent, settings, admin):
    cart, ward = client(person("cart", "sender")), settings.IMPORT_DIR / "ward"
    first = post(cart, test, zipped(sent[0]))
    assert first["state"] == "waiting"
    wait_for(lambda: Arrival.objects.filter(pk=first["id"], recording__isnull=False).exists(), "the first reading")
    worker.kill()  # between arrival and prediction
    assert not Arrival.objects.filter(state=State.SCORED).exists()

    address = f"/api/v1/prospective/{test.pk}/arrivals"
    form = {"file": [SimpleUploadedFile(path.name, path.read_bytes()) for path in files_of(sent[1])]}
    second = cart.post(address, form, format="multipart").json()
    again = post(cart, test, zipped(sent[0]), "same-again.zip")
    assert (again["state"], again["duplicate_of"]) == ("duplicate", first["id"])
    broken = post(cart, test, b"PK, but no zip file", "broken.zip")
    lying = sent[2].read_text().replace(" 600\n", " 600000\n", 1)
    assert lying != sent[2].read_text()
    samples = sent[2].with_suffix(".dat")
    form = {"file": [SimpleUploadedFile(sent[2].name, lying.encode()),
                     SimpleUploadedFile(samples.name, samples.read_bytes())]}  # fmt: skip
    liar = cart.post(address, form, format="multipart").json()
    put(sent[3], ward, "Ward A")
    put(sent[0], ward, "copy")  # what came by API already
    (ward / "letter.txt").write_text("no ECG")
    before = sorted(path.relative_to(ward) for path in ward.rglob("*"))
    worker.start("--beat", "--schedule", str(worker.log.with_name("beat")), JOB_STALE_S="3")
    wait_for(lambda: decided(test, 8), "eight decisions", WAIT_S)

    told = cart.get(f"{address}/{first['id']}").json()
    assert told["state"] == "scored"
    assert 0 < told["abnormal_probability"] < 1
    assert told["abnormal"] == (told["abnormal_probability"] >= 0.5)
    assert told["recording"].startswith("R-")
    assert isinstance(told["text"], str)
    assert cart.get(f"{address}/{again['id']}").json()["abnormal_probability"] == told["abnormal_probability"]
    states = {row.name: row for row in test.arrivals.all()}
    assert states[f"copy/{sent[0].stem}"].duplicate_of_id == first["id"]
    assert Arrival.objects.get(pk=first["id"]).recording.centre == "Ward B"
    assert states[f"Ward A/{sent[3].stem}"].recording.centre == "Ward A"
    assert Arrival.objects.get(pk=second["id"]).state == State.SCORED
    for refused, words in ((broken["id"], "zip"), (liar["id"], "cut off"), (states["letter"].pk, "letter")):
        row = Arrival.objects.get(pk=refused)
        assert row.state == State.REFUSED, row.reason
        assert words in row.reason
    assert set(ArrivalBatch.objects.values_list("state", flat=True)) == {JobState.FINISHED}
    assert ArrivalBatch.objects.order_by("pk").first().attempt == 2
    assert test.dataset.recordings.count() == Prediction.objects.filter(recording__dataset=test.dataset).count() == 3
    assert sorted(path.relative_to(ward) for path in ward.rglob("*")) == before, "nothing there is touched"
    assert not list((settings.IMPORT_DIR / "arrivals").iterdir()), "our copies are gone"

    with pytest.raises(IntegrityError, match="never changes"):
        Arrival.objects.filter(pk=first["id"]).update(abnormal_probability=0.1)
    assert client(person("thief", "sender")).get(f"{address}/{first['id']}").status_code == 404
    prospective.end(test=test, by=admin)
    assert cart.generic("POST", address, zipped(sent[4]), content_type="application/zip").status_code == 409
