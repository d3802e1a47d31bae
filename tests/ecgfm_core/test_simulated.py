"""Simulated recordings against what is known of them: rhythm, intervals, shapes, boundaries, leads."""

import numpy as np
import pytest

from ecgfm_core import labels
from ecgfm_core.datasets.simulated import CLEAN, CONDITIONS, Artefacts, Simulated, simulate
from ecgfm_core.errors import ConfigError

SEEDS = range(20)
RATE_HZ = 500.0


def clean(name: str, seed: int, **options: object) -> Simulated:
    return simulate(name, seed=seed, strengths=CLEAN, **options)


def lead(simulated: Simulated, name: str) -> np.ndarray:
    return simulated.recording.waveform_mv[simulated.recording.lead_names.index(name)]


def whole_beats(simulated: Simulated, kind: str = "normal") -> list[dict[str, int]]:
    """Beats of `kind` that lie wholly inside, in samples."""
    found = [beat.samples(RATE_HZ) for beat in simulated.beats if beat.kind == kind]
    return [beat for beat in found if (beat["p_on"] or beat["qrs_on"]) > 0 and beat["t_off"] < 4900]


def qrs_of(simulated: Simulated, name: str, kind: str = "normal") -> np.ndarray:
    """The first whole QRS of a lead, its onset at zero."""
    beat = whole_beats(simulated, kind)[0]
    piece = lead(simulated, name)[beat["qrs_on"] : beat["qrs_off"] + 1]
    return piece - piece[0]


def median_interval_ms(simulated: Simulated, start: str, end: str) -> float:
    beats = whole_beats(simulated)
    return 2.0 * float(np.median([beat[end] - beat[start] for beat in beats]))


def intervals_s(simulated: Simulated) -> np.ndarray:
    return np.diff([beat.qrs_on_s for beat in simulated.beats])


@pytest.mark.parametrize("sampling_rate_hz", [100, 250, 500, 1000])
@pytest.mark.parametrize("name", CONDITIONS)
def test_every_condition_at_any_rate(name: str, sampling_rate_hz: int) -> None:
    made = simulate(name, seed=3, sampling_rate_hz=sampling_rate_hz)
    assert made.recording.waveform_mv.shape == (12, 10 * sampling_rate_hz)
    assert made.recording.lead_names[:3] == ("I", "II", "III")
    assert 0.2 < np.ptp(made.recording.waveform_mv) < 8.0
    assert {code.code for code in made.recording.source_codes} == set(made.codes)
    assert set(CONDITIONS[name].codes) <= set(made.codes)


@pytest.mark.parametrize("name", ["sinus_rhythm", "atrial_fibrillation", "atrial_flutter", "pvc"])
def test_the_same_seed_is_the_same_heart_at_any_rate(name: str) -> None:
    fine, coarse = clean(name, 5, sampling_rate_hz=1000), clean(name, 5, sampling_rate_hz=100)
    np.testing.assert_allclose(fine.recording.waveform_mv[:, ::10], coarse.recording.waveform_mv, atol=1e-5)
    assert fine.beats == coarse.beats


def test_a_seed_decides_everything_and_two_seeds_differ() -> None:
    once, again, other = simulate("pac", seed=8), simulate("pac", seed=8), simulate("pac", seed=9)
    np.testing.assert_array_equal(once.recording.waveform_mv, again.recording.waveform_mv)
    assert once.recording.report_text == again.recording.report_text
    assert once.beats == again.beats
    assert np.abs(once.recording.waveform_mv - other.recording.waveform_mv).max() > 0.2


@pytest.mark.parametrize("loose", [(), ("RA",), ("LL",), ("V3",)])
def test_limb_leads_keep_einthovens_law_whatever_the_artefacts(loose: tuple[str, ...]) -> None:
    noisy = Artefacts(muscle_mv=0.03, drift_mv=0.2, mains_mv=0.05, loose=loose)
    one, two, three, avr, avl, avf = simulate("lbbb", seed=2, strengths=noisy).recording.waveform_mv[:6].astype(float)
    np.testing.assert_allclose(three, two - one, atol=2e-6)
    np.testing.assert_allclose(avr, -(one + two) / 2, atol=2e-6)
    np.testing.assert_allclose(avl, one - two / 2, atol=2e-6)
    np.testing.assert_allclose(avf, two - one / 2, atol=2e-6)


@pytest.mark.parametrize("rate_bpm", [45.0, 60.0, 75.0, 100.0, 140.0])
def test_the_rate_asked_for_is_the_rate_of_the_r_waves(rate_bpm: float) -> None:
    from scipy.signal import find_peaks

    made = clean("sinus_rhythm", 4, rate_bpm=rate_bpm, duration_s=30)
    steepness = np.abs(np.diff(made.recording.waveform_mv, axis=1)).sum(axis=0)
    peaks, _ = find_peaks(np.convolve(steepness, np.ones(30), "same"), height=3.0, distance=150)
    assert 60 * RATE_HZ / np.mean(np.diff(peaks)) == pytest.approx(rate_bpm, rel=0.03)
    assert made.rate_bpm == pytest.approx(rate_bpm, rel=0.03)


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [("sinus_rhythm", 58, 100), ("sinus_bradycardia", 35, 60), ("sinus_tachycardia", 100, 145)],
)
def test_sinus_rates_lie_where_their_names_put_them(name: str, low: float, high: float) -> None:
    for seed in SEEDS:
        assert low < clean(name, seed).rate_bpm < high


def test_intervals_of_a_normal_recording_are_normal() -> None:
    for seed in SEEDS:
        made = clean("sinus_rhythm", seed)
        assert 115 <= median_interval_ms(made, "p_on", "qrs_on") <= 200
        assert 85 <= median_interval_ms(made, "p_on", "p_off") <= 110
        assert 75 <= median_interval_ms(made, "qrs_on", "qrs_off") <= 110
        corrected = median_interval_ms(made, "qrs_on", "t_off") / np.sqrt(60 / made.rate_bpm)
        assert 370 <= corrected <= 460
        assert made.intervals_ms["QTc"] == pytest.approx(corrected, abs=4)


def test_first_degree_block_long_qt_and_bundle_blocks_measure_as_such() -> None:
    for seed in SEEDS:
        assert median_interval_ms(clean("first_degree_block", seed), "p_on", "qrs_on") > 210
        assert clean("long_qt", seed).intervals_ms["QTc"] > 475
        assert median_interval_ms(clean("lbbb", seed), "qrs_on", "qrs_off") >= 120
        assert median_interval_ms(clean("rbbb", seed), "qrs_on", "qrs_off") >= 120


def test_boundaries_hold_the_waves() -> None:
    """Outside the marked waves a clean recording is flat, inside each it is not."""
    for seed in SEEDS:
        made = clean("sinus_rhythm", seed)
        waveform, quiet = made.recording.waveform_mv, np.ones(5000, dtype=bool)
        for beat in made.beats:
            marks = beat.samples(RATE_HZ)
            for start, end in (("p_on", "p_off"), ("qrs_on", "qrs_off"), ("t_on", "t_off")):
                quiet[max(marks[start], 0) : max(marks[end] + 1, 0)] = False
        assert np.abs(waveform[:, quiet]).max() < 0.09  # what is left are U waves
        for beat in whole_beats(made):
            assert np.ptp(lead(made, "II")[beat["p_on"] : beat["p_off"]]) > 0.05
            assert np.ptp(waveform[:, beat["qrs_on"] : beat["qrs_off"]], axis=1).max() > 0.5
            assert np.ptp(waveform[:, beat["t_on"] : beat["t_off"]], axis=1).max() > 0.1


def test_a_normal_recording_looks_normal() -> None:
    for seed in SEEDS:
        made = clean("sinus_rhythm", seed)
        assert qrs_of(made, "I").max() > 0.1
        assert qrs_of(made, "II").max() > 0.3
        assert -qrs_of(made, "aVR").min() > 2 * qrs_of(made, "aVR").max()
        assert -qrs_of(made, "V1").min() > qrs_of(made, "V1").max()
        assert qrs_of(made, "V5").max() > -qrs_of(made, "V5").min()
        assert qrs_of(made, "V1").max() < qrs_of(made, "V4").max()
        beat = whole_beats(made)[0]
        for name in ("II", "V4", "V5", "V6"):
            assert lead(made, name)[beat["t_on"] : beat["t_off"]].max() > 0.05
        assert np.ptp(made.recording.waveform_mv) < 4.0


def test_fibrillation_has_no_p_and_irregular_beats() -> None:
    for seed in SEEDS:
        made = clean("atrial_fibrillation", seed)
        assert all(beat.p_on_s is None for beat in made.beats)
        assert intervals_s(made).std() / intervals_s(made).mean() > 0.07
        assert "PR" not in made.intervals_ms


def test_flutter_beats_follow_whole_numbers_of_waves() -> None:
    for seed in SEEDS:
        made = clean("atrial_flutter", seed, duration_s=20)
        intervals = intervals_s(made)
        waves = [np.round(intervals * hz) for hz in np.arange(4.4, 5.3, 0.001)]
        misfit = [np.abs(intervals - w / hz).max() for w, hz in zip(waves, np.arange(4.4, 5.3, 0.001), strict=True)]
        assert min(misfit) < 0.002
        assert {2, 3, 4} >= set(waves[int(np.argmin(misfit))].astype(int))
        assert all(beat.p_on_s is None for beat in made.beats)


def test_a_ventricular_beat_is_early_wide_discordant_and_followed_by_a_full_pause() -> None:
    for seed in SEEDS:
        made = clean("pvc", seed, duration_s=20)
        beats, typical = made.beats, float(np.median(intervals_s(made)))
        places = [i for i, beat in enumerate(beats) if beat.kind == "pvc" and 0 < i < len(beats) - 1]
        assert places
        for i in places:
            assert beats[i].p_on_s is None
            assert beats[i].qrs_off_s - beats[i].qrs_on_s > 0.12
            assert beats[i].qrs_on_s - beats[i - 1].qrs_on_s < 0.8 * typical
            assert beats[i + 1].qrs_on_s - beats[i - 1].qrs_on_s == pytest.approx(2 * typical, rel=0.13)
        marks = beats[places[len(places) // 2]].samples(RATE_HZ)
        waveform = made.recording.waveform_mv
        qrs = waveform[:, marks["qrs_on"] : marks["qrs_off"]].sum(axis=1)
        t_wave = waveform[:, marks["t_on"] : marks["t_off"]].sum(axis=1)
        strongest = np.argsort(-np.abs(qrs))[:4]
        assert (np.sign(qrs[strongest]) == -np.sign(t_wave[strongest])).all()


def test_an_atrial_premature_beat_is_early_narrow_and_resets_the_clock() -> None:
    for seed in SEEDS:
        made = clean("pac", seed, duration_s=20)
        beats, typical = made.beats, float(np.median(intervals_s(made)))
        places = [i for i, beat in enumerate(beats) if beat.kind == "pac" and 0 < i < len(beats) - 1]
        assert places
        for i in places:
            assert beats[i].p_on_s is not None
            assert beats[i].qrs_off_s - beats[i].qrs_on_s < 0.12
            assert beats[i].qrs_on_s - beats[i - 1].qrs_on_s < 0.85 * typical
            assert beats[i + 1].qrs_on_s - beats[i - 1].qrs_on_s < 1.97 * typical


def test_bundle_branch_blocks_look_like_themselves() -> None:
    for seed in SEEDS:
        left, right = clean("lbbb", seed), clean("rbbb", seed)
        assert -qrs_of(left, "V1").min() > 4 * qrs_of(left, "V1").max()
        assert qrs_of(left, "V6").max() > 0.4
        assert qrs_of(left, "V6").min() > -0.15
        late = qrs_of(right, "V1")[len(qrs_of(right, "V1")) // 2 :]
        assert late.max() > 0.25
        assert qrs_of(right, "V6")[len(late) :].min() < -0.15


def test_hypertrophy_reaches_sokolows_voltage_and_low_voltage_stays_low() -> None:
    for seed in SEEDS:
        thick, low = clean("lvh", seed), clean("low_voltage", seed)
        taller = max(qrs_of(thick, "V5").max(), qrs_of(thick, "V6").max())
        assert taller - qrs_of(thick, "V1").min() > 3.4
        assert np.ptp(low.recording.waveform_mv[:6], axis=1).max() < 0.5
        assert np.ptp(low.recording.waveform_mv[6:], axis=1).max() < 1.0


def test_infarctions_have_their_q_waves() -> None:
    for seed in SEEDS:
        anterior, inferior = clean("anterior_infarction", seed), clean("inferior_infarction", seed)
        for name in ("V2", "V3"):
            qrs = qrs_of(anterior, name)
            assert -qrs.min() > 0.3
            assert qrs[: len(qrs) // 3].max() < 0.05
        for name in ("III", "aVF"):
            qrs = qrs_of(inferior, name)
            q_length = np.argmax(qrs > 0.02) if (qrs > 0.02).any() else len(qrs)
            assert 2 * int(q_length) >= 28
            assert qrs[:q_length].min() < -0.1


def test_st_depression_and_t_inversion_are_there() -> None:
    for seed in SEEDS:
        ischaemic, inverted = clean("st_depression", seed), clean("t_inversion", seed)
        beat = whole_beats(ischaemic)[0]
        assert lead(ischaemic, "V5")[beat["qrs_off"] + 20] < -0.06
        beat = whole_beats(inverted)[0]
        for name in ("V5", "V6"):
            assert lead(inverted, name)[beat["t_on"] : beat["t_off"]].min() < -0.08


def test_findings_are_simulated_together_and_reported() -> None:
    made = simulate(["atrial_fibrillation", "rbbb"], seed=1)
    assert made.codes == ("164889003", "713427006")
    report = made.recording.report_text
    assert "fibrillation" in report
    assert "right bundle branch block" in report.lower()
    assert f"{made.rate_bpm:.0f}" in report
    assert report.endswith(".")


def test_every_code_is_one_of_the_label_scheme_and_only_sinus_rhythm_is_normal() -> None:
    for name, condition in CONDITIONS.items():
        for code in condition.codes:
            assert labels.map_code("snomed", code) == (code,)
        assert labels.abnormal(condition.codes) is (name != "sinus_rhythm")


def test_a_loose_chest_electrode_leaves_a_flat_lead_and_mains_hum_is_at_its_frequency() -> None:
    made = simulate(seed=1, strengths=Artefacts(loose=("V4",)))
    assert np.ptp(lead(made, "V4")[-2000:]) == 0
    assert made.loose == ("V4",)
    humming = simulate(seed=1, strengths=Artefacts(mains_mv=0.05, mains_hz=60))
    spectrum = np.abs(np.fft.rfft(lead(humming, "V1")))
    assert np.argmax(spectrum[450:]) + 450 == 600  # tenths of a hertz


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["torsades"], "known are sinus_rhythm"),
        (["atrial_fibrillation", "sinus_bradycardia"], "exclude each other"),
        (["atrial_fibrillation", "first_degree_block"], "needs one of"),
        (["lbbb", "rbbb"], "leave one out"),
    ],
)
def test_what_cannot_be_simulated_is_refused_in_words(names: list[str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        simulate(names, seed=0)


@pytest.mark.parametrize("options", [{"sampling_rate_hz": 20}, {"duration_s": 0.5}, {"sampling_rate_hz": 9000}])
def test_bounds(options: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="are allowed"):
        simulate(seed=0, **options)
