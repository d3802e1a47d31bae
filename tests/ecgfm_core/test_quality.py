"""The quality gate and its findings on simulated recordings that were spoilt in known ways."""

import json
import re
from typing import Any

import numpy as np
import pytest

from ecgfm_core.datasets.simulated import CLEAN, CONDITIONS, simulate
from ecgfm_core.datasets.simulated.conditions import NORMAL
from ecgfm_core.leads import STANDARD_LEADS
from ecgfm_core.measurements import measure
from ecgfm_core.signal.quality import VERSION, assess
from ecgfm_core.signal.quality_gate import INTERCEPT, SLOPE, score

RATE = 500
KINDS = ("flat", "missing", "saturated", "clipped", "noisy")


def recording(seed: int = 1, rate: float = RATE, seconds: float = 10, shows: tuple[str, ...] = ()) -> np.ndarray:
    """A clean simulated waveform in mV, ``[12, sample]``."""
    made = simulate(shows or NORMAL, seed=seed, sampling_rate_hz=rate, duration_s=seconds, strengths=CLEAN)
    return made.recording.waveform_mv.copy()


def judged(waveform_mv: np.ndarray, rate: float = RATE, **given: Any) -> dict[str, Any]:
    found = assess(waveform_mv, rate, given.pop("names", STANDARD_LEADS), **given)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["readable"] == (found["score"] >= 0.5)
    assert 0 <= found["score"] <= 1
    return found


def named(found: dict[str, Any]) -> dict[str, list[str]]:
    return {kind: found[f"{kind}_leads"] for kind in KINDS if found[f"{kind}_leads"]}


def at_snr(lead: np.ndarray, noise: np.ndarray, snr_db: float) -> np.ndarray:
    """Add noise at a signal-to-noise ratio of power, both about their means."""
    wanted = np.std(lead) / 10 ** (snr_db / 20)
    return (lead + (noise - noise.mean()) * wanted / np.std(noise)).astype(np.float32)


@pytest.fixture(scope="module")
def clean() -> np.ndarray:
    return recording()


def test_a_sound_recording_has_no_findings(clean):
    found = judged(clean)
    assert (found["version"], found["findings"], found["not_judged"], found["arms_swapped"]) == (VERSION, [], [], False)
    assert found["score"] > 0.9
    assert named(found) == {}
    assert {len(values) for values in found["figures"].values()} == {12}


@pytest.mark.parametrize("condition", sorted(CONDITIONS))
def test_disease_is_not_noise(condition):
    found = judged(recording(5, 250, shows=(condition,)), 250)
    assert found["score"] > 0.9
    assert not any("noisy" in words or "flat" in words for words in found["findings"])


def test_each_kind_of_loss_is_named_and_one_lost_lead_of_twelve_refuses(clean):
    for lead, spoil, kind in (
        (6, lambda row: np.full_like(row, 0.3), "flat"),
        (7, lambda row: np.full_like(row, np.nan), "missing"),
        (8, lambda row: np.full_like(row, 80.0), "saturated"),
    ):
        spoilt = clean.copy()
        spoilt[lead] = spoil(spoilt[lead])
        found = judged(spoilt)
        assert named(found) == {kind: [STANDARD_LEADS[lead]]}
        assert found["findings"] == [f"{STANDARD_LEADS[lead]}: {kind}"]
        assert not found["readable"]


def test_clipped_tops_are_told_and_refuse_nothing(clean):
    spoilt = clean.copy()
    spoilt[10] = np.clip(spoilt[10], None, np.quantile(spoilt[10], 0.97))
    found = judged(spoilt)
    assert named(found) == {"clipped": ["V5"]}
    assert found["readable"]
    spoilt[10] = np.clip(clean[10], None, np.quantile(clean[10], 0.7))
    assert named(judged(spoilt)) == {"saturated": ["V5"]}


def test_a_lead_that_follows_from_others_may_be_flat(clean):
    spoilt = clean.copy()
    spoilt[2] = 0
    found = judged(spoilt)
    assert named(found) == {"flat": ["III"]}
    assert found["readable"]


@pytest.mark.parametrize("kind", ["mains", "muscle", "wander"])
def test_noise_is_named_by_its_kind_at_a_low_ratio_and_not_at_a_high_one(clean, kind):
    times, rng = np.arange(clean.shape[1]) / RATE, np.random.default_rng(0)
    noise = {
        "mains": np.sin(2 * np.pi * 50 * times),
        "muscle": rng.normal(0, 1, times.size),
        "wander": np.sin(2 * np.pi * 0.45 * times),
    }[kind]
    words = {"mains": "mains", "muscle": "muscle", "wander": "baseline wanders"}[kind]
    spoilt = clean.copy()
    spoilt[8] = at_snr(clean[8], noise, {"mains": 0, "muscle": 6, "wander": -6}[kind])
    found = judged(spoilt)
    assert found["findings"] == [f"V3: noisy ({words})"]
    assert found["readable"]
    spoilt[8] = at_snr(clean[8], noise, 30)
    assert judged(spoilt)["findings"] == []


def test_the_figures_are_what_was_put_in(clean):
    times, spoilt = np.arange(clean.shape[1]) / RATE, clean.copy()
    spoilt[6] += (0.2 * np.sin(2 * np.pi * 60 * times)).astype(np.float32)
    spoilt[7] += np.random.default_rng(0).normal(0, 0.1, times.size).astype(np.float32)
    spoilt[8] += (1.5 * np.sin(2 * np.pi * 0.3 * times)).astype(np.float32)
    figures = judged(spoilt)["figures"]
    assert figures["mains_mv"][6] == pytest.approx(0.2, abs=0.01)
    assert figures["muscle_mv"][7] == pytest.approx(0.1, abs=0.02)
    assert figures["wander_mv"][8] == pytest.approx(1.5 * 2 * np.sin(np.pi * 0.3), rel=0.1)  # swing of the best second


def test_pops_are_counted_and_many_of_them_refuse(clean):
    spoilt = clean.copy()
    spoilt[9, 2200:2260] += 8
    found = judged(spoilt)
    assert found["figures"]["pops"][9] == 1
    assert found["findings"] == ["V4: noisy (electrode pops)"]
    assert found["readable"]
    for second in range(0, 10, 2):
        spoilt[9, 500 * second + 100 : 500 * second + 700] += 15 * (-1) ** (second // 2)
    found = judged(spoilt)
    assert not found["readable"]
    assert re.fullmatch("V4: [0-9]+% of the time lost to disturbance", found["findings"][0])


def test_a_pop_of_an_electrode_that_many_leads_share_is_told_and_an_extrasystole_is_none(clean):
    spoilt = clean.copy()
    of_the_right_arm = np.array([-1, -1, 0, 1, -1 / 2, -1 / 2] + [-1 / 3] * 6)
    spoilt[:, 2200:2210] += (30 * of_the_right_arm[:, None]).astype(np.float32)
    [words] = judged(spoilt)["findings"]
    assert words == "I, II, aVR, aVL, aVF, V1, V2, V3, V4, V5, V6: noisy (electrode pops)"
    assert judged(spoilt[[1]], names=["II"])["findings"] == ["II: noisy (electrode pops)"]
    for seed in range(5):
        assert judged(recording(seed, 250, shows=("pvc",)), 250)["findings"] == []


def swap_arms(waveform_mv: np.ndarray) -> np.ndarray:
    """Exchange the arm electrodes: I turns over, II and III change places, and so do aVR and aVL."""
    swapped = waveform_mv[[0, 2, 1, 4, 3, *range(5, 12)]]
    swapped[0] *= -1
    return swapped


def test_swapped_arms_are_told_and_refuse_nothing():
    told = 0
    for seed in range(20):
        waveform = recording(seed, 250)
        assert judged(waveform, 250)["arms_swapped"] is False
        found = judged(swap_arms(waveform), 250)
        assert found["readable"]
        told += found["findings"] == ["arms probably swapped: lead I runs against V6"]
    assert told >= 14


def test_arms_are_judged_without_derived_leads_and_without_millivolts(clean):
    eight = [0, 1, *range(6, 12)]
    names = [STANDARD_LEADS[row] for row in eight]
    assert judged(swap_arms(clean)[eight], names=names)["arms_swapped"] is True
    assert judged(clean[eight], names=names)["arms_swapped"] is False
    scaled = swap_arms(clean) / clean.std(axis=1, keepdims=True)
    assert judged(scaled.astype(np.float32), calibrated=False)["arms_swapped"] is True
    spoilt = swap_arms(clean)
    spoilt[11] = 0
    found = judged(spoilt)
    assert found["arms_swapped"] is None
    assert "swapped arms: I, II and V6 are needed" in found["not_judged"]


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda w: w[[0, 1, 2, 3, 5, 4, *range(6, 12)]], "aVL and aVF: probably exchanged"),
        (lambda w: w * np.array([1, 1, 1, -1] + [1] * 8)[:, None], "aVR: probably upside down"),
        (lambda w: w[[0, 1, 8, *range(3, 12)]], "III: doesn't fit the other limb leads"),
        (lambda w: w / w.std(axis=1, keepdims=True), "limb leads: each scaled on its own, heights can't be compared"),
    ],
)
def test_limb_leads_that_break_einthoven_are_told(clean, spoil, words):
    found = judged(np.ascontiguousarray(spoil(clean), np.float32))
    assert words in found["findings"]
    assert found["readable"]


def test_other_lead_sets_are_readable_with_half_of_their_leads(clean):
    assert judged(clean[[1]], names=["II"])["readable"]
    two = clean[[1, 10]].copy()
    two[1] = 0
    found = judged(two, names=["MLII", "V5"])
    assert (found["readable"], found["score"]) == (True, 0.5)
    assert found["not_judged"] == ["swapped arms: I, II and V6 are needed"]
    three = clean[[0, 1, 6]].copy()
    three[0] = 0.5
    three[1] = np.clip(three[1], None, np.quantile(three[1], 0.97))
    three[2, :4000] = np.nan
    found = judged(three, names=["I", "II", "V1"])
    assert named(found) == {"flat": ["I"], "missing": ["V1"], "clipped": ["II"]}
    assert found["missing_share"] == pytest.approx(0.2667, abs=1e-4)
    assert not found["readable"]


def test_thirty_seven_leads_are_judged_by_the_twelve_among_them(clean):
    rng = np.random.default_rng(0)
    waveform = np.concatenate([clean, rng.normal(0, 0.1, (25, clean.shape[1])).astype(np.float32)])
    names = [*STANDARD_LEADS, *(f"ch{number}" for number in range(25))]
    assert judged(waveform, names=names)["readable"]
    waveform[:12, :] = 0
    assert not judged(waveform, names=names)["readable"]


@pytest.mark.parametrize("rate", [100, 257, 360, 1000])
def test_every_rate_gives_the_same_answer(rate):
    waveform = recording(3, rate)
    found = judged(waveform, rate)
    assert (found["findings"], found["readable"], found["arms_swapped"]) == ([], True, False)
    waveform[6] = 0
    assert judged(waveform, rate)["findings"] == ["V1: flat"]


def test_without_millivolts_noise_is_not_judged_and_flat_leads_are(clean):
    waveform = (clean * 1e-4).astype(np.float32)
    found = judged(waveform, calibrated=False)
    assert (found["findings"], found["readable"]) == ([], True)
    assert found["not_judged"] == ["noise: the file has no millivolts"]
    waveform[3] = 0
    assert judged(waveform, calibrated=False)["flat_leads"] == ["aVR"]
    waveform[7] = 0
    assert not judged(waveform, calibrated=False)["readable"]


@pytest.mark.parametrize("samples", [1, 5, 499, 501])
@pytest.mark.parametrize("value", [0.0, 1.0, 80.0, np.nan])
def test_what_holds_nothing_is_unreadable(samples, value):
    found = judged(np.full((12, samples), value, np.float32))
    assert not found["readable"]
    kind = "missing" if np.isnan(value) else "saturated" if value > 5 else "flat"
    assert found["findings"] == [f"all leads: {kind}"]


def test_half_an_hour_is_judged_minute_by_minute():
    waveform = np.tile(recording(2, 100), (1, 30))
    found = judged(waveform, 100)
    assert (found["readable"], found["findings"]) == (True, [])
    waveform[9, : waveform.shape[1] * 2 // 3] = 0
    found = judged(waveform, 100)
    assert found["flat_leads"] == ["V4"]
    assert found["figures"]["lost_share"][9] == pytest.approx(0.68, abs=0.03)
    assert not found["readable"]


def test_the_score_falls_with_what_is_lost_and_turns_where_the_constants_say():
    values = [score(share) for share in np.linspace(0, 1, 11)]
    assert values == sorted(values, reverse=True)
    assert score(-INTERCEPT / SLOPE) == pytest.approx(0.5)


def test_a_lead_that_stands_most_of_the_time_is_flat_and_not_measured_in(clean):
    spoilt = clean.copy()
    spoilt[1, 2000:] = spoilt[1, 2000]
    assert judged(spoilt)["flat_leads"] == ["II"]
    assert "II" not in measure(spoilt, RATE, STANDARD_LEADS)["heart_rate_lead"].split(", ")
