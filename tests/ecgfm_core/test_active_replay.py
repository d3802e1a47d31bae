"""Replay: errors made on purpose are found in a known order, and a run that was stopped ends as one that was not."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from ecgfm_core import manifest, predict
from ecgfm_core.active import errors
from ecgfm_core.active.replay import data, results
from ecgfm_core.active.replay.data import ReplaySet
from ecgfm_core.active.replay.play import Cell, ReplayOptions, answers_of_reader, cells, make_errors, play
from ecgfm_core.active.replay.run import replay
from ecgfm_core.active.replay.strategies import STRATEGIES, farthest_first
from ecgfm_core.cli import main
from ecgfm_core.errors import ConfigError, FormatError, TrainingError
from ecgfm_core.manifest import ManifestEntry
from ecgfm_core.predict import Part

COUNT, LABELS = 300, 3
OPTIONS = ReplayOptions(("uniform",), (0.1,), ("relabel", "random", "oracle"), 2, budget=0.2, head_seeds=2)


def made(labels: int = 1, seed: int = 0) -> ReplaySet:
    """Embeddings that tell the labels apart, but for a few; two recordings a patient."""
    random = np.random.default_rng(seed)
    truth_NC = (random.random((COUNT, labels)) < 0.4).astype(int)
    directions_CD = random.normal(size=(labels, 12))
    embedding_ND = 0.6 * truth_NC @ directions_CD + random.normal(size=(COUNT, 12))
    patients = [f"p{row // 2}" for row in range(COUNT)]
    return data.make(embedding_ND, truth_NC, patients, ["abnormal"] if labels == 1 else ["a", "b", "c"])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("replay") / "run"
    replay(made(), OPTIONS, folder, "A replay")
    return folder


def collected(folder: Path) -> dict:
    return json.loads((folder / "results.json").read_text(encoding="utf-8"))


def test_strategies_come_in_the_known_order(run: Path) -> None:
    (part,) = collected(run)["parts"]
    met = {line["strategy"]: line["at_rate"]["corrections"]["value"] for line in part["strategies"]}
    assert met["oracle"] > met["relabel"] > 2 * met["random"]
    first = {line["strategy"]: line["precision_first"]["20"]["value"] for line in part["strategies"]}
    assert first["oracle"] > first["relabel"] > first["random"]
    gain = {line["strategy"]: line["budget_to_gain"]["accuracy"] for line in part["strategies"]}
    assert gain["oracle"]["share"]["value"] <= gain["relabel"]["share"]["value"] < gain["random"]["share"]["value"]


def test_every_strategy_plays_to_the_end_and_corrects_what_the_reader_sees() -> None:
    one = made(LABELS)
    for strategy in STRATEGIES:
        cell = Cell("instance_dependent", 0.1, strategy, 0)
        played = play(one, ReplayOptions(strategies=(strategy,), budget=0.5, head_seeds=2), cell)
        assert len(played["found"]) == played["pool"]
        assert sum(played["found"]) == played["wrong"]
        last, full = played["standing"][-1], played["full"]
        assert last["read"] == played["pool"]
        assert last["accuracy"] == full["accuracy"] == pytest.approx(0.95, abs=0.05)
        assert last["auroc"] == full["auroc"] > 0.7
        assert bool(played["stopping"]) is (strategy == "relabel")


def test_a_stopped_run_goes_on_and_ends_as_one_without_a_stop(run: Path, tmp_path: Path) -> None:
    class Stop(Exception):
        pass

    def stop(done: int, _total: int, _name: str) -> None:
        if done == 3:
            raise Stop

    with pytest.raises(Stop):
        replay(made(), OPTIONS, tmp_path, "A replay", progress=stop)
    assert len(list((tmp_path / "cells").iterdir())) == 3
    first = tmp_path / "cells" / f"{cells(OPTIONS)[0].name}.json"
    made_at = first.stat().st_mtime_ns
    replay(made(), OPTIONS, tmp_path, "A replay")
    assert first.stat().st_mtime_ns == made_at
    assert collected(tmp_path) == collected(run)


def test_the_same_seed_plays_the_same_and_another_one_does_not() -> None:
    options = ReplayOptions(budget=0.3, rounds=1, head_seeds=2)
    one, again, other = (play(made(), options, Cell("uniform", 0.2, "relabel", seed)) for seed in (0, 0, 1))
    assert one == again
    assert one["found"] != other["found"]


def test_a_folder_of_another_replay_is_refused(run: Path) -> None:
    with pytest.raises(TrainingError, match="another set"):
        replay(made(seed=5), OPTIONS, run, "A replay")
    with pytest.raises(TrainingError, match="another reader_error"):
        replay(made(), dataclasses.replace(OPTIONS, reader_error=0.0), run, "A replay")


def test_the_page_and_the_tables_hold_what_was_played(run: Path) -> None:
    page = (run / "results.html").read_text(encoding="utf-8")
    assert page.count("Plotly.newPlot") == 6
    assert "Wrong labels read" in page
    assert 'src="http' not in page  # it needs nothing else
    text = (run / "results.md").read_text(encoding="utf-8")
    assert "## uniform, 10% wrong" in text
    assert "| label error (relabel) | " in text
    assert "pseudo-centres by a hash" in text
    assert "95 % interval held" in text


def test_the_budget_to_the_gain_is_read_off_the_curves() -> None:
    def played(reads: list[int], values: list[float]) -> dict:
        lines = [{"read": read, "accuracy": value} for read, value in zip(reads, values, strict=True)]
        return {"pool": 100, "wrong": 10, "found": [0] * 100, "standing": lines, "full": {"accuracy": 1.0}}

    steep = [played([0, 20, 100], [0.8, 1.0, 1.0])] * 3
    even = [played([0, 100], [0.8, 1.0])] * 3
    found = results.budget_to_gain(steep, even, "accuracy")
    assert found is not None
    assert found["share"]["value"] == pytest.approx(0.19, abs=0.01)
    assert found["ratio"]["value"] == pytest.approx(0.2, abs=0.01)
    flat = [played([0, 100], [1.0, 1.0])] * 3
    assert results.budget_to_gain(flat, even, "accuracy") is None  # nothing to gain
    alone = results.budget_to_gain(steep, [], "accuracy")
    assert (alone["share"]["value"], alone["ratio"]) == (found["share"]["value"], None)  # random was not replayed


def test_an_imperfect_reader_slips_in_one_label_of_a_recording() -> None:
    truth_NC = np.random.default_rng(0).integers(0, 2, (4000, LABELS))
    slips_N = (answers_of_reader(truth_NC, 0.05, 3) != truth_NC).sum(axis=1)
    assert set(slips_N) == {0, 1}
    assert slips_N.mean() == pytest.approx(0.05, abs=0.01)
    np.testing.assert_array_equal(answers_of_reader(truth_NC, 0.0, 3), truth_NC)


@pytest.mark.parametrize("kind", errors.KINDS)
def test_a_set_gets_one_wrong_label_in_the_share_asked_for(kind: str) -> None:
    one = made(LABELS)
    given_NC = make_errors(one, one.embedding_ND, np.arange(COUNT), Cell(kind, 0.1, "", 0))
    assert np.bincount((given_NC != one.truth_NC).sum(axis=1)).tolist() == [270, 30]
    if kind == "centre_specific":
        wrong_N = (given_NC != one.truth_NC).any(axis=1)
        assert len(set(one.centres_N[wrong_N])) <= (len(set(one.centres_N)) + 1) // 2


def test_what_sets_of_labels_need_is_asked_for_in_words() -> None:
    labels_NC = np.zeros((50, 2), dtype=int)
    with pytest.raises(ConfigError, match="need confusion_VC"):
        errors.inject_sets(labels_NC, rate=0.1, kind="class_conditional", seed=0)
    with pytest.raises(ConfigError, match="lower the rate"):
        errors.inject_sets(
            labels_NC, rate=0.1, kind="class_conditional", seed=0, confusion_VC=np.array([[0, 0], [1, 1]])
        )
    np.testing.assert_array_equal(errors.inject_sets(labels_NC, rate=0, kind="uniform", seed=0), labels_NC)


def test_the_farthest_come_first_and_each_once() -> None:
    points = np.array([[0.0], [0.1], [10.0], [0.2], [99.0]])
    place = farthest_first(points, np.array([0, 1, 2, 3]), seed=0)
    assert sorted(place[:4].tolist()) == [0, 1, 2, 3]
    assert place[4] == 5  # not of the pool
    assert 2 in np.argsort(place)[:2]


def test_no_patient_is_in_pool_and_test() -> None:
    one = made()
    is_test_N = data.test_patients(one.groups_N, 0.25, 0)
    assert not set(one.groups_N[is_test_N]) & set(one.groups_N[~is_test_N])
    assert is_test_N.mean() == pytest.approx(0.25, abs=0.01)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kinds": ("malicious",)}, "kind 'malicious' is unknown; known are uniform"),
        ({"strategies": ("guess",)}, "strategy 'guess' is unknown; known are relabel"),
        ({"strategies": ()}, "no strategy is named"),
        ({"rates": (0.7,)}, r"error rate 0\.7; 0\.001 to 0\.5"),
        ({"reader_error": 0.5}, r"reader error 0\.5"),
        ({"seeds": 0}, "seeds 0; 1 to 1000"),
    ],
)
def test_impossible_options_are_refused_in_words(change: dict, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        ReplayOptions(**change)


def test_the_command_reads_one_file_and_says_what_it_found(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    one = made()
    np.savez(tmp_path / "set.npz", embedding=one.embedding_ND, group=one.groups_N, labels=one.truth_NC[:, 0])
    asked = ["replay", "--embeddings", str(tmp_path / "set.npz"), "--out", str(tmp_path / "run"), "--kinds", "uniform"]
    rounds = ["--rates", "0.2", "--strategies", "relabel", "--seeds", "1", "--budget", "0.5", "--rounds", "1"]
    assert main([*asked, *rounds]) == 0
    said = capsys.readouterr()
    assert "## uniform, 20% wrong" in said.out
    assert "0 of 1 replays: uniform-0.2-relabel-0" in said.err
    assert main([*asked, "--rates", "many"]) == 1
    assert "numbers joined by commas" in capsys.readouterr().err
    assert main(["replay", "--embeddings", str(tmp_path), "--out", str(tmp_path / "x")]) == 1
    assert "needs --manifest" in capsys.readouterr().err
    np.savez(tmp_path / "bad.npz", embedding=one.embedding_ND)
    assert main(["replay", "--embeddings", str(tmp_path / "bad.npz"), "--out", str(tmp_path / "y")]) == 1
    assert "group [N], labels" in capsys.readouterr().err


def test_a_scoring_run_and_its_manifest_make_a_set(tmp_path: Path) -> None:
    random, parts = np.random.default_rng(0), tmp_path / "parts"
    entries = [
        ManifestEntry(row, f"{row:064x}", ("I",), 100.0, 1000, group=f"p{row}", labels={"a": row % 2, "b": 1},
                      abnormal=None if row == 7 else row % 2)
        for row in range(40)
    ]  # fmt: skip
    manifest.write(tmp_path / "m.jsonl", entries)
    parts.mkdir()
    part = Part(
        np.arange(40), np.zeros(40), np.zeros((40, 1)), random.normal(size=(40, 4)), [""] * 40, np.ones((40, 12))
    )
    predict.write_part(predict.part_path(parts, 0), part)
    (parts / predict.DONE).write_text(json.dumps({"parts": 1}), encoding="utf-8")
    one = data.read_predictions(parts, tmp_path / "m.jsonl")
    assert one.truth_NC[:, 0].tolist() == [row % 2 for row in range(40) if row != 7]
    assert "1 recordings without these labels left out" in one.remarks
    assert data.read_predictions(parts, tmp_path / "m.jsonl", ("a", "b")).truth_NC.shape == (40, 2)
    with pytest.raises(FormatError, match="has c known"):
        data.read_predictions(parts, tmp_path / "m.jsonl", ("c",))
    manifest.write(tmp_path / "few.jsonl", entries[:30])
    with pytest.raises(FormatError, match="name its manifest"):
        data.read_predictions(parts, tmp_path / "few.jsonl")
