"""A release on disk: read by wfdb, pandas and pyarrow; every change to it is found."""

import json
import shutil
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import wfdb

from ecgfm_core.cli import main
from ecgfm_core.release_format import ReleasedRecording, record_path, verify_release, write_release

HEADER = {
    "number": 3,
    "title": "Third",
    "notes": "For a test.",
    "scheme_version": "v1",
    "created_at": datetime.now(UTC),
}
LEADS = ["I", "II", "V1 alt"]
CODES = ("164889003", "426783006")


def recordings(count: int = 5) -> list[ReleasedRecording]:
    rng = np.random.default_rng(0)
    made = []
    for number in range(1, count + 1):
        samples = rng.integers(-2000, 2000, (3, 500)).astype("<i2")
        samples[0, :10] = -32768
        row = {
            "recording_id": number, "dataset": "d", "name": f"n{number}", "sha256": "0" * 64, "lead_names": LEADS,
            "sampling_rate_hz": 250.0, "sample_count": 500, "scale_mv": 0.001, "calibrated": True,
            "patient": f"p{number // 2}", "split": "train", "age_years": 63.0, "sex": "F", "acquired_at": None,
            "centre": "", "overall": "abnormal", "label_source": "consensus", "text": "AF", "quality": "{}",
        }  # fmt: skip
        made.append(ReleasedRecording(number, samples, CODES, row))
    return made


def tables(count: int = 5) -> dict[str, list[dict]]:
    label = [
        {"recording_id": one, "code": code, "qualifier": "", "label_source": "consensus"}
        for one in range(1, count + 1)
        for code in CODES
    ]
    scheme = [{"version": "v1", "code": code, "name": "x", "synonyms": []} for code in CODES]
    annotation = [{"annotation_id": 1, "recording_id": 1, "reader": "reader-1", "created_at": datetime.now(UTC)}]
    return {
        "labels": label,
        "source_labels": [],
        "consensus": [],
        "annotations": annotation,
        "marks": [],
        "scheme": scheme,
    }


@pytest.fixture
def release(tmp_path) -> Path:
    write_release(tmp_path / "release", HEADER, recordings(), tables())
    return tmp_path / "release"


def test_a_release_is_sound_and_its_sha_is_the_manifest_s(tmp_path):
    import hashlib

    sha256 = write_release(tmp_path / "r", HEADER, iter(recordings()), tables())
    assert verify_release(tmp_path / "r") == []
    assert sha256 == hashlib.sha256((tmp_path / "r" / "manifest.json").read_bytes()).hexdigest()
    assert json.loads((tmp_path / "r" / "manifest.json").read_text())["counts"]["recordings"] == 5


def test_wfdb_reads_the_records(release):
    one = recordings()[1]
    record = wfdb.rdrecord(str(release / record_path(2)))
    expected = one.samples.T * 0.001
    expected[one.samples.T == -32768] = np.nan
    np.testing.assert_allclose(record.p_signal, expected, atol=1e-9)
    assert (record.fs, record.sig_name, record.units) == (250, LEADS, ["mV"] * 3)
    assert [line for line in record.comments if line.startswith("Dx")] == [f"Dx: {','.join(CODES)}"]
    assert "Age: 63" in record.comments
    assert "Sex: Female" in record.comments
    assert (release / "RECORDS").read_text().split() == [record_path(number) for number in range(1, 6)]


def test_wfdb_agrees_with_the_checksums(release):
    header = wfdb.rdheader(str(release / record_path(1)))
    digital = wfdb.rdrecord(str(release / record_path(1)), physical=False)
    sums = digital.d_signal.astype(np.int64).sum(axis=0) % 65536
    assert [value % 65536 for value in header.checksum] == sums.tolist()


def test_pandas_and_pyarrow_read_the_tables(release):
    frame = pd.read_parquet(release / "recordings.parquet")
    assert frame.recording_id.tolist() == [1, 2, 3, 4, 5]
    assert frame.loc[0, "record_path"] == record_path(1)
    labels = pq.read_table(release / "labels.parquet")
    assert labels.num_rows == 10
    waveforms = pq.read_table(release / "waveforms.parquet").to_pylist()
    samples = np.frombuffer(waveforms[1]["samples"], "<i2").reshape(waveforms[1]["lead_count"], -1)
    np.testing.assert_array_equal(samples, recordings()[1].samples)


def change(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda r: change(r / f"{record_path(3)}.dat"), "changed"),
        (lambda r: change(r / "labels.parquet"), "labels.parquet: changed"),
        (lambda r: (r / f"{record_path(3)}.hea").unlink(), "missing"),
        (lambda r: (r / "extra.txt").write_text("x"), "not part of the release"),
        (lambda r: (r / "SHA256SUMS").write_text(""), "SHA256SUMS: its sha256"),
        (lambda r: (r / "manifest.json").unlink(), "no manifest.json"),
        (lambda r: (r / "manifest.json").write_text("{"), "not JSON"),
        (lambda r: (r / "manifest.json").write_text("{}"), "its format is not"),
        (lambda r: (shutil.rmtree(r / "wfdb"), (r / "waveforms.parquet").unlink()), "neither wfdb/"),
    ],
)
def test_damage_is_named(release, damage, words):
    damage(release)
    problems = verify_release(release)
    assert problems
    assert words in problems[0]


def test_tables_that_contradict_one_another_are_named(tmp_path):
    rows, extra = recordings(), tables()
    rows[2].row["split"] = "test"
    extra["labels"].append({"recording_id": 77, "code": "nonsense", "qualifier": "", "label_source": "source"})
    write_release(tmp_path / "r", HEADER, rows, extra)
    words = " ".join(verify_release(tmp_path / "r"))
    assert "patient p1 lies in 2 splits" in words
    assert "such as 77" in words
    assert "nonsense" in words


@pytest.mark.parametrize("left_out", ["", "wfdb/", "waveforms.parquet"])
def test_a_zip_of_it_is_checked_without_unpacking(release, tmp_path, left_out):
    path = tmp_path / "r.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in release.rglob("*"):
            name = file.relative_to(release).as_posix()
            if file.is_file() and not (left_out and name.startswith(left_out)):
                archive.write(file, f"release-0003/{name}")
    assert verify_release(path) == []


def test_what_is_no_release_is_refused_in_words(tmp_path):
    (tmp_path / "x.txt").write_text("x")
    for path in (tmp_path, tmp_path / "x.txt", tmp_path / "nothing"):
        assert "release" in verify_release(path)[0]


def test_the_command_line(release, capsys):
    assert main(["verify-release", str(release)]) == 0
    assert "sound" in capsys.readouterr().out
    change(release / "splits.csv")
    assert main(["verify-release", str(release)]) == 1
    assert "splits.csv: changed" in capsys.readouterr().err


def test_writing_streams(tmp_path):
    """No more than a group of recordings is alive at once."""
    import weakref

    alive: set[int] = set()
    most = 0

    def stream():
        nonlocal most
        for one in range(1, 400):
            made = recordings(1)[0]
            row = {**made.row, "recording_id": one}
            made = ReleasedRecording(one, made.samples, made.codes, row)
            alive.add(one)
            weakref.finalize(made, alive.discard, one)
            most = max(most, len(alive))
            yield made
            del made

    write_release(tmp_path / "r", HEADER, stream(), tables(1))
    assert most <= 2 * 64 + 2
