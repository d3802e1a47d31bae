"""Planted premature beats are learnt in seconds; the MIT-BIH table runs on a made set and goes on where it stopped."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
import wfdb

from ecgfm_core import cli, configs, formats, waveform
from ecgfm_core.datasets.mitdb import BeatMarks
from ecgfm_core.downstream import beat_metrics, beats, beats_bench
from ecgfm_core.downstream.beat_learning import (
    BeatHead,
    BeatRecipe,
    Beats,
    Windows,
    beat_weights,
    epoch_rows,
    keep_features,
    no_features,
    predict,
    train,
)
from ecgfm_core.downstream.beat_report import DE_CHAZAL, f1_of
from ecgfm_core.errors import TrainingError
from ecgfm_core.model.ecgfm import Ecgfm
from ecgfm_core.model.text import TextTokenizer
from ecgfm_core.recording import Recording
from ecgfm_core.training.checkpoint import Checkpoint, save_checkpoint, waveform_marks
from tests.ecgfm_core.tiny_data import TINY
from tests.ecgfm_core.wfdb_files import write_record

QUICK = BeatRecipe(
    epochs=8, batch=64, learning_rate=5e-3, timing_learning_rate=2e-2, dropout=0.0, normal_beats=300, scratch_epochs=3,
    scratch_normal_beats=100,
)  # fmt: skip
TINY_CONFIG = configs.build("tiny_cpu", TINY)


def made(random: np.random.Generator, beat_count: int = 40) -> tuple[np.ndarray, BeatMarks]:
    """Give two leads at 360 Hz, mV, with planted beats: S comes early, V early and wide, each in one of eight."""
    symbols = random.choice(list("NNNNNNSV"), beat_count)
    symbols[:2] = ["S", "V"]
    steps_s = 0.8 - 0.3 * (symbols != "N") + 0.3 * np.roll(symbols != "N", 1) + random.normal(0, 0.01, beat_count)
    places = np.rint(360 * (0.7 + np.cumsum(steps_s))).astype(np.int64)
    time_T = np.arange(places[-1] + 300)
    lead_T = np.zeros(len(time_T))
    for place, symbol in zip(places, symbols, strict=True):
        lead_T += np.exp(-(((time_T - place) / (25 if symbol == "V" else 6)) ** 2))
    leads = np.stack((lead_T, 0.5 * lead_T)) + random.normal(0, 0.01, (2, len(time_T)))
    return leads.astype(np.float32), BeatMarks(places, tuple(symbols))


def made_beats(count: int = 8) -> Beats:
    """Give records with planted beats."""
    random = np.random.default_rng(0)
    records = []
    for index in range(count):
        waveform, marks = made(random)
        records.append(beats.make_record(Recording(f"r{index}", ("MLII", "V1"), waveform, 360.0), marks, 100.0))
    return Beats.of(records)


def tiny_model(seed: int = 0) -> Ecgfm:
    """Give a network with random weights."""
    torch.manual_seed(seed)
    return Ecgfm(TINY_CONFIG, 1, 260).eval()


def head_for(some: Beats, model: Ecgfm) -> BeatHead:
    """Give a head that fits a model's features."""
    torch.manual_seed(0)
    tokens = Windows(some, model).usual.shape[2] // model.hop_samples
    return BeatHead(2 * TINY_CONFIG.width, tokens, QUICK)


def rows_of(some: Beats, names: Sequence[str]) -> np.ndarray:
    """Give the rows of the named records."""
    return np.flatnonzero([some.records[record].name in names for record in some.record_M])


def macro(some: Beats, rows: np.ndarray, said: np.ndarray) -> float:
    """Give macro F1 of some rows."""
    return beat_metrics.macro_f1(beat_metrics.confusion(some.class_M[rows], said.argmax(1)))


@pytest.fixture(scope="module")
def planted() -> Beats:
    """Give eight made records."""
    return made_beats()


def test_planted_beats_are_learnt_by_a_head_on_a_frozen_network(planted: Beats, tmp_path: Path) -> None:
    model = tiny_model()
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    source = keep_features(model, planted, tmp_path / "features.npy")
    train_rows, test_rows = (rows_of(planted, [f"r{index}" for index in part]) for part in (range(6), (6, 7)))
    head = head_for(planted, model)
    train(source, planted, train_rows, head, QUICK, seed=0)
    assert macro(planted, test_rows, predict(source, planted, test_rows, head)) > 0.9
    assert all(torch.equal(before[name], weight) for name, weight in model.state_dict().items())


def test_rr_intervals_alone_find_premature_beats_but_not_their_width(planted: Beats) -> None:
    train_rows, test_rows = (rows_of(planted, [f"r{index}" for index in part]) for part in (range(6), (6, 7)))
    torch.manual_seed(0)
    head = BeatHead(0, 0, QUICK)
    train(no_features, planted, train_rows, head, QUICK, seed=0)
    said = predict(no_features, planted, test_rows, head).argmax(1)
    early = planted.class_M[test_rows] > 0
    assert ((said > 0) == early).mean() > 0.9


def test_the_backbone_learns_too_where_it_is_given_and_the_same_seed_gives_the_same(planted: Beats) -> None:
    rows, found = rows_of(planted, ["r0", "r1"]), []
    for _ in range(2):
        model = tiny_model()
        source, head = Windows(planted, model).source(model), head_for(planted, model)
        start = model.encoder.out.weight.detach().clone()
        train(source, planted, rows, head, QUICK, seed=0, backbone=model)
        assert not torch.equal(start, model.encoder.out.weight)
        found.append(predict(source, planted, rows, head))
    assert np.array_equal(found[0], found[1])


def test_kept_features_are_those_of_the_model_at_each_beat(planted: Beats, tmp_path: Path) -> None:
    model, rows = tiny_model(), np.array([200, 3, 41])
    with torch.no_grad():
        direct = Windows(planted, model).source(model)(rows)
    kept = keep_features(model, planted, tmp_path / "features.npy")(rows)
    assert torch.allclose(kept.beat_BNF, direct.beat_BNF, atol=5e-3, rtol=5e-3)  # float16 on disk
    assert torch.allclose(kept.usual_RNF[kept.record_B], direct.usual_RNF[direct.record_B], atol=1e-5)


def test_an_epoch_draws_some_n_beats_every_other_one_and_never_q() -> None:
    class_M = np.array([0] * 50 + [1] * 4 + [2] * 3 + [3] * 2 + [4] * 5)
    rows = epoch_rows(class_M, np.arange(64), BeatRecipe(normal_beats=10), np.random.default_rng(0))
    assert np.bincount(class_M[rows], minlength=5).tolist() == [10, 4, 3, 2, 0]
    assert len(set(rows)) == len(rows)


def test_weights_level_classes_and_records_as_far_as_asked() -> None:
    class_M, record_M = np.array([0] * 8 + [1] * 2), np.array([0] * 6 + [1] * 2 + [0, 1])
    level = beat_weights(class_M, record_M, BeatRecipe(class_power=1.0, record_power=1.0))
    assert level[:8].sum() == pytest.approx(level[8:].sum())
    assert level[:6].sum() == pytest.approx(level[6:8].sum())
    plain = beat_weights(class_M, record_M, BeatRecipe(class_power=0.0, record_power=0.0))
    assert plain == pytest.approx(np.ones(10))


def test_scores_of_a_known_confusion() -> None:
    table = np.array([[90, 5, 5, 0, 0], [5, 15, 0, 0, 0], [1, 0, 8, 1, 0], [0, 0, 2, 0, 0], [0, 0, 1, 0, 0]])
    scores = beat_metrics.class_scores(table)
    assert (scores["V"].sensitivity, scores["V"].precision) == (0.8, 0.5)
    assert scores["V"].f1 == pytest.approx(2 * 8 / (10 + 16))
    assert scores["F"].f1 == scores["Q"].f1 == 0
    expected = (2 * 90 / 196 + 2 * 15 / 40 + 16 / 26) / 3
    assert beat_metrics.macro_f1(table) == pytest.approx(expected)


def test_intervals_hold_the_mean_and_have_no_width_where_records_are_alike() -> None:
    table = np.diag([50, 10, 10, 1, 0]) + 1
    alike = np.broadcast_to(table, (2, 6, 5, 5))
    mean, low, high = beat_metrics.intervals(alike, seed=0, count=20)["S f1"]
    assert low == pytest.approx(mean) == pytest.approx(high)
    random = np.random.default_rng(0)
    mean, low, high = beat_metrics.intervals(random.integers(1, 50, (2, 6, 5, 5)), seed=0, count=50)["macro f1"]
    assert low < mean < high


def test_a_row_is_above_another_by_what_it_is_above_it_in_every_record() -> None:
    good, bad = np.diag([90, 10, 10, 0, 0]), np.diag([90, 5, 5, 0, 0])
    bad[1, 0] = bad[2, 0] = 5
    tables, others = (np.broadcast_to(one, (2, 6, 5, 5)) for one in (good, bad))
    mean, low, high = beat_metrics.difference(tables, others, seed=0, count=20)
    assert mean == pytest.approx(1 - beat_metrics.macro_f1(bad))
    assert low == pytest.approx(mean) == pytest.approx(high)


def test_the_published_confusion_gives_the_published_figures() -> None:
    scores = beat_metrics.class_scores(np.array([*DE_CHAZAL, (0, 0, 0, 0, 7)]))
    assert scores["S"].sensitivity == pytest.approx(0.759, abs=1e-3)
    assert scores["S"].precision == pytest.approx(0.385, abs=1e-3)
    assert scores["V"].sensitivity == pytest.approx(0.777, abs=1e-3)
    assert f1_of(75.9, 38.5) / 100 == pytest.approx(scores["S"].f1, abs=1e-3)


@pytest.fixture(scope="module")
def made_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write 44 records of MIT-BIH's names with planted beats."""
    folder, random = tmp_path_factory.mktemp("mitdb"), np.random.default_rng(1)
    for name in (*beats.DS1, *beats.DS2):
        waveform, marks = made(random, 12)
        write_record(folder, name, np.rint(1000 * waveform).astype(np.int16), rate=360, leads=["MLII", "V1"])
        wfdb.wrann(name, "atr", marks.sample_M, np.array(marks.symbols), write_dir=str(folder))
    return folder


def test_the_table_runs_end_to_end_and_goes_on_where_it_stopped(made_set: Path, tmp_path: Path) -> None:
    checkpoint = Checkpoint(tiny_model(), TINY_CONFIG, ("x",), TextTokenizer([]), {}, {})
    save_checkpoint(tmp_path / "checkpoint", checkpoint)
    asked = {"seeds": (0, 1), "rows": ("frozen", "rr_only"), "recipe": QUICK}
    heard: list[str] = []
    first = beats_bench.run(made_set, tmp_path / "checkpoint", tmp_path / "out", say=heard.append, **asked)
    assert heard == [f"{row}, seed {seed}" for row in ("frozen", "rr_only") for seed in (0, 1)]
    assert set(first["rows"]) == {"frozen", "rr_only"}
    assert 0 < first["rows"]["frozen"]["macro f1"][0] <= 1
    assert set(first["frozen above"]) == {"rr_only"}
    assert sum(map(sum, first["confusion"]["frozen"])) == 22 * 12
    assert json.loads((tmp_path / "out" / "mit-bih.json").read_text()) == first
    text = (tmp_path / "out" / "mit-bih.md").read_text()
    assert all(word in text for word in ("frozen backbone", "Without record 202", "de Chazal"))
    again = beats_bench.run(made_set, tmp_path / "checkpoint", tmp_path / "out", say=heard.append, **asked)
    assert again == first
    assert len(heard) == 4
    with pytest.raises(TrainingError, match="another recipe"):
        beats_bench.run(made_set, tmp_path / "checkpoint", tmp_path / "out", recipe=BeatRecipe())


def test_a_network_that_saw_a_judging_record_is_refused(made_set: Path, tmp_path: Path) -> None:
    marks = {
        name: waveform_marks([waveform.pack(formats.read(made_set / f"{name}.hea", name)).sha256])
        for name in ("101", "234")
    }
    for name, mark in marks.items():
        checkpoint = Checkpoint(tiny_model(), TINY_CONFIG, ("x",), TextTokenizer([]), {}, {}, trained_on=mark)
        save_checkpoint(tmp_path / name, checkpoint)
    with pytest.raises(TrainingError, match="trained on 1 of the 22 records of DS2"):
        beats_bench.run(made_set, tmp_path / "234", tmp_path / "refused")
    beats_bench.run(made_set, tmp_path / "101", tmp_path / "out", (0,), ("rr_only",), BeatRecipe(epochs=1))


@pytest.mark.parametrize(
    ("rows", "reason"), [(("frozen",), "needs a checkpoint"), (("best",), "'best'|best is unknown")]
)
def test_rows_that_cannot_be_are_refused(made_set: Path, tmp_path: Path, rows: tuple[str, ...], reason: str) -> None:
    with pytest.raises(TrainingError, match=reason):
        beats_bench.run(made_set, None, tmp_path, rows=rows)


def test_the_command_says_what_a_set_lacks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = cli.main(["bench", "mitdb", "--data", str(tmp_path), "--out", str(tmp_path / "out"), "--rows", "rr_only"])
    assert done == 1
    assert "files of MIT-BIH are missing" in capsys.readouterr().err
