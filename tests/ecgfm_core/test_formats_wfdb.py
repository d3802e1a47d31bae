"""WFDB records become recordings, with the values of the `wfdb` package."""

from pathlib import Path

import numpy as np
import pytest
import wfdb

from ecgfm_core import formats
from ecgfm_core.errors import FormatError, RecordingError
from ecgfm_core.formats import plain
from ecgfm_core.formats.header import read_header
from ecgfm_core.recording import SourceCode
from tests.ecgfm_core.wfdb_files import LEADS, wave, write_record

# Formats that the package reads but can't write.
OWN = {"61": lambda steps: steps.astype(">i2"), "160": lambda steps: (steps + 32768).astype("<u2")}
PLAIN_FORMATS = ("16", "61", "80", "160", "212", "32")


def physical(path: Path) -> np.ndarray:
    """Read with the package: float64 ``[lead, sample]``."""
    return wfdb.rdrecord(str(path.with_suffix(""))).p_signal.T


@pytest.mark.parametrize("kind", [*PLAIN_FORMATS, "24"])
@pytest.mark.parametrize("samples", [999, 1000])
def test_values_are_those_of_the_package(tmp_path: Path, kind: str, samples: int) -> None:
    bits = {"80": 8, "212": 12}.get(kind, 16)
    limit = 2 ** (bits - 1) - 1
    steps = np.random.default_rng(1).integers(-limit, limit + 1, (samples, 3))
    steps[5, 1] = -(2 ** ({"24": 24, "32": 32}.get(kind, bits) - 1))
    written = "16" if kind in OWN else kind
    wfdb.wrsamp(
        "r", 360, ["mV"] * 3, ["MLII", "V1", "V5"], d_signal=steps, fmt=[written] * 3,
        adc_gain=[2000, 1500.5, 10000], baseline=[10, 0, -20], write_dir=str(tmp_path),
    )  # fmt: skip
    path = tmp_path / "r.hea"
    if kind in OWN:
        (tmp_path / "r.dat").write_bytes(OWN[kind](steps).tobytes())
        path.write_text(path.read_text().replace("r.dat 16 ", f"r.dat {kind} "))
    expected = physical(path)
    recording = formats.read(path, "r")
    assert plain.can_read(read_header(path)) is (kind in PLAIN_FORMATS)
    assert recording.lead_names == ("MLII", "V1", "V5")
    np.testing.assert_allclose(recording.waveform_mv, expected.astype(np.float32), rtol=2e-7, atol=0)
    assert np.isnan(recording.waveform_mv[1, 5])
    assert np.isnan(recording.waveform_mv).sum() == np.isnan(expected).sum() == 1
    assert recording.remarks == ()


def test_the_challenges_mat_files(tmp_path: Path) -> None:
    steps = wave()
    path = write_record(
        tmp_path, "JS1", steps, file_name="JS1.mat", offset=24,
        comments=["Age: 85", "Sex: Male", "Dx: 164889003,59118001,164889003", "Rx: Unknown"],
    )  # fmt: skip
    recording = formats.read(path, "set/JS1")
    np.testing.assert_allclose(recording.waveform_mv, physical(path), rtol=2e-7)
    assert (recording.name, recording.age_years, recording.sex) == ("set/JS1", 85, "M")
    assert recording.source_codes == (SourceCode("snomed", "164889003"), SourceCode("snomed", "59118001"))


def test_signals_in_several_files_keep_the_headers_order(tmp_path: Path) -> None:
    steps = wave(3)
    write_record(tmp_path, "r", steps, leads=["I", "II", "III"])
    lines = (tmp_path / "r.hea").read_text().splitlines()
    (tmp_path / "r2.dat").write_bytes(np.ascontiguousarray(steps[2]).astype(">i2").tobytes())
    (tmp_path / "r.dat").write_bytes(np.ascontiguousarray(steps[:2].T).astype("<i2").tobytes())
    lines[3] = lines[3].replace("r.dat 16", "r2.dat 61")
    (tmp_path / "r.hea").write_text("\n".join(lines))
    np.testing.assert_allclose(formats.read(tmp_path / "r.hea", "r").waveform_mv, steps / 1000, rtol=2e-7)


@pytest.mark.parametrize(("unit", "factor"), [("mV", 1), ("mv", 1), ("uV", 0.001), ("V", 1000), ("µV", 0.001)])
def test_units_of_voltage_become_millivolt(tmp_path: Path, unit: str, factor: float) -> None:
    steps = wave(1)
    path = write_record(tmp_path, "r", steps, gain=f"{1000 * factor:g}/{unit}", leads=["II"])
    recording = formats.read(path, "r")
    assert recording.calibrated
    np.testing.assert_allclose(recording.waveform_mv, steps / 1000, rtol=1e-6)


@pytest.mark.parametrize(("gain", "reason"), [("1000/sd", "unit sd"), ("0", "no gain stated"), ("0/mV", "no gain")])
def test_without_a_voltage_a_recording_is_not_calibrated(tmp_path: Path, gain: str, reason: str) -> None:
    recording = formats.read(write_record(tmp_path, "r", wave(), gain=gain), "r")
    assert not recording.calibrated
    assert reason in recording.remarks[0]
    assert recording.lead_names == LEADS


def test_what_is_no_ecg_is_left_out_with_a_remark(tmp_path: Path) -> None:
    path = write_record(tmp_path, "r", wave(4), leads=["II", "ABP", "PLETH", "V"])
    path.write_text(path.read_text().replace("mV 16 0", "mmHg 16 0", 2).replace("mmHg", "mV", 1))
    recording = formats.read(path, "r")
    assert recording.lead_names == ("II", "V")
    assert recording.remarks == ("left out, no ECG: ABP (mmHg), PLETH (mV)",)
    np.testing.assert_allclose(recording.waveform_mv, wave(4)[[0, 3]] / 1000, rtol=2e-7)


def test_a_record_without_any_ecg_is_refused(tmp_path: Path) -> None:
    path = write_record(tmp_path, "r", wave(1), leads=["ABP"], gain="10/mmHg")
    with pytest.raises(FormatError, match=r"r: none of its signals is an ECG: ABP \(mmHg\)"):
        formats.read(path, "r")


def test_a_lead_beyond_any_electrode_is_left_out(tmp_path: Path) -> None:
    path = write_record(tmp_path, "r", wave(2), leads=["I", "II"])
    path.write_text(path.read_text().replace("1000/mV", "0.001/mV", 1))
    recording = formats.read(path, "r")
    assert recording.lead_names == ("II",)
    assert "lead I left out" in recording.remarks[0]


def test_names_that_repeat_are_numbered(tmp_path: Path) -> None:
    assert formats.read(write_record(tmp_path, "r", wave(3), leads=["V", "V", ""]), "r").lead_names == (
        "V", "V 2", "signal 3",
    )  # fmt: skip


def test_damage_that_the_checksum_shows_is_a_remark(tmp_path: Path) -> None:
    path = write_record(tmp_path, "r", wave(2), leads=["I", "II"])
    data = bytearray((tmp_path / "r.dat").read_bytes())
    data[400] ^= 1
    (tmp_path / "r.dat").write_bytes(data)
    assert "samples of I don't add up" in formats.read(path, "r").remarks[0]


def test_a_length_that_is_not_stated_follows_from_the_file(tmp_path: Path) -> None:
    path = write_record(tmp_path, "r", wave(2), leads=["I", "II"])
    path.write_text(path.read_text().replace("r 2 500 1000", "r 2 500"))
    assert formats.read(path, "r").sample_count == 1000


def test_segments_and_mixed_rates_go_through_the_package(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_record(tmp_path, name, wave(2, seed=ord(name)), leads=["I", "II"])
    (tmp_path / "m.hea").write_text("m/2 2 500 2000\na 1000\nb 1000\n")
    recording = formats.read(tmp_path / "m.hea", "m")
    expected = np.concatenate([wave(2, seed=ord("a")), wave(2, seed=ord("b"))], axis=1) / 1000
    np.testing.assert_allclose(recording.waveform_mv, expected, rtol=2e-7)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda folder: (folder / "r.dat").unlink(), "signal file r.dat is missing"),
        (lambda folder: (folder / "r.dat").write_bytes(b"12"), "is cut off: 2 bytes, its header needs 24,000"),
        (lambda folder: (folder / "r.dat").write_bytes(b"version https://git-lfs.github.com/spec/v1\n"), "Git LFS"),
        (lambda folder: ((folder / "r.dat").unlink(), (folder / "r.dat").mkdir()), "is not a file"),
        (lambda folder: ((folder / "r.dat").unlink(), (folder / "r.dat").symlink_to("/etc/hostname")), "leads out"),
    ],
)
def test_a_signal_file_that_is_none(tmp_path: Path, change, words: str) -> None:
    path = write_record(tmp_path, "r", wave())
    change(tmp_path)
    with pytest.raises(FormatError, match=f"r: .*{words}"):
        formats.read(path, "r")


def test_37_leads_are_refused(tmp_path: Path) -> None:
    path = write_record(tmp_path, "r", wave(37), rate=800, leads=[f"ECG {number}" for number in range(37)])
    with pytest.raises(RecordingError, match="37 leads"):
        formats.read(path, "r")


def test_a_gain_that_leaves_no_ecg_is_refused(tmp_path: Path) -> None:
    path = write_record(tmp_path, "r", wave(), gain="2000000000/mV")
    with pytest.raises(FormatError, match="the gain in the header is too high"):
        formats.read(path, "r")


def test_flat_leads_are_no_reason_to_refuse(tmp_path: Path) -> None:
    assert formats.read(write_record(tmp_path, "r", np.zeros((12, 1000), np.int16)), "r").sample_count == 1000


def test_the_first_georgia_release_is_refused_for_its_gain(tmp_path: Path) -> None:
    path = write_record(tmp_path, "E00015", wave(), gain="4880/mV", file_name="E00015.mat", offset=24)
    with pytest.raises(FormatError, match="too high; fetch the corrected one"):
        formats.read(path, "E00015")


def test_a_missing_segment_is_named(tmp_path: Path) -> None:
    (tmp_path / "m.hea").write_text("m/1 2 500 1000\na 1000\n")
    with pytest.raises(FormatError, match=r"m: segment a: its header a\.hea is missing"):
        formats.read(tmp_path / "m.hea", "m")


def test_a_skew_that_lies_allocates_nothing(tmp_path: Path) -> None:
    np.zeros(100, "<i2").tofile(tmp_path / "r.dat")
    (tmp_path / "r.hea").write_text("r 1 500 100\nr.dat 16:999999999 200/mV 16 0 0 0 0 I\n")
    with pytest.raises(FormatError, match="at most 250,000,000"):
        formats.read(tmp_path / "r.hea", "r")


def test_what_the_package_can_t_read_is_a_format_error(tmp_path: Path) -> None:
    (tmp_path / "r.hea").write_text("r 1 250 100\nr.dat 508 200 8 0 0 0 0 II\n")
    (tmp_path / "r.dat").write_bytes(b"fLaC" + b"\0" * 100)
    with pytest.raises(FormatError, match="r: the wfdb package can't read it"):
        formats.read(tmp_path / "r.hea", "r")


def test_an_unknown_kind_of_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"\.hea, \.mat and \.txt"):
        formats.read(tmp_path / "scan.pdf", "scan")


@pytest.mark.parametrize(
    ("comments", "expected"),
    [
        (["Age: NaN", "Sex: Female"], (None, "F", "", 0)),
        (["Age: 300", "Sex: x"], (None, "", "", 2)),
        (["<age>: 51", "<sex>: F", "<diagnoses>:", "Rhythm: Sinus rhythm.", "Electric axis of the heart: normal."],
         (51, "F", "Rhythm: Sinus rhythm.\nElectric axis of the heart: normal.", 0)),
        (["<age>: 25  <sex>: M  <diagnoses>: (none)  <medications>: (none)"], (25, "M", "", 0)),
        (["69 M 1085 1629 x1", "Aldomet, Inderal"], (69, "M", "", 0)),
        (["age: 81", "sex: female", "Reason for admission: Myocardial infarction", "Smoker: no"],
         (81, "F", "Reason for admission: Myocardial infarction.", 0)),
        (["Report: Sinus rhythm. Normal."], (None, "", "Sinus rhythm. Normal.", 0)),
    ],
)  # fmt: skip
def test_comments_in_their_dialects(tmp_path: Path, comments: list[str], expected: tuple) -> None:
    recording = formats.read(write_record(tmp_path, "r", wave(), comments=comments), "r")
    found = (recording.age_years, recording.sex, recording.report_text, len(recording.remarks))
    assert found == expected


def test_diagnoses_in_words_are_codes_as_well(tmp_path: Path) -> None:
    comments = [
        "<diagnoses>:",
        "Rhythm: Sinus rhythm.",
        "Electric axis of the heart: normal.",
        "Scar formation: apical.",
    ]
    recording = formats.read(write_record(tmp_path, "r", wave(), comments=comments), "r")
    assert recording.source_codes == (
        SourceCode("text", "Rhythm: Sinus rhythm"), SourceCode("text", "Scar formation: apical"),
    )  # fmt: skip
