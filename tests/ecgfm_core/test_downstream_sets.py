"""Tasks of public sets read from their official forms, split so that nobody is on two sides."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.signal import resample_poly

from ecgfm_core.downstream import duplicates, splits
from ecgfm_core.downstream.sets import Protocol, task_of
from ecgfm_core.downstream.store import StoredSet, store_set
from ecgfm_core.downstream.task import Task
from ecgfm_core.errors import FormatError
from ecgfm_core.leads import STANDARD_LEADS
from tests.ecgfm_core.public_sets import recording_mv, write_cinc, write_hefei, write_native_cpsc, write_ptbxl

NINE = (
    "426783006", "164889003", "270492004", "164909002", "713427006", "284470004", "427172004", "429622005", "164931005",
)  # fmt: skip


def quiet(_done: int, _total: int) -> None:
    """Say nothing."""


def stored(source: Path) -> StoredSet:
    return store_set(source, source.with_name(f"{source.name}-stored"), quiet)


def check_apart(task: Task, found: StoredSet) -> None:
    """Nobody's recordings, and no near-duplicates, lie in two splits."""
    split_of = {entry.sha256: entry.split for entry in task.entries}
    ours = [one for one in found.recordings if one.sha256 in split_of]
    patients: dict[str, set[str]] = {}
    for one in ours:
        patients.setdefault(one.patient or one.sha256, set()).add(split_of[one.sha256])
    assert max(map(len, patients.values())) == 1
    pairs = duplicates.near_duplicates(np.stack([one.outline_values for one in ours]))
    assert all(split_of[ours[first].sha256] == split_of[ours[second].sha256] for first, second in pairs)
    groups: dict[str, set[str]] = {}
    for entry in task.entries:
        groups.setdefault(entry.group, set()).add(entry.split)
    assert max(map(len, groups.values())) == 1


@pytest.fixture(scope="module")
def ptbxl(tmp_path_factory: pytest.TempPathFactory) -> StoredSet:
    return stored(write_ptbxl(tmp_path_factory.mktemp("ptbxl") / "set", 36))


@pytest.mark.parametrize(
    ("task", "classes", "known"),
    [
        ("all", ("INVT", "NDT", "NORM", "SR"), 36),
        ("diag", ("NDT", "NORM"), 36),
        ("sub", ("NORM", "STTC"), 36),
        ("super", ("NORM", "STTC"), 36),
        ("form", ("INVT", "NDT"), 18),
        ("rhythm", ("SR",), 36),
    ],
)
def test_ptbxl_has_six_tasks(ptbxl: StoredSet, task: str, classes: tuple[str, ...], known: int) -> None:
    made = task_of("ptb-xl", task, ptbxl, Protocol())
    assert made.classes == classes
    assert len(made.entries) == 36
    assert sum(len(made.rows(split)) for split in splits.SHARES) == known
    assert not any(entry.labels or entry.text for entry in made.entries)
    check_apart(made, ptbxl)


def test_ptbxl_statements_hold_whatever_their_likelihood(ptbxl: StoredSet) -> None:
    made = task_of("ptb-xl", "all", ptbxl, Protocol())
    held = {frozenset(made.classes[column] for column in np.flatnonzero(row)) for row in made.targets_NC}
    assert held == {frozenset({"NORM", "SR"}), frozenset({"INVT", "NDT", "SR"})}  # INVT and SR at likelihood 0
    assert made.title("NDT") == "non-diagnostic T abnormalities"


def test_folds_decide_and_the_last_two_judge(ptbxl: StoredSet) -> None:
    usual = task_of("ptb-xl", "super", ptbxl, Protocol())
    assert [len(usual.rows(split)) for split in splits.SHARES] == [24, 6, 6]
    other = task_of("ptb-xl", "super", ptbxl, Protocol("2-3,5", 1, 4))
    assert [len(other.rows(split)) for split in splits.SHARES] == [18, 6, 6]
    assert any("left out" in remark for remark in other.remarks)
    fold_of = {one.sha256: one.fold for one in ptbxl.recordings}
    assert {(entry.split, fold_of[entry.sha256]) for entry in other.entries} == {
        ("train", 2), ("train", 3), ("train", 5), ("validate", 1), ("test", 4),
    }  # fmt: skip
    assert set(usual.subgroups) == {"sex", "age"}
    assert Counter(usual.subgroups["sex"].tolist()) == {"men": 18, "women": 18}


def test_the_official_folds_are_the_usual_ones() -> None:
    assert splits.choose_folds(list(range(1, 11))) == splits.Folds(frozenset(range(1, 9)), 9, 10)


@pytest.mark.parametrize(
    ("protocol", "said"),
    [
        (Protocol("1-9"), "not in the set"),
        (Protocol("1-3", 3, 4), "each may be in one split"),
        (Protocol("one"), "1-6 or 1,2,5"),
        (Protocol("", 4, 4), "each may be in one split"),
    ],
)
def test_folds_that_cannot_be_are_refused(ptbxl: StoredSet, protocol: Protocol, said: str) -> None:
    with pytest.raises(FormatError, match=said):
        task_of("ptb-xl", "super", ptbxl, protocol)


def test_a_training_recording_like_a_test_one_is_left_out(tmp_path: Path) -> None:
    waveforms = [recording_mv(index) for index in range(36)]
    waveforms[0] = -2.5 * waveforms[11] * -1 + 0.3  # patient 0, fold 1, is a copy of patient 5's, fold 6
    found = stored(write_ptbxl(tmp_path / "set", 36, waveforms=waveforms))
    made = task_of("ptb-xl", "super", found, Protocol())
    assert [len(made.rows(split)) for split in splits.SHARES] == [22, 6, 6]  # both recordings of patient 0 are gone
    check_apart(made, found)


def test_an_outline_knows_a_recording_under_gain_offset_and_rate() -> None:
    waveform = np.stack([recording_mv(index, 12.0, 500.0)[0] for index in range(12)])
    known = duplicates.describe(STANDARD_LEADS, waveform, 500)
    others = [
        duplicates.describe(STANDARD_LEADS, 3 * waveform + np.arange(12)[:, None], 500),
        duplicates.describe(STANDARD_LEADS, resample_poly(waveform, 1, 5, axis=1), 100),
        duplicates.describe(STANDARD_LEADS, waveform[:, :5000], 500),
        duplicates.describe(STANDARD_LEADS[:2] + STANDARD_LEADS[6:], waveform[[0, 1, *range(6, 12)]], 500),
    ]
    stranger = duplicates.describe(STANDARD_LEADS, waveform[::-1], 500)
    flat = duplicates.describe(STANDARD_LEADS, np.zeros_like(waveform), 500)
    pairs = duplicates.near_duplicates(np.stack([known, *others, stranger, flat, flat]))
    assert set(pairs) == {(first, second) for first in range(5) for second in range(first + 1, 5)}


def test_groups_reach_from_patient_to_copy_to_patient(ptbxl: StoredSet) -> None:
    some = list(ptbxl.recordings[:6])  # of patients 0, 0, 1, 1, 2, 2
    some[3] = replace(some[3], outline=some[4].outline)
    first, second, *others = splits.group_recordings(some)
    assert first == second
    assert len(set(others)) == 1
    assert first not in others


def test_a_hash_splits_by_group_and_seed() -> None:
    groups = [f"g{index // 3}" for index in range(900)]
    split = splits.by_hash(groups, 1)
    assert [split.count(name) for name in splits.SHARES] == [630, 90, 180]
    assert (
        max(len({one for one, group in zip(split, groups, strict=True) if group == name}) for name in set(groups)) == 1
    )
    assert split != splits.by_hash(groups, 2)
    assert split == splits.by_hash(groups, 1)


def test_cinc_scores_merged_codes_and_leaves_the_unlabelled_out(tmp_path: Path) -> None:
    codes = ["59118001", "713427006,284470004", "63593006", "426783006", "164884008", ""]
    names = [*(f"E{index:05d}" for index in range(24)), "Q00001"]
    found = stored(write_cinc(tmp_path / "set", names, [codes[index % 6] for index in range(24)] + ["426783006"]))
    georgia = task_of("georgia", "scored", found, Protocol())
    assert len(georgia.entries) == 24  # and not the one of another centre
    assert len(georgia.classes) == 24
    counts = {
        name: int(count) for name, count in zip(georgia.classes, np.nansum(georgia.targets_NC, axis=0), strict=True)
    }
    assert {name: count for name, count in counts.items() if count} == {"713427006": 8, "284470004": 8, "426783006": 4}
    assert sum(len(georgia.rows(split)) for split in splits.SHARES) == 20  # an unscored code is known, none is not
    check_apart(georgia, found)
    pooled = task_of("cinc2020", "all", found, Protocol())
    assert len(pooled.entries) == 25
    assert set(pooled.classes) == {"713427006", "284470004", "426783006", "427172004"}
    assert set(pooled.subgroups) == {"centre"}


def test_cpsc_has_nine_classes_in_both_forms(tmp_path: Path) -> None:
    numbers = ["1", "5", "9,2", "7"] * 4
    native = stored(write_native_cpsc(tmp_path / "native", numbers))
    snomed = ["426783006", "59118001", "164931005,164889003", "164884008"] * 4
    cinc = stored(write_cinc(tmp_path / "cinc", [f"A{index:04d}" for index in range(16)], snomed))
    for found in (native, cinc):
        made = task_of("cpsc2018", "", found, Protocol())
        assert made.classes == NINE
        assert np.nansum(made.targets_NC, axis=0).tolist() == [4, 4, 0, 0, 4, 0, 4, 0, 4]
        check_apart(made, found)


def test_hefei_is_read_once_and_in_its_own_words(tmp_path: Path) -> None:
    held = [("窦性心律",), ("窦性心律", "T波改变")] * 6 + [("T波改变",)]
    found = stored(write_hefei(tmp_path / "set", held, ["T波改变", "窦性心律", "完全性左束支传导阻滞"], twin_of=0))
    made = task_of("hefei", "", found, Protocol())
    assert made.classes == ("T波改变", "窦性心律", "完全性左束支传导阻滞")
    assert len(made.entries) == 12
    assert any("come twice" in remark and "1 of them" in remark for remark in made.remarks)
    assert made.entries[0].lead_names == ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")
    assert np.nansum(made.targets_NC, axis=0).tolist() == [6, 12, 0]


def test_a_class_beyond_hefeis_list_is_refused(tmp_path: Path) -> None:
    found = stored(write_hefei(tmp_path / "set", [("窦性心律",)] * 4, ["T波改变"]))
    with pytest.raises(FormatError, match="窦性心律"):
        task_of("hefei", "", found, Protocol())


@pytest.mark.parametrize(
    ("key", "task", "said"),
    [
        ("mimic", "", "'mimic' is unknown"),
        ("ptb-xl", "scored", "no task 'scored'"),
        ("hefei", "", "is a folder of ptb-xl"),
    ],
)
def test_what_is_not_there_is_refused(ptbxl: StoredSet, key: str, task: str, said: str) -> None:
    with pytest.raises(FormatError, match=said):
        task_of(key, task, ptbxl, Protocol())


def test_too_few_recordings_are_refused(tmp_path: Path) -> None:
    found = stored(write_cinc(tmp_path / "set", ["E00001", "E00002"], ["426783006", "426783006"]))
    with pytest.raises(FormatError, match="no recording to"):
        task_of("georgia", "", found, Protocol())


def test_reading_goes_on_and_counts_what_cannot_be_read(tmp_path: Path) -> None:
    source = write_cinc(tmp_path / "set", [f"E{index:05d}" for index in range(8)], ["426783006"] * 8)
    (source / "E00003.mat").write_bytes(b"short")

    def stop(done: int, _total: int) -> None:
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store_set(source, tmp_path / "stored", stop)
    lines = tmp_path / "stored" / "recordings.jsonl"
    lines.write_text(lines.read_text() + '{"name": "cut')  # and it was killed in the middle of a line
    before = lines.read_text().splitlines()[0]
    found = store_set(source, tmp_path / "stored", quiet)
    assert lines.read_text().splitlines()[0] == before
    assert [one.name for one in found.recordings] == [f"E{index:05d}" for index in (0, 1, 2, 4, 5, 6, 7)]
    assert list(found.unread) == ["E00003"]
    assert found.recordings == store_set(source, tmp_path / "fresh", quiet).recordings
    with pytest.raises(FormatError, match="name a new folder"):
        store_set(write_cinc(tmp_path / "other", ["E00001"], ["426783006"]), tmp_path / "stored", quiet)
