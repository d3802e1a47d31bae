"""Recordings become 12 leads at one rate; what the manifest knows becomes targets."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ecgfm_core import configs, manifest, waveform
from ecgfm_core.errors import EcgfmError, TrainingError
from ecgfm_core.leads import STANDARD_LEADS
from ecgfm_core.manifest import ManifestEntry
from ecgfm_core.recording import Recording
from ecgfm_core.training.dataset import (
    STEP_MV,
    Cache,
    Targets,
    batch_of,
    check_splits,
    prepare,
    targets_of,
    trained_codes,
    window_starts,
)
from tests.ecgfm_core.tiny_data import TINY, beats, entry_of, make

RANDOM = np.random.default_rng(0)


def stored(
    folder: Path, leads: tuple[str, ...], data: np.ndarray, rate_hz: float = 100.0, calibrated: bool = True
) -> ManifestEntry:
    packed = waveform.pack(Recording("r", leads, data.astype(np.float32), rate_hz, calibrated))
    waveform.store(packed, folder)
    return entry_of(packed, 1, 0, "train")


def test_leads_come_in_order_and_missing_ones_are_zero(tmp_path: Path) -> None:
    data = beats(False, np.random.default_rng(1))
    entry = stored(tmp_path, ("V2", "II", "I"), data[[7, 1, 0]])
    prepared = prepare(entry, tmp_path, 100.0)
    assert prepared.shape == (12, 400)
    assert prepared.dtype == np.float32
    centred = data - np.median(data, axis=1, keepdims=True)
    np.testing.assert_allclose(prepared[[0, 1, 7]], centred[[0, 1, 7]], atol=0.002)
    three = data[1] - data[0]
    np.testing.assert_allclose(prepared[2], three - np.median(three), atol=0.003)
    assert not prepared[[6, 8, 9, 10, 11]].any()


def test_missing_samples_do_not_spread(tmp_path: Path) -> None:
    data = beats(False, np.random.default_rng(2), rate_hz=250.0)
    holed = data.copy()
    holed[3, 100:200] = np.nan
    whole = prepare(stored(tmp_path, STANDARD_LEADS, data, 250.0), tmp_path, 100.0)
    prepared = prepare(stored(tmp_path, STANDARD_LEADS, holed, 250.0), tmp_path, 100.0)
    assert np.isfinite(prepared).all()
    assert prepared.shape == (12, 400)
    np.testing.assert_allclose(prepared[3, 100:], whole[3, 100:], atol=0.05)
    np.testing.assert_array_equal(prepared[4], whole[4])


def test_an_uncalibrated_recording_is_scaled_as_a_whole(tmp_path: Path) -> None:
    data = beats(False, np.random.default_rng(3))
    one = prepare(stored(tmp_path, STANDARD_LEADS, data, calibrated=False), tmp_path, 100.0)
    large = prepare(stored(tmp_path, STANDARD_LEADS, 500 * data, calibrated=False), tmp_path, 100.0)
    np.testing.assert_allclose(one, large, atol=0.01)
    assert np.ptp(one[11]) / np.ptp(one[0]) == pytest.approx(np.ptp(data[11]) / np.ptp(data[0]), rel=0.02)


def test_a_dead_uncalibrated_recording_is_no_division_by_zero(tmp_path: Path) -> None:
    entry = stored(tmp_path, STANDARD_LEADS, np.ones((12, 400)), calibrated=False)
    assert not prepare(entry, tmp_path, 100.0).any()


def test_the_rate_is_changed(tmp_path: Path) -> None:
    time_T = np.arange(2000) / 500
    data = np.tile(np.sin(2 * np.pi * 3 * time_T), (12, 1))
    prepared = prepare(stored(tmp_path, STANDARD_LEADS, data, 500.0), tmp_path, 100.0)
    np.testing.assert_allclose(prepared[0, 20:-20], np.sin(2 * np.pi * 3 * np.arange(400) / 100)[20:-20], atol=0.02)


def test_the_cache_is_made_once_and_holds_every_recording(tmp_path: Path) -> None:
    manifest_path, waveforms = make(tmp_path, 3, 1)
    entries, calls = manifest.read(manifest_path), []
    for _ in range(2):
        cache = Cache.open(
            tmp_path / "cache", entries, waveforms, 100.0, lambda done, total: calls.append((done, total))
        )
    assert calls == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert len(cache) == 4
    for index, entry in enumerate(entries):
        np.testing.assert_allclose(cache.samples(index) * STEP_MV, prepare(entry, waveforms, 100.0), atol=STEP_MV)


def test_a_missing_waveform_is_named(tmp_path: Path) -> None:
    manifest_path, _ = make(tmp_path, 2, 0)
    entries = manifest.read(manifest_path)
    with pytest.raises(EcgfmError, match=entries[0].sha256[:12]):
        prepare(entries[0], tmp_path / "elsewhere", 100.0)


def targets(**changes: object) -> Targets:
    entry = entry_of(waveform.pack(Recording("r", STANDARD_LEADS, beats(False, RANDOM), 100.0)), 0, 0, "train")
    return targets_of([replace(entry, **changes)], ["59931005", "nobody"], lambda text: [len(text)])  # type: ignore[arg-type]


def test_targets_know_present_absent_and_unknown() -> None:
    assert np.isnan(targets(labels={}, abnormal=None).abnormal_N[0])
    known = targets(labels={"59931005": 1}, abnormal=1, weight=0.5, text="abc")
    assert known.labels_NC[0, 0] == 1
    assert np.isnan(known.labels_NC[0, 1])
    assert (known.abnormal_N[0], known.weight_N[0], known.text_ids) == (1, 0.5, ([3],))


def test_labels_are_trained_from_a_number_of_positives_in_the_training_split() -> None:
    entry = entry_of(waveform.pack(Recording("r", STANDARD_LEADS, beats(False, RANDOM), 100.0)), 0, 0, "train")
    entries = [replace(entry, labels={"b": 1, "a": 1}), replace(entry, labels={"a": 1, "c": 0})]
    entries += [replace(entry, labels={"c": 1, "b": 1}, split="validate")]
    assert trained_codes(entries, 1) == ("a", "b")
    assert trained_codes(entries, 2) == ("a",)


def test_a_patient_in_two_splits_is_refused() -> None:
    entry = entry_of(waveform.pack(Recording("r", STANDARD_LEADS, beats(False, RANDOM), 100.0)), 4, 0, "train")
    with pytest.raises(TrainingError, match=r"Recording 5.*train split and in the validate split"):
        check_splits([entry, replace(entry, id=5, split="validate")])
    check_splits([replace(entry, group=""), replace(entry, id=5, split="validate", group="")])


def test_crops_are_whole_reproducible_and_padded(tmp_path: Path) -> None:
    manifest_path, waveforms = make(tmp_path, 4, 0)
    entries = manifest.read(manifest_path)
    cache = Cache.open(tmp_path / "cache", entries, waveforms, 100.0, lambda *_: None)
    known = targets_of(entries, ["59931005"], lambda text: [5] * (len(text) % 7))
    rows = np.arange(4)
    short = configs.build("tiny_cpu", {**TINY, "crop_s": 2.0})
    one, same = (batch_of(cache, known, rows, short, np.random.default_rng(1)) for _ in range(2))
    np.testing.assert_array_equal(one.waveform_BLT, same.waveform_BLT)
    other = batch_of(cache, known, rows, short, np.random.default_rng(2))
    assert not np.array_equal(one.waveform_BLT, other.waveform_BLT)
    long = batch_of(cache, known, rows, configs.build("tiny_cpu", {**TINY, "crop_s": 10.0}), None)
    assert long.waveform_BLT.shape == (4, 12, 1000)
    assert long.sample_count_B.tolist() == [400] * 4
    assert not long.waveform_BLT[:, :, 400:].any()
    assert long.text_BS.shape == (4, max(len(ids) for ids in known.text_ids))
    room_BLT = np.full((6, 12, 1000), np.nan, dtype=np.float32)
    again = batch_of(cache, known, rows, configs.build("tiny_cpu", {**TINY, "crop_s": 10.0}), None, room_BLT)
    np.testing.assert_array_equal(again.waveform_BLT, long.waveform_BLT)
    assert np.shares_memory(again.waveform_BLT, room_BLT)


@pytest.mark.parametrize(
    ("samples", "expected"),
    [(250, [0]), (100, [0]), (500, [0, 250]), (600, [0, 175, 350]), (2500, [0, 750, 1500, 2250])],
)
def test_windows_cover_a_recording_from_its_first_to_its_last_sample(samples: int, expected: list[int]) -> None:
    assert window_starts(samples, 250, 4) == expected
