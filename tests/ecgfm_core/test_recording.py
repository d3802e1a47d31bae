"""A recording checks itself when it is made."""

from typing import Any

import numpy as np
import pytest

from ecgfm_core.errors import RecordingError
from ecgfm_core.recording import LEADS_MAX, Recording


def make(**changes: Any) -> Recording:
    """Make a sound recording, with changes."""
    values: dict[str, Any] = {
        "name": "r1",
        "lead_names": ("I", "II"),
        "waveform_mv": np.zeros((2, 500), np.float32),
        "sampling_rate_hz": 250.0,
    }
    return Recording(**values | changes)


def test_a_sound_recording_tells_its_length() -> None:
    assert (make().sample_count, make().duration_s) == (500, 2.0)


def test_missing_samples_are_allowed() -> None:
    waveform = np.zeros((2, 500), np.float32)
    waveform[0] = np.nan
    assert make(waveform_mv=waveform).sample_count == 500


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"waveform_mv": np.zeros((2, 500))}, "float64"),
        ({"waveform_mv": np.zeros(500, np.float32)}, "1 axes"),
        ({"waveform_mv": np.zeros((3, 500), np.float32)}, "3 leads"),
        ({"waveform_mv": np.zeros((2, 0), np.float32)}, "0 samples"),
        ({"waveform_mv": np.full((2, 9), np.nan, np.float32)}, "every sample is missing"),
        ({"waveform_mv": np.full((2, 9), np.inf, np.float32)}, "infinite"),
        ({"waveform_mv": np.full((2, 9), -np.inf, np.float32)}, "infinite"),
        ({"waveform_mv": np.full((2, 9), 201, np.float32)}, "201 mV"),
        ({"lead_names": ("I", "I")}, "repeat"),
        ({"sampling_rate_hz": 10.0}, "10 Hz"),
        ({"sampling_rate_hz": float("nan")}, "nan Hz"),
        ({"age_years": 200.0}, "age 200"),
        ({"sex": "male"}, "'male'"),
        (
            {"lead_names": tuple(map(str, range(33))), "waveform_mv": np.zeros((33, 9), np.float32)},
            f"1 to {LEADS_MAX} leads",
        ),
    ],
)
def test_what_contradicts_itself_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(RecordingError, match="r1: ") as caught:
        make(**changes)
    assert words in str(caught.value)


def test_an_uncalibrated_recording_may_have_any_size() -> None:
    assert not make(waveform_mv=np.full((2, 9), 5e4, np.float32), calibrated=False).calibrated


def test_a_recording_of_days_is_refused() -> None:
    with pytest.raises(RecordingError, match="172,800 s"):
        make(waveform_mv=np.zeros((2, 50 * 48 * 3600 + 50), np.float32), sampling_rate_hz=50.0)
