"""Every public set imports whole, in its own layout, with known counts, labels and patients."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from ecgfm_core import datasets, labels, waveform
from ecgfm_core.datasets import archive
from ecgfm_core.errors import EcgfmError
from ecgfm_core.formats import read
from ecgfm_core.measurements import measure
from ecgfm_core.recording import Recording, SourceCode
from ecgfm_core.signal import quality

# folder -> layout, recordings
SETS = {
    "ptb-xl": ("ptb-xl", 1442),
    "ludb": ("ludb", 150),
    "cinc2011": ("cinc2011", 150),
    "georgia": ("cinc2020", 20),
    "chapman_ningbo": ("cinc2020", 27),
    "cpsc_extra": ("cinc2020", 20),
    "ptbxl_cinc": ("cinc2020", 15),
    "cpsc2018": ("cinc2020", 7),
    "ptb": ("cinc2020", 2),
    "cpsc2018_native": ("cpsc2018", 4),
}
CENTRES = {"georgia": "Georgia", "chapman_ningbo": "Chapman-Ningbo", "cpsc_extra": "CPSC-Extra", "ptb": "PTB"}


def load_all(folder: Path) -> dict[str, Recording]:
    """Load every recording of a set."""
    return {entry.name: entry.load() for entry in datasets.iterate(folder)}


@pytest.fixture(scope="session")
def mitdb(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Extract the MIT-BIH zip file."""
    return archive.extract(real_data / "mitdb.zip", tmp_path_factory.mktemp("mitdb") / "set")


@pytest.mark.parametrize("folder", SETS)
def test_a_set_imports_whole(real_data: Path, folder: str) -> None:
    key, count = SETS[folder]
    layout = datasets.recognise(real_data / folder)
    assert layout is not None
    assert layout.key == key
    recordings = load_all(real_data / folder)
    assert len(recordings) == count
    assert all(recording.lead_names[:2] == ("I", "II") for recording in recordings.values())
    assert all(recording.centre == CENTRES.get(folder, recording.centre) != "" for recording in recordings.values())


def test_every_bad_input_is_refused_and_none_is_lost(real_data: Path) -> None:
    refused = 0
    for entry in datasets.iterate(real_data / "bad_inputs"):
        with pytest.raises(EcgfmError, match=entry.name):
            entry.load()
        refused += 1
    headers = sum(1 for _ in (real_data / "bad_inputs").rglob("*.hea"))
    assert refused == headers + 1  # and the lone placeholder


def test_ptbxl_is_uncalibrated_with_folds_patients_and_labels(real_data: Path) -> None:
    recordings = load_all(real_data / "ptb-xl")
    assert not any(recording.calibrated for recording in recordings.values())
    assert {recording.fold for recording in recordings.values()} == set(range(1, 9))
    assert all(recording.patient_key for recording in recordings.values())
    folds: dict[str, set[int | None]] = {}
    for recording in recordings.values():
        folds.setdefault(recording.patient_key, set()).add(recording.fold)
        packed = waveform.pack(recording)
        assert np.nanmax(np.abs(waveform.unpack(packed) - recording.waveform_mv)) < 0.001
        assert all(labels.map_code(source.system, source.code) for source in recording.source_codes)
    assert max(map(len, folds.values())) == 1
    judged = Counter(labels.abnormal_source(recording.source_codes) for recording in recordings.values())
    assert judged[None] == 0
    assert min(judged[True], judged[False]) > 500


def test_challenge_labels_map_and_stay(real_data: Path) -> None:
    for folder in ("georgia", "chapman_ningbo", "cpsc_extra", "ptbxl_cinc", "cpsc2018", "ptb"):
        for recording in load_all(real_data / folder).values():
            assert recording.source_codes
            assert all(labels.map_code("snomed", source.code) for source in recording.source_codes), recording.name


def test_mitdb_comes_out_of_its_zip(mitdb: Path) -> None:
    layout = datasets.recognise(mitdb)
    assert layout is not None
    assert layout.key == "mitdb"
    recordings = load_all(mitdb)
    assert len(recordings) == 48
    assert len({recording.patient_key for recording in recordings.values()}) == 47
    assert recordings["102"].lead_names == ("V5", "V2")
    assert SourceCode("aami", "/") in recordings["102"].source_codes
    assert "10370003" in labels.map_code("aami", "/")
    assert SourceCode("aami", "(AFIB") in recordings["201"].source_codes
    assert "paced" in recordings["102"].report_text
    assert (recordings["100"].age_years, recordings["100"].sex) == (69, "M")
    assert {labels.abnormal_source(one.source_codes) for one in recordings.values()} == {True, False}


def test_ludb_tells_diagnoses_in_words(real_data: Path) -> None:
    recordings = load_all(real_data / "ludb")
    assert all(recording.report_text and recording.age_years for recording in recordings.values())
    first = recordings["1"]
    assert first.report_text.startswith("Rhythm: Sinus bradycardia.")
    codes = {code for source in first.source_codes for code in labels.map_code(source.system, source.code)}
    assert {"426177001", "39732003", "164873001"} <= codes


def test_flat_and_saturated_recordings_are_findings(real_data: Path) -> None:
    refused: dict[str, dict[str, float]] = {"acceptable": {}, "unacceptable": {}, "": {}}
    for name, recording in load_all(real_data / "cinc2011").items():
        found = quality.assess(recording.waveform_mv, recording.sampling_rate_hz, recording.lead_names)
        if not found["readable"]:
            said = recording.source_codes[0].code if recording.source_codes else ""
            refused[said][name] = max(found["figures"]["lost_share"])
    # Three that people accepted hold a lead in which no beat can be seen.
    assert set(refused["acceptable"]) == {"1588250", "1690426", "2140454"}
    assert min(refused["acceptable"].values()) > 0.9
    assert len(refused["unacceptable"]) >= 53
    flat = load_all(real_data / "chapman_ningbo")["JS45542"]
    assert quality.assess(flat.waveform_mv, 500, flat.lead_names)["flat_leads"] == ["V1", "V2", "V3", "V4", "V5", "V6"]


def test_heart_rates_are_those_of_the_annotated_complexes(real_data: Path) -> None:
    import wfdb

    errors = []
    for name, recording in load_all(real_data / "ludb").items():
        found = measure(recording.waveform_mv, recording.sampling_rate_hz, recording.lead_names)["heart_rate_bpm"]
        annotation = wfdb.rdann(str(real_data / "ludb" / name), "ii")
        peaks = [sample for sample, symbol in zip(annotation.sample, annotation.symbol, strict=True) if symbol == "N"]
        errors.append(abs(found - 60 * 500 / float(np.median(np.diff(peaks)))))
    assert max(errors) < 6
    assert sum(error < 3 for error in errors) >= 145


def test_what_the_wfdb_folder_lacks_is_refused_by_name(real_data: Path) -> None:
    refused = {}
    for entry in datasets.iterate(real_data / "wfdb_formats"):
        try:
            entry.load()
        except EcgfmError as error:
            refused[entry.name] = str(error)
    assert sorted(refused) == ["100skew", "v102s"]


def test_a_hefei_recording_of_the_documented_form(real_data: Path, tmp_path: Path) -> None:
    listed = (real_data / "hefei" / "hf_round2_subA.txt").read_text().split("\n")[0].split("\t")
    rows = "\n".join(" ".join(["10"] * 8) for _ in range(5000))
    (tmp_path / listed[0]).write_text(f"I II V1 V2 V3 V4 V5 V6\n{rows}\n")
    (tmp_path / "hf_round2_subA.txt").write_text((real_data / "hefei" / "hf_round2_subA.txt").read_text())
    (recording,) = load_all(tmp_path).values()
    assert (recording.age_years, recording.sex) == (float(listed[1]), listed[2][0])
    np.testing.assert_allclose(recording.waveform_mv, 0.0488, rtol=1e-6)
    classes = (real_data / "hefei" / "hf_round2_arrythmia.txt").read_text(encoding="utf-8").split("\n")
    assert [name for name in classes if name and not labels.map_code("hefei", name)] == ["快心室率"]


def test_a_native_cpsc_file_is_in_millivolt(real_data: Path) -> None:
    recording = read(real_data / "cpsc2018_native" / "A1980.mat", "A1980")
    assert (recording.age_years, recording.sex, recording.sample_count) == (52, "M", 5000)
    assert recording.waveform_mv[0, 0] == pytest.approx(0.201867208)
