"""Every WFDB form, against the `wfdb` package, on public files; and bad files, each with its true reason."""

import re
from pathlib import Path

import numpy as np
import pytest
import wfdb

from ecgfm_core import formats
from ecgfm_core.errors import EcgfmError
from ecgfm_core.formats import plain
from ecgfm_core.formats.header import read_header

SAMPLE_SETS = ("georgia", "chapman_ningbo", "cpsc_extra", "ptbxl_cinc", "cpsc2018", "ptb", "ludb", "cinc2011", "ptb-xl")
# Two headers of wfdb_formats came without their signals.
INCOMPLETE = {
    "100skew": "signal file 100.dat is missing",
    "v102s": "segment v102s_1: its header v102s_1.hea is missing",
}
REASONS = {
    "header_variants_2020/E*.hea": r"record name 'E\d{5}\.mat' in the record line",
    "header_variants_2020/[!E]*.hea": r"signal file \w+\.mat is missing",
    "invalid_header/*.hea": r"record name 'E\d{5}\.mat' in the record line",
    "lfs_pointer/*.hea": "Git LFS pointer",
    "many_channels/*.hea": "37 leads of 8001 samples.*1 to 32 leads",
    "missing_signal_file/*.hea": r"signal file I\d{4}\.mat is missing",
    "truncated_placeholder/*.mat": r"6 bytes\) is no MATLAB 5 file",
}


def read(path: Path):
    """Read a record under its own name."""
    return formats.read(path, path.stem)


@pytest.mark.parametrize("folder", SAMPLE_SETS)
def test_values_are_those_of_the_package(real_data: Path, folder: str) -> None:
    headers = sorted((real_data / folder).rglob("*.hea"))[:20]
    assert headers
    for path in headers:
        recording = read(path)
        expected = wfdb.rdrecord(str(path.with_suffix(""))).p_signal.T
        assert plain.can_read(read_header(path)), path
        np.testing.assert_allclose(recording.waveform_mv, expected.astype(np.float32), rtol=3e-7, err_msg=str(path))
        assert not any("checksum" in remark for remark in recording.remarks)


def test_every_wfdb_format_is_read_or_told_why_not(real_data: Path) -> None:
    headers = sorted((real_data / "wfdb_formats").glob("*.hea"))
    assert len(headers) >= 15
    for path in headers:
        if path.stem in INCOMPLETE:
            with pytest.raises(EcgfmError, match=f"^{path.stem}: {re.escape(INCOMPLETE[path.stem])}"):
                read(path)
        else:
            assert read(path).sample_count > 0


@pytest.mark.parametrize("name", ["3000003_0003", "a103l", "s0010_re", "test01_00s", "310derive", "041s01"])
def test_each_lead_of_a_special_format_has_the_packages_values(real_data: Path, name: str) -> None:
    path = real_data / "wfdb_formats" / f"{name}.hea"
    recording = read(path)
    record = wfdb.rdrecord(str(path.with_suffix("")), smooth_frames=False)
    by_name = {lead.lower(): values for lead, values in zip(record.sig_name, record.e_p_signal, strict=True)}
    for lead, row in zip(recording.lead_names, recording.waveform_mv, strict=True):
        np.testing.assert_allclose(row, by_name[lead.lower()].astype(np.float32), rtol=3e-7, atol=1e-7)


def test_an_ecg_faster_than_its_frames_has_its_own_rate(real_data: Path) -> None:
    mixed = read(real_data / "wfdb_formats" / "mixedsignals.hea")
    assert mixed.sampling_rate_hz == pytest.approx(249.89)
    assert (mixed.lead_names, mixed.sample_count) == (("II", "III", "V"), 57600)
    segments = read(real_data / "wfdb_formats" / "041s.hea")
    assert (segments.sampling_rate_hz, segments.sample_count) == (500, 8000)


@pytest.mark.parametrize("pattern", REASONS)
def test_bad_files_are_refused_with_the_true_reason(real_data: Path, pattern: str) -> None:
    paths = sorted((real_data / "bad_inputs").glob(pattern))
    assert paths
    for path in paths:
        with pytest.raises(EcgfmError, match=REASONS[pattern]):
            read(path)


def test_no_bad_file_is_left_untested(real_data: Path) -> None:
    folder = real_data / "bad_inputs"
    tested = {path for pattern in REASONS for path in folder.glob(pattern)}
    records = {path for path in folder.rglob("*") if path.suffix == ".hea"}
    assert records <= tested
