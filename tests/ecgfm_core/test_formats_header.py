"""WFDB headers: what is said is read, and what can't be is refused before anything is done with it."""

import tracemalloc
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgfm_core.errors import FormatError
from ecgfm_core.formats.header import parse_header, read_header

LINE = "a.dat 16 1000/mV 16 0 5 77 0 V1"


def test_a_full_header() -> None:
    header = parse_header(
        "# first\nr-1 2 360 650000 08:26:04 26/10/1994\n"
        "r.dat 212x4:3+24 200.5(-7)/uV 11 1024 995 -22131 0 MLII lead\nr.dat 212 200 11 1024\n#Age: 4\n"
    )
    assert (header.name, header.signal_count, header.sampling_rate_hz, header.sample_count) == ("r-1", 2, 360, 650000)
    assert header.acquired_at == datetime(1994, 10, 26, 8, 26, 4, tzinfo=UTC)
    assert header.comments == ("first", "Age: 4")
    first, second = header.signals
    assert (first.file, first.format, first.per_frame, first.skew, first.offset) == ("r.dat", "212", 4, 3, 24)
    assert (first.gain, first.baseline, first.unit, first.checksum) == (200.5, -7, "uV", -22131)
    assert (first.description, first.calibrated) == ("MLII lead", True)
    assert (second.baseline, second.unit, second.checksum, second.description) == (1024, "mV", None, "")


def test_what_is_left_out_has_the_standards_default() -> None:
    header = parse_header("r 1\nr.dat 16\n")
    assert (header.sampling_rate_hz, header.sample_count, header.acquired_at) == (250, None, None)
    assert (header.signals[0].gain, header.signals[0].calibrated) == (200, False)


def test_a_gain_of_zero_is_no_gain() -> None:
    assert not parse_header("r 1 500 9\nr.dat 16 0/mV\n").signals[0].calibrated


def test_a_counter_frequency_is_passed_over() -> None:
    assert parse_header("r 1 62.4725/999.56(3) 14400\nr.dat 16\n").sampling_rate_hz == 62.4725


def test_segments() -> None:
    header = parse_header("m/2 3 125 2000\na 1000\n~ 1000\n")
    assert (header.segments, header.signals) == ((("a", 1000), ("~", 1000)), ())


def test_the_date_of_a_conversion_is_not_the_date_of_the_ecg() -> None:
    assert parse_header(f"r 1 500 9 05-May-2020 14:50:55\n{LINE}\n").acquired_at is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("# only\n", "only comments"),
        (f"E1.mat 1 500 9\n{LINE}\n", "record name 'E1.mat'"),
        (f"r one 500 9\n{LINE}\n", "doesn't parse"),
        (f"r 1 nan 9\n{LINE}\n", "doesn't parse"),
        (f"r 1 500 -9\n{LINE}\n", "doesn't parse"),
        (f"r 1 1e300 9\n{LINE}\n", "frames a second"),
        (f"r 1 0 9\n{LINE}\n", "frames a second"),
        ("r 0 500 9\n", "0 signals"),
        ("r 999999999 500 9\n", "999,999,999 signals"),
        (f"r 1 500 1000000000000\n{LINE}\n", "1,000,000,000,000 samples"),
        (f"r 2 500 9\n{LINE}\n", "1 lines for 2"),
        ("m/999999999 2 500 9\n", "0 lines for 999,999,999"),
        ("r 1 500 9\n../../x.dat 16\n", "own folder"),
        ("r 1 500 9\nx\\y.dat 16\n", "own folder"),
        ("r 1 500 9\n.. 16\n", "own folder"),
        ("r 1 500 9\nr.dat 17\n", "format 17"),
        ("r 1 500 9\nr.dat 16 -5/mV\n", "gain -5"),
        ("r 1 500 9\nr.dat 16 1e999/mV\n", "gain 1e999"),
        ("r 1 500 9\nr.dat 16x0\n", "0 samples a frame"),
        ("r 1 500 9\nr.dat 16x999999\n", "999,999 samples a frame"),
        ("r 1 500 9\nr.dat\n", "signal line 1"),
        ("m/1 1 500 9\n../a 9\n", "segment line"),
    ],
)
def test_what_can_t_be_is_refused_with_its_value(text: str, words: str) -> None:
    with pytest.raises(FormatError) as caught:
        parse_header(text)
    assert words in str(caught.value)


def test_absurd_numbers_allocate_nothing() -> None:
    tracemalloc.start()
    with pytest.raises(FormatError):
        parse_header("r 12 500 999999999999\n" + f"{LINE}\n" * 12)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000


@settings(max_examples=300, deadline=None)
@given(
    st.text(max_size=200) | st.from_regex(r"[\w./]{1,5} [0-9]{1,3} [0-9.e+-]{1,9} [0-9]{1,20}\n([\w.]+ [0-9x:+]+\n)*")
)
def test_any_text_is_a_header_or_a_format_error(text: str) -> None:
    try:
        header = parse_header(text)
    except FormatError:
        return
    assert header.signal_count >= 1


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 605\n", "Git LFS pointer"),
        (b"r 1\0", "binary"),
        (b"r" * (2 << 20), "larger than"),
    ],
)
def test_a_file_that_is_no_header(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "r.hea"
    path.write_bytes(content)
    with pytest.raises(FormatError, match=words):
        read_header(path)


def test_a_header_in_latin_1_is_read(tmp_path: Path) -> None:
    path = tmp_path / "r.hea"
    path.write_bytes(f"r 1 500 9\n{LINE}\n#Centre: Krankenhaus Süd\n".encode("latin-1"))
    assert read_header(path).comments == ("Centre: Krankenhaus Süd",)
