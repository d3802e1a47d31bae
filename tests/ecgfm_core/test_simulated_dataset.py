"""A folder of simulated records: what others read from it, what the truth remembers, which errors are injected."""

import collections
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import wfdb

from ecgfm_core import datasets
from ecgfm_core.active.errors import KINDS
from ecgfm_core.datasets.simulated import CONDITIONS, conditions, write_dataset
from ecgfm_core.errors import ConfigError

COUNT = 60


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("simulated")
    write_dataset(folder, COUNT, 11, 100, label_error_rate=0.1, recordings_per_patient=1.5)
    return folder


def truth_of(folder: Path) -> list[dict]:
    return json.loads((folder / "truth.json").read_text())["recordings"]


def test_wfdb_reads_every_record(folder: Path) -> None:
    names = (folder / "RECORDS").read_text().split()
    assert len(names) == COUNT
    for name in names[:10]:
        record = wfdb.rdrecord(str(folder / name), physical=False)
        assert record.sig_name == ["I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6"]
        assert (record.fs, record.sig_len, record.units) == (100, 1000, ["mV"] * 12)
        assert [value % 65536 for value in record.checksum] == record.calc_checksum()
        assert record.init_value == record.d_signal[0].tolist()
        limb = record.d_signal.astype(int)
        assert np.abs(limb[:, 2] - (limb[:, 1] - limb[:, 0])).max() <= 1


def test_the_importer_reads_what_the_truth_says_was_given(folder: Path) -> None:
    truth = {entry["name"]: entry for entry in truth_of(folder)}
    entries = list(datasets.iterate(folder))
    assert {entry.name for entry in entries} == set(truth)
    for entry in entries:
        recording, told = entry.load(), truth[entry.name]
        assert [code.code for code in recording.source_codes] == told["given_codes"]
        assert {code.system for code in recording.source_codes} == {"snomed"}
        assert recording.report_text == told["report"]
        assert recording.patient_key == told["patient"]
        assert recording.centre == told["centre"]
        assert recording.sex in ("F", "M")
        assert recording.calibrated
        assert 18 <= (recording.age_years or 0) <= 95


def test_the_truth_remembers_errors_and_boundaries(folder: Path) -> None:
    truth = truth_of(folder)
    wrong = [entry for entry in truth if entry["wrong"]]
    assert len(wrong) == COUNT // 10
    for entry in truth:
        assert entry["wrong"] == (entry["codes"] != entry["given_codes"])
        assert entry["label_error_kind"] == ("uniform" if entry["wrong"] else None)
        assert entry["codes"] == list(conditions.codes_of(entry["conditions"]))
        assert entry["given_codes"] == list(conditions.codes_of(entry["given_conditions"]))
        assert all(beat["qrs_on"] < beat["qrs_off"] <= beat["t_on"] < beat["t_off"] for beat in entry["beats"])
        assert abs(len(entry["beats"]) - entry["rate_bpm"] / 6) < 4


def test_patients_have_several_recordings_at_one_centre(folder: Path) -> None:
    counts = collections.Counter(entry["patient"] for entry in truth_of(folder))
    assert len(counts) == 40
    assert max(counts.values()) >= 2
    homes = collections.defaultdict(set)
    for entry in truth_of(folder):
        homes[entry["patient"]].add(entry["centre"])
    assert all(len(centres) == 1 for centres in homes.values())
    assert len({entry["centre"] for entry in truth_of(folder)}) == 3


def test_the_same_arguments_write_the_same_bytes(tmp_path: Path, folder: Path) -> None:
    write_dataset(tmp_path / "again", COUNT, 11, 100, label_error_rate=0.1, recordings_per_patient=1.5)
    write_dataset(tmp_path / "other", COUNT, 12, 100)

    def digests(where: Path) -> dict[str, str]:
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in where.iterdir()}

    assert digests(tmp_path / "again") == digests(folder)
    assert digests(tmp_path / "other")["sim00000.dat"] != digests(folder)["sim00000.dat"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_error_gives_labels_that_can_stand(tmp_path: Path, kind: str) -> None:
    truth = write_dataset(tmp_path, 120, 5, 100, label_error_rate=0.2, label_error_kind=kind, duration_s=4)
    wrong = [entry for entry in truth if entry["wrong"]]
    assert len(wrong) == 24
    for entry in wrong:
        assert conditions.check(entry["given_conditions"]) == tuple(entry["given_conditions"])
    if kind == "centre_specific":
        assert len({entry["centre"] for entry in wrong}) == 1
    if kind == "class_conditional":
        assert not any("sinus_tachycardia" in entry["given_conditions"] for entry in wrong if len(entry["codes"]) == 1)


@pytest.mark.parametrize("true", [("sinus_rhythm",), ("atrial_fibrillation", "rbbb"), ("sinus_tachycardia", "pvc")])
def test_a_wrong_label_names_the_wrong_condition_and_keeps_what_fits(true: tuple[str, ...]) -> None:
    for wrong in CONDITIONS:
        if wrong == conditions.primary(true):
            continue
        given = conditions.relabel(true, wrong)
        assert wrong in given
        assert conditions.check(given) == given
        assert conditions.primary(true) not in given or wrong == "sinus_rhythm" or conditions.primary(true) == given[0]


def test_no_errors_unless_asked_for(tmp_path: Path) -> None:
    truth = write_dataset(tmp_path, 30, 1, 250, duration_s=4)
    assert not any(entry["wrong"] for entry in truth)


def test_progress_is_told(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    write_dataset(tmp_path, 3, 1, 100, progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_foreign_folders_and_bad_arguments_are_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match="other files"):
        write_dataset(tmp_path, 3, 1)
    for options in (
        {"normal_share": 2.0},
        {"recordings_per_patient": 0.5},
        {"centres": ()},
        {"label_error_kind": "odd"},
    ):
        with pytest.raises(ConfigError):
            write_dataset(tmp_path / "new", 3, 1, 100, **options)
    with pytest.raises(ConfigError, match="are allowed"):
        write_dataset(tmp_path / "new", 0, 1)
