"""Random kernels: the same for ever, blind to gain, missing leads and length, and they tell rhythms apart."""

import numpy as np
import pytest

from ecgfm_core.signal.random_kernels import WIDTH, features

RATE_HZ = 100.0
TONES = (-0.467, 1.691, 0.843, 0.137)  # as first released


def ecg(beats_a_minute: float, seconds: float = 10.0, rate_hz: float = RATE_HZ, seed: int = 0) -> np.ndarray:
    """Twelve leads of narrow bumps and a little noise, float32 millivolt."""
    time_s = np.arange(round(seconds * rate_hz)) / rate_hz
    phase_s = (time_s + 0.3) % (60 / beats_a_minute)
    beat = np.exp(-(((phase_s - 0.3) / 0.02) ** 2)) + 0.3 * np.exp(-(((phase_s - 0.55) / 0.06) ** 2))
    noise = np.random.default_rng(seed).normal(0, 0.01, (12, len(time_s)))
    return (np.linspace(0.5, 1.5, 12)[:, None] * beat + noise).astype(np.float32)


def distance(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.linalg.norm(one - other))


def test_what_was_stored_once_stays_comparable() -> None:
    found = features(ecg(60), RATE_HZ)
    assert (found.shape, found.dtype) == ((WIDTH,), np.float32)
    np.testing.assert_array_equal(found, features(ecg(60), RATE_HZ))
    time_s = np.arange(1000) / RATE_HZ
    tones = np.sin(2 * np.pi * np.linspace(0.7, 7.1, 12)[:, None] * time_s).astype(np.float32)
    np.testing.assert_allclose(features(tones, RATE_HZ)[:4], TONES, atol=0.01)


def test_gain_changes_nothing_and_another_rate_little() -> None:
    one, fast = features(ecg(60), RATE_HZ), features(ecg(120), RATE_HZ)
    np.testing.assert_allclose(features(5 * ecg(60), RATE_HZ), one, atol=1e-3)
    assert distance(features(ecg(60, rate_hz=200.0), 200.0), one) < 0.7 * distance(fast, one)


def test_rhythms_lie_further_apart_than_two_recordings_of_one() -> None:
    one, again, fast = (features(ecg(rate, seed=seed), RATE_HZ) for rate, seed in ((60, 0), (60, 1), (120, 0)))
    assert distance(one, again) < 0.5 * distance(one, fast)


@pytest.mark.parametrize("seconds", [0.01, 0.5, 5.0, 47.0])
def test_any_length_is_summed_up(seconds: float) -> None:
    assert np.isfinite(features(ecg(60, seconds), RATE_HZ)).all()


def test_pieces_of_a_long_recording_are_averaged() -> None:
    long = np.concatenate([ecg(60), ecg(120)], axis=1)
    mean = (features(ecg(60), RATE_HZ) + features(ecg(120), RATE_HZ)) / 2
    np.testing.assert_allclose(features(long, RATE_HZ), mean, atol=1e-5)


def test_missing_leads_are_no_error_and_nothing_at_all_says_nothing() -> None:
    without = ecg(60)
    without[5:] = 0
    assert np.isfinite(features(without, RATE_HZ)).all()
    np.testing.assert_array_equal(features(np.zeros((12, 1000), np.float32), RATE_HZ), 0)
