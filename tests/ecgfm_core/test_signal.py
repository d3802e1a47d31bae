"""Resampling, filters and heart rate on signals with known answers."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgfm_core.errors import RecordingError
from ecgfm_core.measurements import measure, r_peaks
from ecgfm_core.signal.filters import bandpass, fill_missing
from ecgfm_core.signal.resample import resample

NAMES = ("I", "II", "V1")


def tone(hz: float, rate: float, seconds: float = 10) -> np.ndarray:
    """One lead of a sine."""
    return np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate).astype(np.float32)[None]


def beats(bpm: float, rate: float, seconds: float = 10, noise: float = 0.01) -> np.ndarray:
    """Three leads with narrow QRS complexes and broad T waves of a known rate."""
    times = np.arange(round(seconds * rate)) / rate
    phase = (times + 0.3) % (60 / bpm)
    wave = np.exp(-(((phase - 0.2) / 0.012) ** 2)) + 0.25 * np.exp(-(((phase - 0.45) / 0.05) ** 2))
    leads = np.stack([0.6 * wave, wave, -0.8 * wave])
    return (leads + np.random.default_rng(0).normal(0, noise, leads.shape)).astype(np.float32)


@pytest.mark.parametrize(("source", "target"), [(500, 250), (250, 500), (360, 500), (1000, 257), (249.89, 500)])
def test_a_tone_keeps_its_place_and_size(source: float, target: float) -> None:
    changed = resample(tone(7, source), source, target)
    expected = tone(7, target)
    count = min(changed.shape[1], expected.shape[1])
    middle = slice(round(target), count - round(target))
    assert changed.dtype == np.float32
    assert abs(changed.shape[1] - expected.shape[1]) <= 2
    np.testing.assert_allclose(changed[:, middle], expected[:, middle], atol=0.02)


def test_what_is_above_the_new_limit_is_gone_and_not_folded() -> None:
    assert np.abs(resample(tone(180, 500), 500, 250)[:, 250:-250]).max() < 0.02


def test_an_offset_makes_no_edge() -> None:
    np.testing.assert_allclose(resample(np.full((1, 500), 5, np.float32), 500, 100), 5, atol=1e-3)


@settings(deadline=None, max_examples=30)
@given(st.sampled_from([100, 250, 257, 360, 500, 1000]), st.sampled_from([100, 250, 500]), st.integers(60, 900))
def test_the_length_follows_the_rates(source: int, target: int, samples: int) -> None:
    changed = resample(np.ones((2, samples), np.float32), source, target)
    assert changed.shape == (2, -(-samples * target // source))


def test_the_same_rate_changes_nothing() -> None:
    given_waveform = tone(5, 500)
    assert resample(given_waveform, 500, 500) is given_waveform


def test_a_gap_stays_a_gap_and_spoils_nothing_else() -> None:
    waveform = tone(3, 500)
    waveform[0, 1000:1500] = np.nan
    changed = resample(waveform, 500, 250)
    gap = np.flatnonzero(np.isnan(changed[0]))
    assert gap[0] in (499, 500, 501)
    assert gap[-1] in (748, 749, 750)
    np.testing.assert_allclose(changed[0, 800:2400], tone(3, 250)[0, 800:2400], atol=0.02)


@pytest.mark.parametrize("rate", [0, -1, 20, 1e6, float("nan")])
def test_a_rate_out_of_bounds_is_refused(rate: float) -> None:
    with pytest.raises(RecordingError, match="Hz are allowed"):
        resample(tone(5, 500), 500, rate)


def test_a_gap_is_bridged_by_a_line() -> None:
    waveform = np.array([[0, np.nan, np.nan, 3], [np.nan] * 4], np.float32)
    assert fill_missing(waveform).tolist() == [[0, 1, 2, 3], [0, 0, 0, 0]]
    assert np.isnan(waveform).sum() == 6


def test_a_band_passes_its_middle_in_phase_and_stops_the_rest() -> None:
    passed = bandpass(tone(10, 500), 500, 5, 20)[:, 500:-500]
    np.testing.assert_allclose(passed, tone(10, 500)[:, 500:-500], atol=0.05)
    assert np.abs(bandpass(tone(0.3, 500) + tone(100, 500), 500, 5, 20)[:, 500:-500]).max() < 0.02


@pytest.mark.parametrize("bpm", [32, 60, 75, 118, 180])
@pytest.mark.parametrize("rate", [100, 360, 500])
def test_a_known_heart_rate_is_measured(bpm: float, rate: float) -> None:
    found = measure(beats(bpm, rate), rate, NAMES)
    assert found["heart_rate_bpm"] == pytest.approx(bpm, rel=0.02)
    assert found["heart_rate_lead"] == "II, I, V1"
    assert found["pr_ms"] is None


def test_complexes_are_found_where_they_are() -> None:
    found = r_peaks(beats(60, 500), 500)
    np.testing.assert_allclose(np.diff(found), 500, atol=5)
    assert abs(found[0] - 450) <= 20


def test_a_flat_lead_is_not_measured_in() -> None:
    waveform = beats(75, 500)
    waveform[1] = 0
    assert measure(waveform, 500, NAMES)["heart_rate_lead"] == "I, V1"


@pytest.mark.parametrize(
    "waveform",
    [np.zeros((3, 5000), np.float32), np.full((3, 5000), np.nan, np.float32), beats(60, 500)[:, :600]],
)
def test_what_can_t_be_measured_is_none(waveform: np.ndarray) -> None:
    found = measure(waveform, 500, NAMES)
    assert set(found.values()) == {None}
    json.dumps(found)
