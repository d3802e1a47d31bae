"""Official layouts are recognised by their files, and one bad record stops nothing."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import wfdb
from scipy.io import savemat

from ecgfm_core import datasets, labels
from ecgfm_core.errors import EcgfmError, FormatError
from ecgfm_core.recording import Recording, SourceCode
from tests.ecgfm_core.wfdb_files import wave, write_record


def ptbxl(folder: Path) -> None:
    """Write two recordings and one that is missing in PTB-XL's form."""
    write_record(folder / "records100/00000", "00001_lr", wave(), rate=100, gain="1000.0(0)/mV")
    write_record(folder / "records500/00000", "00001_hr", wave(), rate=500, gain="1000.0(0)/mV")
    write_record(folder / "records100/00000", "00002_lr", wave(), rate=100, gain="1000.0(0)/mV")
    (folder / "ptbxl_database.csv").write_text(
        "ecg_id,patient_id,age,sex,recording_date,report,scp_codes,strat_fold,filename_lr,filename_hr\n"
        "1,9012.0,56.0,1,1984-11-09 09:17:34,\"sinus rhythm\nnormal ecg\",\"{'NORM': 100.0, 'SR': 0.0}\",3,"
        "records100/00000/00001_lr,records500/00000/00001_hr\n"
        "2,13.0,300.0,0,,,\"{'AFIB': 15.0}\",10,records100/00000/00002_lr,\n"
        "3,13.0,40.0,0,,,{},10,records100/00000/00003_lr,\n"
        "4,14.0,40.0,0,,,\"__import__('os')\",10,records100/00000/00002_lr,\n"
        "5,14.0,40.0,0,,,{},10,../../etc/passwd,\n"
    )


def cinc2020(folder: Path) -> None:
    """Write a recording in the challenges' form."""
    write_record(
        folder / "g1", "JS00001", wave(), file_name="JS00001.mat", offset=24, comments=["Age: 5", "Dx: 164889003"]
    )


def mitdb(folder: Path) -> None:
    """Write three recordings of MIT-BIH's form, the last two of one person."""
    for name in ("100", "201", "202"):
        write_record(folder, name, wave(2), rate=360, leads=["MLII", "V5"],
                     comments=["69 M 1085 1629 x1", "Digoxin", "The PVCs are", "uniform."])  # fmt: skip
        wfdb.wrann(name, "atr", np.array([5, 9, 300, 700]), np.array(["+", "N", "V", "~"]),
                   aux_note=["(AFIB", "", "", ""], write_dir=str(folder))  # fmt: skip


def ludb(folder: Path) -> None:
    """Write a recording of LUDB's form."""
    write_record(folder, "1", wave(), comments=["<age>: 51", "<diagnoses>:", "Rhythm: Sinus rhythm."])
    for lead in ("i", "avf"):
        (folder / f"1.{lead}").write_bytes(b"\0\0")


def cinc2011(folder: Path) -> None:
    """Write recordings with a table of their quality."""
    write_record(folder, "10", wave())
    write_record(folder, "9", np.zeros((12, 1000), np.int16))
    (folder / "labels.csv").write_text("record,quality\n10,acceptable\n9,unacceptable\n")


def cpsc2018(folder: Path) -> None:
    """Write a native CPSC recording with its table."""
    savemat(folder / "A0001.mat", {"ECG": {"sex": "Male", "age": 52, "data": wave() / 1000}})
    (folder / "REFERENCE.csv").write_text("Recording,First_label,Second_label,Third_label\nA0001,5,2,\n")


def hefei(folder: Path) -> None:
    """Write a Hefei recording with its list."""
    rows = "\n".join(" ".join(["7"] * 7 + [str(number)]) for number in range(200))
    (folder / "train").mkdir()
    (folder / "train" / "7.txt").write_text(f"I II V1 V2 V3 V4 V5 V6\n{rows}\n")
    (folder / "hf_round1_label.txt").write_text("7.txt\t47\tFEMALE\t窦性心律\t心房颤动\n")


def plain(folder: Path) -> None:
    """Write WFDB records at two depths."""
    write_record(folder / "deep", "b", wave(1), leads=["II"])
    write_record(folder, "a", wave(1), leads=["II"])


LAYOUTS = {
    "ptb-xl": ptbxl, "cinc2020": cinc2020, "mitdb": mitdb, "ludb": ludb, "cinc2011": cinc2011, "cpsc2018": cpsc2018,
    "hefei": hefei, "wfdb": plain,
}  # fmt: skip


def loaded(folder: Path) -> tuple[dict[str, Recording], dict[str, str]]:
    """Load what loads, and tell why the rest does not."""
    good, bad = {}, {}
    for entry in datasets.iterate(folder):
        try:
            good[entry.name] = entry.load()
        except EcgfmError as error:
            bad[entry.name] = str(error)
    return good, bad


@pytest.mark.parametrize("key", LAYOUTS)
def test_a_layout_is_recognised_by_its_files(tmp_path: Path, key: str) -> None:
    LAYOUTS[key](tmp_path)
    layout = datasets.recognise(tmp_path)
    assert layout is not None
    assert layout.key == key
    assert layout.title


@pytest.mark.parametrize("key", LAYOUTS)
def test_a_layout_is_recognised_one_folder_deeper(tmp_path: Path, key: str) -> None:
    (tmp_path / "inner").mkdir()
    LAYOUTS[key](tmp_path / "inner")
    layout = datasets.recognise(tmp_path)
    assert layout is not None
    assert layout.key == key
    assert any(entry.load() for entry in datasets.iterate(tmp_path))


def test_ptbxl(tmp_path: Path) -> None:
    ptbxl(tmp_path)
    good, bad = loaded(tmp_path)
    first = good["records500/00000/00001_hr"]
    assert (first.sampling_rate_hz, first.fold, first.patient_key, first.sex, first.age_years) == (
        500,
        3,
        "9012",
        "F",
        56,
    )
    assert first.source_codes == (SourceCode("scp", "NORM", 1.0), SourceCode("scp", "SR", None))
    assert first.report_text == "sinus rhythm\nnormal ecg"
    assert first.acquired_at is not None
    assert first.acquired_at.year == 1984
    second = good["records100/00000/00002_lr"]
    assert (second.age_years, second.sex, second.source_codes) == (None, "M", (SourceCode("scp", "AFIB", 0.15),))
    assert any("over 89" in remark for remark in second.remarks)
    assert "is missing" in bad["records100/00000/00003_lr"] or "No such file" in bad["records100/00000/00003_lr"]
    assert "scp_codes" in bad["records100/00000/00002_lr"]
    assert "no usable file name" in bad["ptbxl_database.csv, ecg_id 5"]


def test_ptbxl_tells_its_folds_before_anything_is_read(tmp_path: Path) -> None:
    ptbxl(tmp_path)
    assert [entry.fold for entry in datasets.iterate(tmp_path)] == [3, 10, 10, 10, 10]


def test_a_ptbxl_table_without_its_columns_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ptbxl_database.csv").write_text("a,b\n1,2\n")
    with pytest.raises(FormatError, match="columns ecg_id, patient_id, scp_codes, filename_lr are missing"):
        list(datasets.iterate(tmp_path))


def test_a_table_that_is_no_csv_is_refused(tmp_path: Path) -> None:
    row = f'1,1,{{}},x,"{"a" * 200_000}"'
    (tmp_path / "ptbxl_database.csv").write_text(f"ecg_id,patient_id,scp_codes,filename_lr,report\n{row}\n")
    with pytest.raises(FormatError, match="a table of PTB-XL can't be read"):
        list(datasets.iterate(tmp_path))


def test_cinc2020_names_the_centre(tmp_path: Path) -> None:
    cinc2020(tmp_path)
    recording = loaded(tmp_path)[0]["g1/JS00001"]
    assert (recording.centre, recording.age_years) == ("Chapman-Ningbo", 5)
    assert recording.source_codes == (SourceCode("snomed", "164889003"),)


def test_mitdb_beats_become_labels(tmp_path: Path) -> None:
    mitdb(tmp_path)
    good, bad = loaded(tmp_path)
    assert bad == {}
    first = good["100"]
    assert first.source_codes == (SourceCode("aami", "(AFIB"), SourceCode("aami", "N"), SourceCode("aami", "V"))
    assert labels.abnormal_source(first.source_codes) is True
    assert (first.age_years, first.sex, first.report_text) == (69, "M", "The PVCs are uniform.")
    assert [good[name].patient_key for name in ("100", "201", "202")] == ["100", "201", "201"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is cut off"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
        (b"\1\x04", "end mark"),
    ],
)
def test_damaged_annotations_refuse_their_record_alone(tmp_path: Path, content: bytes, words: str) -> None:
    mitdb(tmp_path)
    (tmp_path / "201.atr").write_bytes(content)
    good, bad = loaded(tmp_path)
    assert sorted(good) == ["100", "202"]
    assert "201.atr" in bad["201"]
    assert words in bad["201"]


def test_ludb_has_a_person_a_record(tmp_path: Path) -> None:
    ludb(tmp_path)
    recording = loaded(tmp_path)[0]["1"]
    assert (recording.patient_key, recording.age_years, recording.report_text) == ("1", 51, "Rhythm: Sinus rhythm.")
    assert recording.source_codes == (SourceCode("text", "Rhythm: Sinus rhythm"),)


def test_cinc2011_has_quality_and_flat_recordings(tmp_path: Path) -> None:
    cinc2011(tmp_path)
    good, bad = loaded(tmp_path)
    assert bad == {}
    assert list(good) == ["9", "10"]
    assert good["9"].source_codes == (SourceCode("quality", "unacceptable"),)


def test_cpsc2018_has_classes(tmp_path: Path) -> None:
    cpsc2018(tmp_path)
    assert loaded(tmp_path)[0]["A0001"].source_codes == (SourceCode("cpsc", "5"), SourceCode("cpsc", "2"))


def test_hefei_has_statements(tmp_path: Path) -> None:
    hefei(tmp_path)
    recording = loaded(tmp_path)[0]["train/7.txt"]
    assert (recording.age_years, recording.sex) == (47, "F")
    assert recording.source_codes == (SourceCode("hefei", "窦性心律"), SourceCode("hefei", "心房颤动"))


def test_a_segment_is_no_entry_of_its_own(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        write_record(tmp_path, name, wave(1), leads=["II"])
    (tmp_path / "m.hea").write_text("m/2 1 500 2000\na 1000\nb 1000\n")
    assert [entry.name for entry in datasets.iterate(tmp_path)] == ["c", "m"]


def broken_header(folder: Path) -> None:
    """Leave a header that doesn't parse."""
    (folder / "bad.hea").write_text("nonsense")


def lone_header(folder: Path) -> None:
    """Leave a header without its signals."""
    write_record(folder, "bad", wave(1), leads=["II"])
    (folder / "bad.dat").unlink()


def lone_placeholder(folder: Path) -> None:
    """Leave a cut-off file without a header."""
    (folder / "bad.mat").write_bytes(b"v\x1dza\0\0")


@pytest.mark.parametrize("spoil", [broken_header, lone_header, lone_placeholder])
@pytest.mark.parametrize("key", ["cinc2020", "mitdb", "ludb", "cinc2011", "wfdb"])
def test_one_bad_record_stops_nothing(tmp_path: Path, key: str, spoil: Callable[[Path], None]) -> None:
    LAYOUTS[key](tmp_path)
    spoil(tmp_path)
    good, bad = loaded(tmp_path)
    assert good
    assert len(bad) == 1
    (reason,) = bad.values()
    assert reason.startswith("bad")


def test_a_folder_without_recordings(tmp_path: Path) -> None:
    (tmp_path / "readme.txt").write_text("nothing here")
    (tmp_path / "12.txt").write_text("not a lead\n")
    assert datasets.recognise(tmp_path) is None
    with pytest.raises(FormatError, match="no recordings found"):
        list(datasets.iterate(tmp_path))


def test_what_is_no_folder(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="is not a folder"):
        datasets.recognise(tmp_path / "none")


def test_hidden_files_are_passed_over(tmp_path: Path) -> None:
    plain(tmp_path)
    write_record(tmp_path / "__MACOSX", "x", wave(1), leads=["II"])
    (tmp_path / "._a.hea").write_bytes(b"\0")
    assert [entry.name for entry in datasets.iterate(tmp_path)] == ["a", "deep/b"]
