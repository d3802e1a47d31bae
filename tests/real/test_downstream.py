"""Tasks of public sets on what is here of them, and the challenge's own table."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from ecgfm_core import labels
from ecgfm_core.downstream import challenge, duplicates
from ecgfm_core.downstream.sets import NINE, SETS, Protocol, task_of
from ecgfm_core.downstream.store import StoredSet, store_set
from ecgfm_core.errors import FormatError

# task -> classes, recordings of folds 1-6, 7 and 8
PTBXL = {
    "all": (64, [1097, 185, 160]),
    "diag": (40, [1097, 185, 160]),
    "sub": (23, [1097, 185, 160]),
    "super": (5, [1097, 185, 160]),
    "form": (18, [362, 61, 62]),
    "rhythm": (10, [1071, 182, 155]),
}


def stored(source: Path, folder: Path) -> StoredSet:
    return store_set(source, folder / source.name, lambda _done, _total: None)


@pytest.fixture(scope="session")
def ptbxl(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> StoredSet:
    return stored(real_data / "ptb-xl", tmp_path_factory.mktemp("stored"))


@pytest.mark.parametrize("task", PTBXL)
def test_ptbxl_has_six_tasks(ptbxl: StoredSet, task: str) -> None:
    made = task_of("ptb-xl", task, ptbxl, Protocol())
    assert (len(made.classes), [len(made.rows(split)) for split in ("train", "validate", "test")]) == PTBXL[task]
    assert not made.remarks  # nothing unread, no near-duplicate over folds
    split_of: dict[str, set[str]] = {}
    for entry in made.entries:
        split_of.setdefault(entry.group, set()).add(entry.split)
    assert max(map(len, split_of.values())) == 1
    if task == "super":
        assert np.nansum(made.targets_NC, axis=0).tolist() == [367, 160, 206, 776, 411]


def test_no_two_strangers_of_ptbxl_look_like_near_duplicates(ptbxl: StoredSet) -> None:
    outlines = np.stack([one.outline_values for one in ptbxl.recordings])
    assert not duplicates.near_duplicates(outlines)
    unit = outlines / np.linalg.norm(outlines.astype(float), axis=1, keepdims=True)
    alike = unit @ unit.T
    np.fill_diagonal(alike, 0)
    assert alike.max() < 0.9  # the bound is 0.95


def test_a_recording_in_another_form_is_known_again(real_data: Path, tmp_path: Path) -> None:
    """The same recording at half the rate, with another gain and offset, is known again."""
    found = stored(real_data / "georgia", tmp_path).recordings[0]
    from ecgfm_core import waveform

    samples = waveform.load(tmp_path / "georgia" / "waveforms", found.sha256, 12, found.sample_count)
    slower = waveform.to_millivolt(samples, found.scale_mv)[:, ::2] * 1.7 + 0.2
    other = duplicates.describe(found.lead_names, slower, found.sampling_rate_hz / 2)
    assert duplicates.near_duplicates(np.stack([found.outline_values, other])) == [(0, 1)]


def test_the_official_weights_are_those_of_the_scheme(real_data: Path) -> None:
    weights = challenge.read_weights(real_data / "cinc2020" / "weights.csv")
    assert len(weights.classes) == 24
    assert set(weights.classes) == {label.code for label in labels.load_scheme().labels if label.scored}
    np.testing.assert_array_equal(weights.weights_CC, weights.weights_CC.T)
    np.testing.assert_array_equal(np.diag(weights.weights_CC), 1)


def test_the_official_weights_score_as_published(real_data: Path) -> None:
    """The figures of whoever is right, always says sinus rhythm, or says nothing, on 3,000 made recordings."""
    weights = challenge.read_weights(real_data / "cinc2020" / "weights.csv")
    random = np.random.default_rng(0)
    true, said = random.random((3000, 24)) < 0.08, random.random((3000, 24)) < 0.1
    normal = weights.classes.index(challenge.NORMAL)
    total = dict.fromkeys(("said", "true", "inactive"), 0.0)
    for row in range(3000):
        for name, answer in (("said", said[row]), ("true", true[row]), ("inactive", np.arange(24) == normal)):
            either = max(1, sum(bool(one or other) for one, other in zip(true[row], answer, strict=True)))
            for j in np.flatnonzero(true[row]):
                for k in np.flatnonzero(answer):
                    total[name] += weights.weights_CC[j, k] / either
    expected = (total["said"] - total["inactive"]) / (total["true"] - total["inactive"])
    assert challenge.score(true, said, weights) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("folder", "key", "count"), [("georgia", "georgia", 20), ("cpsc2018", "cpsc2018", 7)])
def test_cinc_folders_become_tasks(real_data: Path, tmp_path: Path, folder: str, key: str, count: int) -> None:
    for task in SETS[key].tasks:
        made = task_of(key, task, stored(real_data / folder, tmp_path), Protocol())
        assert len(made.entries) == count
        assert np.nansum(made.targets_NC) > 0


def test_the_native_form_tells_its_four_classes(real_data: Path, tmp_path: Path) -> None:
    """Four are too few to train and judge, but with their published classes beside them they are read."""
    source = tmp_path / "native"
    source.mkdir()
    for name in ("A1980", "A1981", "A1982", "A1983"):
        shutil.copy(real_data / "cpsc2018_native" / f"{name}.mat", source)
    (source / "REFERENCE.csv").write_text("Recording,First_label\nA1980,6\nA1981,8\nA1982,3\nA1983,1\n")
    found = stored(source, tmp_path / "stored")
    classes = SETS["cpsc2018"].classes(found, found.recordings, "nine")
    held = [classes.of(one) for one in found.recordings]
    assert held == [{labels.map_code("cpsc", NINE[number - 1])[0]} for number in (6, 8, 3, 1)]


def test_a_set_of_too_few_is_refused(real_data: Path, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="no recording to"):
        task_of("ptb", "scored", stored(real_data / "ptb", tmp_path), Protocol())
