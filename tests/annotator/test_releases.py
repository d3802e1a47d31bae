"""Curated releases: what is in them, who is not, that they come whole or not at all and never change."""

import io
import json
import zipfile

import numpy as np
import pandas as pd
import pytest
import wfdb

from annotator.errors import InvalidInput, WrongState
from annotator.models import CuratedRelease, Dataset, Recording, Role, Waveform
from annotator.models.jobs import JobState
from annotator.services import job_state, releases
from ecgfm_core import waveform
from ecgfm_core.release_format import record_path, verify_release
from tests.annotator.reading_world import AF, SINUS, client, make_round, person, read, says

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def turn(settings, tmp_path):
    """Three recordings, the first of them corrected by a reader."""
    settings.WAVEFORM_DIR, settings.RELEASE_DIR = tmp_path / "waveforms", tmp_path / "releases"
    made = make_round(3)
    Recording.objects.update(patient_hash="hash-of-a-patient")
    read(person("ann"), says(AF, text="flutter, no: fibrillation"))
    for row in Waveform.objects.all():
        path = waveform.path_of(settings.WAVEFORM_DIR, row.pk)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(np.arange(3 * 5000, dtype="<i2").tobytes())
    return made


def start(**changes: object) -> CuratedRelease:
    ids = list(Dataset.objects.values_list("pk", flat=True))
    values = {"title": "First", "notes": "n", "dataset_ids": ids, "only_consensus": False, "by": None, **changes}
    return releases.start_release(**values)


def build(release: CuratedRelease) -> CuratedRelease:
    attempt = job_state.take(CuratedRelease, release.pk)
    release.refresh_from_db()
    releases.build(release=release, attempt=attempt)
    release.refresh_from_db()
    return release


def test_a_release_holds_what_holds(turn, settings):
    made = build(start())
    folder = settings.RELEASE_DIR / made.path
    assert (made.state, made.recording_count, made.consensus_count) == (JobState.FINISHED, 3, 1)
    assert verify_release(folder) == []
    frame = pd.read_parquet(folder / "recordings.parquet").set_index("recording_id")
    read_one = turn.items.get(state="answered").recording_id
    assert frame.loc[read_one, "label_source"] == "consensus"
    assert frame.loc[read_one, "overall"] == "abnormal"
    assert frame.label_source.tolist().count("source") == 2
    labels = pd.read_parquet(folder / "labels.parquet")
    assert labels[labels.recording_id == read_one].code.tolist() == [AF]
    assert set(labels[labels.recording_id != read_one].code) == {SINUS}
    record = wfdb.rdrecord(str(folder / record_path(read_one)))
    assert f"Dx: {AF}" in record.comments
    assert record.p_signal[:3, 0].tolist() == [0.0, 0.001, 0.002]
    annotations = pd.read_parquet(folder / "annotations.parquet")
    assert json.loads(annotations.statements[0])[0]["code"] == AF
    assert annotations.queue_reason[0]
    assert made.manifest_sha256


def test_what_a_killed_builder_left_goes(turn, settings):
    release = start()
    left = settings.RELEASE_DIR / f".building-{release.number:04d}-7"
    left.mkdir(parents=True)
    (left / "half").write_text("half")
    build(release)
    assert [path.name for path in settings.RELEASE_DIR.iterdir()] == [f"release-{release.number:04d}"]


def test_no_person_stands_in_it_by_name(turn, settings):
    made = build(start())
    folder = settings.RELEASE_DIR / made.path
    for table in folder.glob("*.parquet"):
        words = [str(word) for word in pd.read_parquet(table).to_numpy().ravel()]
        assert not [word for word in words if "hash-of-a-patient" in word or word == "ann"], table.name
    readers = pd.read_parquet(folder / "annotations.parquet").reader
    assert readers.str.fullmatch("reader-[0-9a-f]{12}").all()
    assert pd.read_parquet(folder / "recordings.parquet").patient.nunique() == 1


def test_only_what_was_read(turn, settings):
    made = build(start(only_consensus=True))
    assert made.recording_count == 1
    assert len(pd.read_parquet(settings.RELEASE_DIR / made.path / "source_labels.parquet")) == 1


def test_it_is_numbered_and_the_next_one_changes_nothing_of_it(turn, settings):
    first = build(start())
    before = (settings.RELEASE_DIR / first.path / "manifest.json").read_bytes()
    read(person("ben"), says(AF))
    second = build(start(title="Second"))
    assert (first.number, second.number) == (1, 2)
    assert second.consensus_count == 2
    assert (settings.RELEASE_DIR / first.path / "manifest.json").read_bytes() == before
    assert verify_release(settings.RELEASE_DIR / first.path) == []


def test_what_was_read_after_it_began_is_not_in_it(turn, settings, monkeypatch):
    """Rows written while the release is being built belong to the next one."""
    original = releases.release_format.write_release

    def read_meanwhile(*args, **kwargs):
        import threading

        from django.db import connection

        def other() -> None:
            read(person("late"), says(AF))
            connection.close()

        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        return original(*args, **kwargs)

    monkeypatch.setattr(releases.release_format, "write_release", read_meanwhile)
    assert build(start()).consensus_count == 1


def test_a_lost_attempt_leaves_nothing_behind(turn, settings):
    release = start()
    attempt = job_state.take(CuratedRelease, release.pk)
    CuratedRelease.objects.update(attempt=attempt + 1)
    release.refresh_from_db()
    with pytest.raises(WrongState):
        releases.build(release=release, attempt=attempt)
    assert not list(settings.RELEASE_DIR.glob("*")) + list(settings.RELEASE_DIR.glob(".*"))


def test_a_missing_waveform_fails_and_leaves_nothing_behind(turn, settings):
    for path in settings.WAVEFORM_DIR.glob("*/*"):
        path.unlink()
    from ecgfm_core.errors import FormatError

    with pytest.raises(FormatError, match="import it again"):
        build(start())
    assert not list(settings.RELEASE_DIR.iterdir())


def test_an_attempt_that_died_before_it_could_say_so_is_replaced(turn, settings):
    release = start()
    (settings.RELEASE_DIR / "release-0001").mkdir(parents=True)
    (settings.RELEASE_DIR / "release-0001" / "half").write_text("x")
    made = build(release)
    assert verify_release(settings.RELEASE_DIR / made.path) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"title": " "}, "title"), ({"dataset_ids": []}, "dataset"), ({"dataset_ids": [0]}, "dataset")],
)
def test_what_can_not_be_released_is_refused(turn, changes, words):
    with pytest.raises(InvalidInput, match=words):
        start(**changes)


def test_the_downloads_are_sound_and_only_for_those_who_may(turn, tmp_path):
    release = start()
    scholar = client(person("rita", Role.RESEARCHER))
    assert scholar.get(f"/api/v1/releases/{release.number}/download").status_code == 409
    build(release)
    first = f"{record_path(Recording.objects.order_by('pk')[0].pk)}.dat"
    for form, holds, lacks in (("wfdb", first, "waveforms.parquet"), ("parquet", "waveforms.parquet", first)):
        answer = scholar.get(f"/api/v1/releases/{release.number}/download?format={form}")
        assert answer.streaming
        path = tmp_path / f"{form}.zip"
        path.write_bytes(b"".join(answer.streaming_content))
        assert verify_release(path) == []
        names = zipfile.ZipFile(io.BytesIO(path.read_bytes())).namelist()
        assert f"release-0001/{holds}" in names
        assert f"release-0001/{lacks}" not in names
    assert scholar.get(f"/api/v1/releases/{release.number}/download?format=exe").status_code == 400
    assert client(person("eve")).get(f"/api/v1/releases/{release.number}/download").status_code == 403


@pytest.mark.parametrize(
    "name", ["../../secrets/secret_key", "..%2F..%2Fsecrets", "/etc/passwd", "%00", "wfdb", "nothing", "wfdb/../../x"]
)
def test_no_file_name_leads_out_of_a_release(turn, settings, name):
    release = build(start())
    (settings.RELEASE_DIR.parent / "x").write_text("secret")
    admin = client(person("admin", Role.ADMIN))
    assert admin.get(f"/api/v1/releases/{release.number}/files/{name}").status_code == 404
    answer = admin.get(f"/api/v1/releases/{release.number}/files/README.txt")
    assert b"release 1" in b"".join(answer.streaming_content)
