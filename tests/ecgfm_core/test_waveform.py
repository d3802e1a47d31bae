"""Waveforms are stored whole, once, and lose less than 1 uV or say why not."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ecgfm_core import waveform
from ecgfm_core.errors import FormatError
from ecgfm_core.recording import Recording

millivolt = st.floats(-200, 200, width=32) | st.just(float("nan"))
arrays = hnp.arrays(np.float32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=20), elements=millivolt)


def recording(values: np.ndarray, calibrated: bool = True) -> Recording:
    """Make a recording of given values."""
    names = tuple(f"L{row}" for row in range(len(values)))
    return Recording("r", names, values, 500.0, calibrated=calibrated)


def some() -> waveform.PackedWaveform:
    """Pack a small waveform with a missing sample."""
    values = np.linspace(-1, 1, 24, dtype=np.float32).reshape(2, 12)
    values[0, 3] = np.nan
    return waveform.pack(recording(values))


@settings(deadline=None, max_examples=200)
@given(arrays.filter(lambda values: not np.isnan(values).all()))
def test_the_loss_is_below_a_microvolt_or_the_note_says_why(values: np.ndarray) -> None:
    packed = waveform.pack(recording(values))
    back = waveform.unpack(packed)
    assert back.dtype == np.float32
    assert packed.samples.dtype == np.dtype("<i2")
    np.testing.assert_array_equal(np.isnan(back), np.isnan(values))
    loss = float(np.nanmax(np.abs(back.astype(np.float64) - values)))
    assert loss <= packed.scale_mv / 2 + 1e-5 * np.nanmax(np.abs(values)) * 2**-7 + 1e-9
    assert packed.note or loss < 0.001
    assert packed.note == "" or "one step is" in packed.note


@settings(deadline=None)
@given(
    hnp.arrays(np.float32, (2, 8), elements=st.floats(-1e9, 1e9, width=32, allow_subnormal=False)),
)
def test_uncalibrated_values_of_any_size_keep_four_digits(values: np.ndarray) -> None:
    packed = waveform.pack(recording(values, calibrated=False))
    peak = float(np.abs(values).max())
    assert float(np.abs(waveform.unpack(packed) - values).max()) <= max(peak, 1e-30) * 2e-4
    assert not packed.calibrated


def test_missing_samples_are_the_lowest_number_and_nothing_else_is() -> None:
    values = np.array([[np.nan, -32.767, 32.767, 0.0004]], np.float32)
    packed = waveform.pack(recording(values))
    assert packed.samples.tolist() == [[waveform.MISSING, -32767, 32767, 0]]
    assert packed.note == ""


def test_a_large_waveform_says_why_its_step_is_coarser() -> None:
    packed = waveform.pack(recording(np.array([[0, 80]], np.float32)))
    assert packed.scale_mv == 0.005
    assert packed.note.startswith("The waveform reaches 80.0 mV")
    assert "5 uV" in packed.note


def test_the_sha256_is_the_same_on_every_machine() -> None:
    packed = waveform.pack(recording(np.array([[0.001, -0.002]], np.float32)))
    text = '{"calibrated":true,"lead_names":["L0"],"sample_count":2,"sampling_rate_hz":500.0,"scale_mv":0.001}\n'
    assert packed.sha256 == hashlib.sha256(text.encode() + b"\x01\x00\xfe\xff").hexdigest()


def test_the_sha256_tells_recordings_apart_that_share_samples() -> None:
    values = np.array([[0.001, -0.002]], np.float32)
    same = waveform.pack(recording(values)).sha256
    assert waveform.pack(recording(values)).sha256 == same
    assert waveform.pack(Recording("r", ("II",), values, 500.0)).sha256 != same
    assert waveform.pack(Recording("r", ("L0",), values, 250.0)).sha256 != same


def test_what_is_stored_is_loaded(tmp_path: Path) -> None:
    packed = some()
    path = waveform.store(packed, tmp_path)
    assert path == tmp_path / packed.sha256[:2] / f"{packed.sha256[2:]}.i16"
    loaded = waveform.load(tmp_path, packed.sha256, 2, 12)
    np.testing.assert_array_equal(loaded, packed.samples)
    with pytest.raises(ValueError, match="read-only"):
        loaded[0, 0] = 1


def test_a_second_store_changes_nothing_and_leaves_nothing_behind(tmp_path: Path) -> None:
    first = waveform.store(some(), tmp_path)
    written = first.stat().st_mtime_ns
    assert waveform.store(some(), tmp_path).stat().st_mtime_ns == written
    assert [path.name for path in first.parent.iterdir()] == [first.name]


def test_a_file_cut_off_by_a_crash_is_written_again(tmp_path: Path) -> None:
    path = waveform.store(some(), tmp_path)
    path.write_bytes(b"")
    with pytest.raises(FormatError, match="0 bytes, expected 48"):
        waveform.load(tmp_path, some().sha256, 2, 12)
    waveform.store(some(), tmp_path)
    assert waveform.load(tmp_path, some().sha256, 2, 12).shape == (2, 12)


def test_a_missing_file_is_an_error_with_words(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="import it again"):
        waveform.load(tmp_path, "0" * 64, 1, 1)


@pytest.mark.parametrize("name", ["../../etc/passwd", "", "A" * 64, "0" * 63])
def test_a_name_that_is_no_sha256_never_becomes_a_path(tmp_path: Path, name: str) -> None:
    with pytest.raises(FormatError, match="64 hex digits"):
        waveform.load(tmp_path, name, 1, 1)
