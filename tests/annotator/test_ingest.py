"""Import: whole, twice, interrupted, with bad records, with paths that lie; splits by patient."""

import io
import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from django.core.management import CommandError, call_command

from annotator.errors import InvalidInput, WrongState
from annotator.models import AuditEvent, Dataset, ImportRun, Recording, SourceLabel, User, Waveform
from annotator.models.jobs import JobState
from annotator.services import import_run, ingest, job_state, recording_rows
from annotator.services.splits import Splits, hash_patient
from ecgfm_core import waveform
from ecgfm_core.datasets.simulated import write_dataset
from tests.processes import environment

COUNT = 30


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("recordings")
    write_dataset(path, count=COUNT, seed=1, sampling_rate_hz=100.0)
    return path


@pytest.fixture(autouse=True)
def places(settings, tmp_path):
    settings.IMPORT_DIR = tmp_path / "imports"
    settings.WAVEFORM_DIR = tmp_path / "waveforms"
    settings.IMPORT_DIR.mkdir()


@pytest.fixture
def admin(db):
    return User.objects.create_user("boss", role="admin")


def run(path: Path, name: str = "sim") -> ImportRun:
    made, attempt = ingest.start_here(path=str(path), dataset_name=name)
    ingest.run_import(run=made, attempt=attempt)
    made.refresh_from_db()
    return made


def counts(made: ImportRun) -> tuple[int, int, int]:
    return made.added_count, made.unchanged_count, made.refused_count


@pytest.mark.django_db
def test_a_folder_is_imported_with_labels_text_and_waveforms(folder, settings):
    made = run(folder)
    assert made.state == JobState.FINISHED, made.failure
    assert counts(made) == (COUNT, 0, 0)
    one = Recording.objects.select_related("waveform").order_by("pk").first()
    samples = waveform.load(settings.WAVEFORM_DIR, one.waveform_id, 12, one.waveform.sample_count)
    assert samples.shape == (12, 1000)
    assert np.abs(samples).max() > 100  # more than 0.1 mV
    assert one.report_text
    assert one.patient_hash
    assert "P" not in one.patient_hash
    assert SourceLabel.objects.filter(recording=one).exclude(code="").exists()
    assert Recording.objects.filter(source_abnormal=None).count() == 0
    assert one.quality["readable"] in (True, False)


@pytest.mark.django_db
def test_a_second_run_changes_nothing(folder):
    run(folder)
    before = [model.objects.count() for model in (Recording, Waveform, SourceLabel)]
    again = run(folder)
    assert counts(again) == (0, COUNT, 0)
    assert [model.objects.count() for model in (Recording, Waveform, SourceLabel)] == before


@pytest.mark.django_db
def test_a_zip_is_imported_and_what_was_unpacked_goes(folder, tmp_path, settings):
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in folder.iterdir():
            archive.write(file, f"set/{file.name}")
    made = run(path)
    assert counts(made) == (COUNT, 0, 0), made.failure
    assert not list((settings.IMPORT_DIR / "unpacked").iterdir())


@pytest.mark.django_db
def test_an_upload_goes_when_it_is_imported_and_other_zips_stay(folder, admin, settings):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for file in folder.iterdir():
            archive.write(file, file.name)
    upload = Path(ingest.store_upload(name="set.zip", chunks=[packed.getvalue()], by=admin))
    own = settings.IMPORT_DIR / "own.zip"
    own.write_bytes(packed.getvalue())
    assert counts(run(upload.resolve())) == (COUNT, 0, 0)
    assert counts(run(own)) == (0, COUNT, 0)
    assert not upload.parent.exists()
    assert own.exists()


@pytest.mark.django_db
def test_a_single_record_is_imported_with_and_without_its_ending(folder):
    name = next(folder.glob("*.hea"))
    assert counts(run(name)) == (1, 0, 0)
    assert counts(run(name.with_suffix(""))) == (0, 1, 0)


@pytest.mark.django_db
def test_a_bad_record_is_refused_by_name_and_stops_nothing(folder, tmp_path):
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in folder.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    names = sorted(path.stem for path in copy.glob("*.hea"))
    (copy / f"{names[3]}.dat").write_bytes(b"short")
    (copy / f"{names[4]}.hea").write_text("not a header")
    made = run(copy)
    assert made.state == JobState.FINISHED
    assert counts(made) == (COUNT - 2, 0, 2)
    assert sorted(made.issues.filter(refused=True).values_list("record_name", flat=True)) == names[3:5]
    assert all(issue.reason for issue in made.issues.all())


@pytest.mark.django_db
@pytest.mark.parametrize(("name", "words"), [(b"p\xe9", "not UTF-8"), (b"/".join([b"d" * 200] * 3), "at most 500")])
def test_a_name_that_can_not_be_stored_is_refused_alone(tmp_path, name, words):
    folder = tmp_path / "set"
    write_dataset(folder, count=3, seed=1, sampling_rate_hz=100.0, duration_s=5.0)
    first = min(folder.glob("*.hea"))
    for file in (first, first.with_suffix(".dat")):
        target = folder / os.fsdecode(name + file.suffix.encode())
        target.parent.mkdir(parents=True, exist_ok=True)
        file.rename(target)
    made = run(folder)
    assert made.state == JobState.FINISHED, made.failure
    assert counts(made) == (2, 0, 1)
    assert words in made.issues.get().reason


@pytest.mark.django_db
def test_a_value_that_the_database_refuses_refuses_its_record_alone(folder, monkeypatch):
    whole = recording_rows._label_rows

    def spoilt(row, source):
        for label in whole(row, source):
            label.source_code = "x" * 61 if row.name.endswith("7") else label.source_code
            yield label

    monkeypatch.setattr(recording_rows, "_label_rows", spoilt)
    made = run(folder)
    assert counts(made) == (COUNT - 3, 0, 3)
    assert all("can't be stored" in issue.reason for issue in made.issues.filter(refused=True))
    assert not Waveform.objects.filter(recordings=None).exists()


@pytest.mark.django_db
def test_long_recordings_are_written_in_short_batches(folder, monkeypatch):
    sizes = []
    write = import_run._Import._write
    monkeypatch.setattr(import_run, "BATCH_BYTES", 12 * 1000 * (2 + 4) * 7)
    monkeypatch.setattr(import_run._Import, "_write", lambda one, batch: (sizes.append(len(batch)), write(one, batch)))
    assert counts(run(folder)) == (COUNT, 0, 0)
    assert sizes == [7, 7, 7, 7, 2]


@pytest.mark.django_db(transaction=True)
def test_an_import_beats_while_it_unpacks(folder, tmp_path, settings, monkeypatch):
    settings.JOB_HEARTBEAT_S = 0.05
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in folder.iterdir():
            archive.write(file, file.name)
    unpack, beats = import_run.archive.extract, []

    def slow(source, target):
        for _ in range(2):
            time.sleep(0.3)
            beats.append(ImportRun.objects.get().heartbeat_at)
        return unpack(source, target)

    monkeypatch.setattr(import_run.archive, "extract", slow)
    left = settings.IMPORT_DIR / "unpacked"
    made, attempt = ingest.start_here(path=str(path), dataset_name="sim")
    (left / f"{made.pk}-0").mkdir(parents=True)  # of an attempt that was killed
    ingest.run_import(run=made, attempt=attempt)
    assert beats[1] > beats[0]
    assert Recording.objects.count() == COUNT
    assert not list(left.iterdir())


@pytest.mark.django_db
def test_a_zip_that_fails_leaves_nothing_unpacked(tmp_path, settings):
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("notes.md", "no recordings")
    assert run(path).state == JobState.FAILED
    assert not list((settings.IMPORT_DIR / "unpacked").iterdir())


@pytest.mark.django_db
def test_a_name_with_other_samples_is_refused(folder, tmp_path):
    run(folder)
    other = tmp_path / "other"
    write_dataset(other, count=2, seed=99, sampling_rate_hz=100.0)
    made = run(other)
    assert counts(made) == (0, 0, 2)
    assert "never changes after its import" in made.issues.first().reason


@pytest.mark.django_db
def test_an_empty_folder_fails_in_words(tmp_path):
    (tmp_path / "empty").mkdir()
    made = run(tmp_path / "empty")
    assert made.state == JobState.FAILED
    assert "no recordings found" in made.failure


@pytest.mark.django_db
def test_one_patient_and_one_waveform_stay_in_one_split_across_datasets(folder):
    run(folder, "first")
    run(folder, "second")
    splits_of: dict[str, set[str]] = {}
    for key, split in [
        *Recording.objects.values_list("patient_hash", "split"),
        *Recording.objects.values_list("waveform", "split"),
    ]:
        splits_of.setdefault(key, set()).add(split)
    assert all(len(splits) == 1 for splits in splits_of.values())


def test_chance_gives_ten_percent_each_to_validate_and_test():
    splits = Splits(own_folds=False)
    drawn = [splits.decide(patient_hash=hash_patient(f"p{i}"), waveform=f"w{i}", fold=9) for i in range(4000)]
    assert 0.77 < drawn.count("train") / 4000 < 0.83
    assert 0.08 < drawn.count("test") / 4000 < 0.12


def test_own_folds_count_but_a_known_patient_comes_first():
    splits = Splits(own_folds=True)
    assert [splits.decide(patient_hash=f"p{f}", waveform=f"w{f}", fold=f) for f in (1, 8, 9, 10)] == [
        "train", "train", "validate", "test",
    ]  # fmt: skip
    assert splits.decide(patient_hash="p10", waveform="new", fold=1) == "test"
    assert splits.decide(patient_hash="", waveform="w9", fold=1) == "validate"


def test_patients_are_keyed_hashes(settings):
    one = hash_patient("4711")
    settings.PATIENT_HASH_KEY = "another"
    assert one != hash_patient("4711")
    assert len(one) == 64
    assert hash_patient("") == ""


@pytest.mark.django_db
def test_an_attempt_that_lost_the_run_writes_nothing(folder):
    made, attempt = ingest.start_here(path=str(folder), dataset_name="sim")
    ImportRun.objects.filter(pk=made.pk).update(attempt=attempt + 1)
    with pytest.raises(WrongState):
        ingest.run_import(run=made, attempt=attempt)
    assert not Recording.objects.exists()


@pytest.mark.django_db
def test_the_command_reports_and_names_what_it_refused(folder, tmp_path, capsys):
    call_command("import_recordings", str(folder), dataset="sim")
    assert f"{COUNT} added, 0 unchanged, 0 refused" in capsys.readouterr().out
    bad = tmp_path / "bad"
    bad.mkdir()
    (bad / "x.hea").write_text("nonsense")
    with pytest.raises(CommandError) as failed:
        call_command("import_recordings", str(bad), dataset="bad")
    assert failed.value.returncode == 2
    assert "refused  x" in capsys.readouterr().out
    with pytest.raises(CommandError, match="no such folder"):
        call_command("import_recordings", str(tmp_path / "nowhere"), dataset="bad")


@pytest.mark.parametrize("path", ["../elsewhere", "/etc", "a/../../b", ".", "", "link/inside", "nothing", "\0"])
def test_a_path_from_the_network_may_not_leave_the_import_folder(admin, settings, tmp_path, path):
    (tmp_path / "elsewhere" / "inside").mkdir(parents=True)
    (settings.IMPORT_DIR / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InvalidInput, match="import folder"):
        ingest.start_import(path=path, dataset_name="sim", by=admin)
    assert not ImportRun.objects.exists()


def test_a_path_below_the_import_folder_is_queued_and_audited(admin, settings):
    (settings.IMPORT_DIR / "set").mkdir()
    made = ingest.start_import(path="set", dataset_name="sim", by=admin)
    assert made.state == JobState.QUEUED
    assert AuditEvent.objects.filter(actor=admin, action="import started").exists()


@pytest.mark.parametrize("name", ["", " x", "a/b", "../x", "x" * 61, "\n"])
def test_dataset_names_are_checked(admin, settings, name):
    (settings.IMPORT_DIR / "set").mkdir()
    with pytest.raises(InvalidInput, match="Dataset name"):
        ingest.start_import(path="set", dataset_name=name, by=admin)
    assert not Dataset.objects.exists()


def test_uploads_are_stored_below_the_import_folder_whatever_they_call_themselves(admin, settings):
    path = Path(ingest.store_upload(name="../../etc/pass wd.zip", chunks=[b"PK", b"\3\4"], by=admin))
    assert path.is_relative_to(settings.IMPORT_DIR / "uploads")
    assert path.name == "pass_wd.zip"
    assert path.read_bytes() == b"PK\3\4"


def test_uploads_too_large_or_of_another_kind_leave_nothing(admin, settings):
    settings.UPLOAD_LIMIT_MB = 1
    for name, chunks, words in (
        ("a.zip", [b"PK" + bytes(1 << 20)] * 2, "larger than 1 MB"),
        ("a.exe", [b"PK"], "zip file is needed"),
        ("a.zip", [b"MZ"], "not a zip"),
    ):
        with pytest.raises(InvalidInput, match=words):
            ingest.store_upload(name=name, chunks=iter(chunks), by=admin)
    assert not list(settings.IMPORT_DIR.glob("uploads/*"))


@pytest.mark.django_db(transaction=True)
def test_a_killed_import_goes_on(tmp_path, settings):
    big = tmp_path / "big"
    write_dataset(big, count=450, seed=3, sampling_rate_hz=100.0, duration_s=5.0)
    command = [sys.executable, "manage.py", "import_recordings", str(big), "--dataset", "killed"]
    process = subprocess.Popen(command, env=environment(), stderr=subprocess.PIPE)
    deadline = time.monotonic() + 30
    while not Recording.objects.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    there = Recording.objects.count()
    assert 0 < there < 450, process.stderr.read()
    made = ImportRun.objects.get()
    assert made.state == JobState.RUNNING
    ImportRun.objects.update(heartbeat_at="2000-01-01T00:00Z")
    job_state.recover_stale()
    attempt = job_state.take(ImportRun, made.pk)
    made.refresh_from_db()
    ingest.run_import(run=made, attempt=attempt)
    made.refresh_from_db()
    assert made.state == JobState.FINISHED
    assert counts(made) == (450, 0, 0)
    assert Recording.objects.count() == 450
