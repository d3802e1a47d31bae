"""Native CPSC and Hefei files."""

import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import savemat

from ecgfm_core import formats
from ecgfm_core.errors import FormatError, RecordingError
from ecgfm_core.leads import STANDARD_LEADS

VALUES = np.linspace(-1, 1, 12 * 600).reshape(12, 600)


def write_mat(path: Path, *, compress: bool = True, **changes: Any) -> Path:
    """Write a native CPSC file."""
    savemat(path, {"ECG": {"sex": "Male", "age": 52, "data": VALUES} | changes}, do_compression=compress)
    return path


@pytest.mark.parametrize("compress", [True, False])
def test_a_native_cpsc_file(tmp_path: Path, compress: bool) -> None:
    recording = formats.read(write_mat(tmp_path / "A0001.mat", compress=compress), "A0001")
    assert (recording.age_years, recording.sex, recording.sampling_rate_hz) == (52, "M", 500)
    assert recording.lead_names == STANDARD_LEADS
    np.testing.assert_allclose(recording.waveform_mv, VALUES.astype(np.float32))


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"data": VALUES[:3]}, r"shape \(3, 600\)"), ({"data": "text"}, "are needed"), ({"data": VALUES[None]}, "shape")],
)
def test_data_of_another_form_is_refused(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(FormatError, match=words):
        formats.read(write_mat(tmp_path / "A.mat", **changes), "A")


def test_an_unknown_age_is_none(tmp_path: Path) -> None:
    assert formats.read(write_mat(tmp_path / "A.mat", age=float("nan"), sex="?"), "A").age_years is None


def test_another_struct_is_refused(tmp_path: Path) -> None:
    savemat(tmp_path / "A.mat", {"EEG": 1})
    with pytest.raises(FormatError, match="no struct ECG"):
        formats.read(tmp_path / "A.mat", "A")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"v\x1dza\0\0", r"6 bytes\) is no MATLAB 5 file"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
        (b"MATLAB 5.0 MAT-file".ljust(126) + b"IM" + b"\x0f\0\0\0\x10\0\0\0" + b"notzlib".ljust(16), "damaged"),
    ],
)
def test_what_is_no_matlab_file_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "A.mat").write_bytes(content)
    with pytest.raises(FormatError, match=words):
        formats.read(tmp_path / "A.mat", "A")


def test_a_bomb_is_refused_before_it_inflates(tmp_path: Path) -> None:
    packer = zlib.compressobj(9)
    packed = b"".join(packer.compress(bytes(1 << 20)) for _ in range(300)) + packer.flush()
    start = b"MATLAB 5.0 MAT-file".ljust(126) + b"IM"
    (tmp_path / "A.mat").write_bytes(start + (15).to_bytes(4, "little") + len(packed).to_bytes(4, "little") + packed)
    with pytest.raises(FormatError, match="inflates to more than"):
        formats.read(tmp_path / "A.mat", "A")


def test_a_hefei_file(tmp_path: Path) -> None:
    steps = np.arange(8 * 5000).reshape(5000, 8) % 400
    text = "I II V1 V2 V3 V4 V5 V6\n" + "\n".join(" ".join(map(str, row)) for row in steps) + "\n"
    (tmp_path / "7.txt").write_text(text)
    recording = formats.read(tmp_path / "7.txt", "7.txt")
    assert recording.lead_names == ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")
    assert (recording.sampling_rate_hz, recording.sample_count) == (500, 5000)
    np.testing.assert_allclose(recording.waveform_mv, steps.T * 0.00488, rtol=1e-6)


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("I II\n1 2\n3\n", FormatError, "line 3 holds 1 numbers"),
        ("I II\n1 2.5\n", FormatError, "not a whole number"),
        ("I II\n1 99999999999\n", FormatError, "not a whole number"),
        ("time I\n1 2\n", FormatError, "line of lead names"),
        ("I II\n", RecordingError, "0 samples"),
        ("", FormatError, "is empty"),
    ],
)
def test_a_hefei_file_that_is_none(tmp_path: Path, text: str, error: type[Exception], words: str) -> None:
    (tmp_path / "7.txt").write_text(text)
    with pytest.raises(error, match=words):
        formats.read(tmp_path / "7.txt", "7.txt")
