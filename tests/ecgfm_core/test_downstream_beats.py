"""Beats of MIT-BIH: classes, places, the DS1/DS2 protocol, RR intervals and windows with known answers."""

from pathlib import Path

import numpy as np
import pytest
import torch
import wfdb

from ecgfm_core import configs
from ecgfm_core.datasets.mitdb import BeatMarks, read_marks
from ecgfm_core.downstream import beats
from ecgfm_core.downstream.beat_learning import Beats, Windows
from ecgfm_core.errors import FormatError
from ecgfm_core.leads import STANDARD_LEADS
from ecgfm_core.model.ecgfm import Ecgfm
from ecgfm_core.recording import Recording
from tests.ecgfm_core.tiny_data import TINY
from tests.ecgfm_core.wfdb_files import wave, write_record

PACED = ("102", "104", "107", "217")
FEATURE = {name: place for place, name in enumerate(beats.RR_FEATURES)}


def spikes(samples: list[int], count: int = 3600, leads: tuple[str, ...] = ("MLII", "V5")) -> Recording:
    """Give narrow beats at known samples of 360 Hz."""
    time_T = np.arange(count)
    shape_T = sum(np.exp(-(((time_T - sample) / 6) ** 2)) for sample in samples)
    return Recording("r", leads, np.stack([shape_T * (1 + row) for row in range(len(leads))]).astype("f4"), 360.0)


def marks(samples: list[int], symbols: str) -> BeatMarks:
    """Give marks at known samples."""
    return BeatMarks(np.array(samples), tuple(symbols))


@pytest.mark.parametrize(("symbols", "name"), [("NLRBej", "N"), ("AaJS", "S"), ("VEr", "V"), ("F", "F"), ("/fQ", "Q")])
def test_symbols_become_aami_classes_and_other_marks_are_no_beats(symbols: str, name: str) -> None:
    recording = spikes([200], 200 * (3 + len(symbols)) * 4)
    every = f"!{symbols}x+~|[{symbols}"
    found = beats.make_record(recording, marks([200 * place for place in range(len(every))], every), 100.0)
    assert [beats.CLASSES[place] for place in found.class_M] == [name] * 2 * len(symbols)


def test_the_protocol_is_whole_and_no_patient_is_on_both_sides() -> None:
    assert (len(set(beats.DS1)), len(set(beats.DS2)), len(PACED)) == (22, 22, 4)
    everything = [*beats.DS1, *beats.DS2, *PACED]
    assert len(set(everything)) == 48
    patients = [{beats.SAME_PATIENT.get(name, name) for name in names} for names in (beats.DS1, beats.DS2)]
    assert patients[0] & patients[1] == {"201"}
    assert {beats.SAME_PATIENT.get(name, name) for name in beats.DS2 if name != "202"} & patients[0] == set()


def test_marks_come_with_their_places(tmp_path: Path) -> None:
    write_record(tmp_path, "100", wave(2), rate=360, leads=["MLII", "V5"])
    wfdb.wrann("100", "atr", np.array([5, 9, 300, 700, 800]), np.array(["+", "N", "V", "~", "x"]),
               aux_note=["(N", "", "", "", ""], write_dir=str(tmp_path))  # fmt: skip
    found = read_marks(tmp_path / "100.atr")
    assert (found.sample_M.tolist(), found.symbols) == ([9, 300, 800], ("N", "V", "x"))
    record = beats.load_record(tmp_path, "100", 100.0)
    assert record.class_M.tolist() == [0, 2]
    assert record.sample_M.tolist() == [2, 83]  # 9 and 300 of 360 Hz at 100 Hz


def test_a_set_that_is_not_whole_is_refused_by_name(tmp_path: Path) -> None:
    write_record(tmp_path, "101", wave(2), rate=360, leads=["MLII", "V5"])
    with pytest.raises(FormatError, match=r"130 files .* first 101\.atr"):
        beats.open_set(tmp_path, tmp_path)


@pytest.mark.parametrize(
    ("recording", "samples", "symbols", "reason"),
    [
        (spikes([500, 900], leads=("Vx", "Vy")), [500, 900], "NN", "Vx, Vy"),
        (spikes([500, 900]), [500, 900], "N+", "1 beats"),
        (spikes([500, 900]), [500, 3600], "NN", "all inside"),
    ],
)
def test_what_has_no_beats_to_learn_from_is_refused(
    recording: Recording, samples: list[int], symbols: str, reason: str
) -> None:
    with pytest.raises(FormatError, match=reason):
        beats.make_record(recording, marks(samples, symbols), 100.0)


def test_a_regular_rhythm_has_no_rr_features_but_its_rate() -> None:
    found = beats.rr_features(np.arange(30) * 0.8)
    assert np.allclose(np.delete(found, FEATURE["before"], axis=1), 0, atol=1e-5)
    assert found[1:, FEATURE["before"]] == pytest.approx(np.log(0.8))


def test_a_premature_beat_with_a_pause_has_the_known_ratios() -> None:
    time = np.arange(31) * 0.8
    time[15] -= 0.3
    found = beats.rr_features(time)
    known = {
        "before / local": np.log(0.5 / 0.8), "after / local": np.log(1.1 / 0.8), "before / record": np.log(0.5 / 0.8),
        "after / before": np.log(1.1 / 0.5), "before / local longest": np.log(0.5 / 0.8), "second before / local": 0.0,
        "local / record": 0.0, "local irregularity": 0.0, "before": np.log(0.5),
    }  # fmt: skip
    for name, value in known.items():
        assert found[15, FEATURE[name]] == pytest.approx(value, abs=1e-5), name
    assert found[16, FEATURE["second before / local"]] == pytest.approx(np.log(0.5 / 0.8), abs=1e-5)
    assert found[14, FEATURE["second after / local"]] == pytest.approx(np.log(1.1 / 0.8), abs=1e-5)


def test_rr_features_are_bounded_and_finite_at_the_ends_and_for_pauses() -> None:
    found = beats.rr_features(np.array([0.0, 0.0, 0.8, 1.6, 30.0]))
    assert np.isfinite(found).all()
    assert np.abs(np.delete(found, FEATURE["before"], axis=1)).max() <= 1.5
    assert found[0, FEATURE["before / local"]] == found[-1, FEATURE["after / local"]] == 0


def test_local_ratios_do_not_hang_on_the_rate_of_the_heart() -> None:
    time = np.cumsum(np.random.default_rng(0).uniform(0.6, 1.0, 40))
    slow, fast = beats.rr_features(1.25 * time), beats.rr_features(time)
    assert np.allclose(np.delete(slow - fast, FEATURE["before"], axis=1), 0, atol=1e-5)


def test_a_window_has_its_beat_in_place_on_the_right_leads() -> None:
    places = [400, 1000, 1990, 3500]
    record = beats.make_record(spikes(places), marks(places, "NVNN"), 100.0)
    before, after = beats.window_samples(100.0, 4)
    assert (before, after) == (64, 48)
    windows = beats.cut(record, np.arange(4), before, after)
    assert [STANDARD_LEADS[row] for row in np.flatnonzero(windows[1].any(axis=1))] == ["II", "V5"]
    assert windows[:, STANDARD_LEADS.index("V5")].argmax(axis=1).tolist() == [before] * 4
    assert not windows[3, :, before + 28 :].any()  # beyond the recording's end
    usual = beats.usual_beat(record, before, after)
    assert usual[STANDARD_LEADS.index("II")].argmax() == before


@pytest.mark.parametrize(("rate", "hop"), [(100.0, 4), (250.0, 5), (500.0, 10)])
def test_a_window_is_whole_hops_at_every_rate(rate: float, hop: int) -> None:
    before, after = beats.window_samples(rate, hop)
    assert before % hop == after % hop == 0
    assert (before + after) / rate == pytest.approx(beats.BEFORE_S + beats.AFTER_S, abs=2 * hop / rate)


def test_the_tokens_of_a_window_cover_its_beat_in_spite_of_the_causal_lag() -> None:
    """The tokens that see the beat's sample are those from it to one receptive field later, and all are inside."""
    config = configs.build("tiny_cpu", TINY)
    torch.manual_seed(0)
    model = Ecgfm(config, 1, 300).eval()
    record = beats.make_record(spikes([1000, 2000]), marks([1000, 2000], "NN"), 100.0)
    cutter = Windows(Beats.of([record]), model)
    window = cutter.of(np.array([0]))
    changed = window.copy()
    changed[:, 1, cutter.before] += 1.0  # the beat's own sample
    with torch.no_grad():
        seen = [model.encoder(torch.from_numpy(one)) for one in (window, changed)]
    moved = np.flatnonzero((seen[0] - seen[1]).abs().amax(dim=(0, 2)).numpy() > 1e-7)
    first = cutter.before // model.hop_samples
    last = (cutter.before + config.receptive_field_samples - 1) // model.hop_samples
    assert moved.min() == first
    assert moved.max() <= last < seen[0].shape[1]
