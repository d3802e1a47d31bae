"""A bench fills its table, goes on where it was stopped, and refuses what would make it mean nothing."""

import csv
import itertools
import json
import os
import shutil
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser

from ecgfm_core import configs, manifest
from ecgfm_core.cli import main
from ecgfm_core.downstream import bench as benches
from ecgfm_core.downstream import finetune, learn
from ecgfm_core.downstream.bench import BenchOptions, Fit
from ecgfm_core.downstream.learn import Recipe
from ecgfm_core.downstream.sets import Protocol, task_of
from ecgfm_core.downstream.store import store_set
from ecgfm_core.errors import FormatError, TrainingError
from ecgfm_core.training.checkpoint import load_checkpoint, save_checkpoint, waveform_marks
from ecgfm_core.training.run_folder import EXIT_STOPPED
from tests.ecgfm_core.public_sets import write_cinc, write_ptbxl
from tests.ecgfm_core.tiny_data import TINY

RECIPE = {"steps_min": 10, "epochs": 1, "head_epochs": 2, "batch": 8, "looks": 2}
WORDS = ("--device", "cpu", "--positives-min", "2", *(w for k, v in RECIPE.items() for w in ("--recipe", f"{k}={v}")))
SETS = [word for key, value in {**TINY, "epochs": 2}.items() for word in ("--set", f"{key}={value}")]


def words(source: Path, out: Path, *more: str) -> list[str]:
    return ["bench", "ptb-xl", "--data", str(source), "--out", str(out), *WORDS, *SETS, *more]


def options(**changes: object) -> BenchOptions:
    """Give the options that `words` asks for."""
    plain = configs.build("tiny_cpu", {**TINY, "epochs": 2, "classification_weight": 0, "text_weight": 0})
    usual = BenchOptions(config=plain, recipe=Recipe(**RECIPE), seeds=1, positives_min=2, device="cpu")
    return replace(usual, **changes)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_ptbxl(tmp_path_factory.mktemp("ptbxl") / "set", 60)


@pytest.fixture(scope="module")
def done(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run the whole table once: five rows, two seeds, two shares of the labels."""
    out = tmp_path_factory.mktemp("bench") / "out"
    assert main(words(source, out, "--seeds", "2", "--fractions", "0.5,1.0")) == 0
    return out


def test_the_table_holds_every_row_with_intervals(done: Path) -> None:
    found = json.loads((done / "results.json").read_text())
    assert [(line["row"], line["fraction"]) for line in found["table"]] == [
        (row, fraction) for fraction in (1.0, 0.5) for row in learn.ROWS
    ]
    for line in found["table"]:
        for name in ("macro_auroc", "macro_f1", "micro_f1"):
            assert 0 <= line[name]["low"] <= line[name]["value"] <= line[name]["high"] <= 1
    assert {line["recordings"] for line in found["table"]} == {40, 20}
    assert [one["first"] for one in found["comparisons"]] == [
        "frozen_attention", "fine_tuned", "frozen_attention", "frozen_attention",
    ]  # fmt: skip
    assert {one["title"] for one in found["classes"]} == {"Normal ECG", "ST/T change"}
    assert found["splits"]["test"] == {"recordings": 10, "patients": 5}
    scratch = next(line for line in found["table"] if line["row"] == "from_scratch")
    assert scratch["macro_auroc"]["value"] > 0.8  # upright and inverted T waves are told apart
    text = (done / "results.md").read_text()
    assert "| fine-tuned | 100% | 40 |" in text


def test_pretraining_saw_no_recording_that_judges(source: Path, done: Path) -> None:
    task = task_of("ptb-xl", "super", store_set(source, done / "set", lambda _done, _total: None), Protocol())
    start = load_checkpoint(done / "pretraining" / "checkpoint")
    assert start.trained_on is not None
    trained = waveform_marks(entry.sha256 for entry in task.entries if entry.split == "train")
    np.testing.assert_array_equal(start.trained_on, trained)
    assert benches.seen(start, task) == 0
    assert start.label_codes == ()
    remarks = json.loads((done / "results.json").read_text())["remarks"]
    assert "pretrained on 40 recordings; none of them is in the validation or test split, by waveform" in remarks


def test_the_page_needs_nothing_else(done: Path, browser: Browser) -> None:
    page = browser.new_page(viewport={"width": 1366, "height": 768})
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on(
        "request",
        lambda request: None if request.url.startswith(("file:", "data:", "blob:")) else wrong.append(request.url),
    )
    page.goto(f"file://{done / 'results.html'}")
    page.wait_for_function("document.querySelectorAll('.main-svg').length >= 3")
    assert page.locator("h1").inner_text() == "PTB-XL, super"
    assert page.locator("table").first.locator("tbody tr").count() == 5
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.close()
    assert not wrong


def test_a_bench_goes_on_and_grows(source: Path, done: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(done, out)
    before = json.loads((out / "results.json").read_text())
    kept = {path.name: path.stat().st_mtime_ns for path in (out / "fits").glob("*.npz")}
    for name in ("fine_tuned-50-1", "random_frozen-100-0"):
        (out / "fits" / f"{name}.json").unlink()  # as if it had been killed in there
    assert main(words(source, out, "--seeds", "2", "--fractions", "0.5,1.0")) == 0
    after = json.loads((out / "results.json").read_text())
    untouched = [path for path in (out / "fits").glob("*.npz") if path.stat().st_mtime_ns == kept[path.name]]
    assert len(untouched) == len(kept) - 2
    for one, other in zip(before["table"], after["table"], strict=True):
        assert {**one, "seconds": 0} == {**other, "seconds": 0}
    assert main(words(source, out, "--seeds", "1", "--rows", "frozen_linear", "--fractions", "1.0")) == 0
    (line,) = json.loads((out / "results.json").read_text())["table"]
    assert line["row"] == "frozen_linear"


def test_a_bench_that_is_told_to_stop_goes_on(source: Path, done: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(done, out)
    shutil.rmtree(out / "fits")
    ended = threading.Event()

    def stop_after_two() -> None:
        while not ended.is_set() and len(list((out / "fits").glob("*.json"))) < 2:
            time.sleep(0.005)
        if not ended.is_set():
            os.kill(os.getpid(), signal.SIGTERM)

    watch = threading.Thread(target=stop_after_two)
    watch.start()
    asked = words(source, out, "--seeds", "2", "--fractions", "0.5,1.0")
    try:
        assert main(asked) == EXIT_STOPPED
    finally:
        ended.set()
        watch.join()
    assert 2 <= len(list((out / "fits").glob("*.json"))) < 20
    assert main(asked) == 0
    before, after = (json.loads((folder / "results.json").read_text()) for folder in (done, out))
    for one, other in zip(before["table"], after["table"], strict=True):
        assert {**one, "seconds": 0} == {**other, "seconds": 0}


def test_another_bench_does_not_go_on_there(source: Path, done: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words(source, done, "--task", "form")) == 1
    assert "belongs to a run with another" in capsys.readouterr().err
    assert main(words(source, done, "--recipe", "epochs=3")) == 1
    assert "another recipe" in capsys.readouterr().err


def test_smaller_shares_lie_within_larger_ones(source: Path, done: Path) -> None:
    task = task_of("ptb-xl", "super", store_set(source, done / "set", lambda _done, _total: None), Protocol())
    parts = [benches.part_of(task, fraction, seed=3) for fraction in (0.1, 0.25, 0.5, 1.0)]
    assert [len(part) for part in parts] == [4, 10, 20, 40]
    for smaller, larger in itertools.pairwise(parts):
        assert set(smaller) <= set(larger)
        outside = {task.entries[row].group for row in set(larger) - set(smaller)}
        assert not outside & {task.entries[row].group for row in smaller}
    assert not np.array_equal(parts[0], benches.part_of(task, 0.1, seed=4))


def test_a_checkpoint_that_saw_the_test_is_refused(
    source: Path, done: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start = load_checkpoint(done / "pretraining" / "checkpoint")
    task = task_of("ptb-xl", "super", store_set(source, done / "set", lambda _done, _total: None), Protocol())
    start.trained_on = waveform_marks(entry.sha256 for entry in task.entries)
    save_checkpoint(tmp_path / "leaky", start)
    asked = ["bench", "ptb-xl", "--data", str(source), "--out", str(tmp_path / "out"), *WORDS]
    assert main([*asked, "--checkpoint", str(tmp_path / "leaky")]) == 1
    assert "trained on 20 recordings of the validation and test splits" in capsys.readouterr().err


def test_a_checkpoint_that_does_not_say_is_marked(source: Path, done: Path, tmp_path: Path) -> None:
    start = load_checkpoint(done / "pretraining" / "checkpoint")
    start.trained_on = None
    save_checkpoint(tmp_path / "silent", start)
    asked = options(rows=("frozen_linear",), checkpoint=tmp_path / "silent")
    page = benches.bench("ptb-xl", source, "super", tmp_path / "out", asked)
    assert "does not say which recordings it was trained on" in page.read_text()


def test_the_challenge_is_scored_on_cinc(tmp_path: Path) -> None:
    codes = ["426783006", "59118001"] * 20
    source = write_cinc(tmp_path / "set", [f"E{index:05d}" for index in range(40)], codes)
    from ecgfm_core import labels

    scored = [label.code for label in labels.load_scheme().labels if label.scored]
    rows = [
        ",".join(("", *scored)),
        *(",".join((row, *("1" if row == one else "0.25" for one in scored))) for row in scored),
    ]
    (tmp_path / "weights.csv").write_text("\n".join(rows) + "\n")
    asked = options(rows=("from_scratch",), weights=tmp_path / "weights.csv", positives_min=1)
    benches.bench("georgia", source, "scored", tmp_path / "out", asked)
    found = json.loads((tmp_path / "out" / "results.json").read_text())
    assert found["metrics"][-1] == "challenge"
    assert found["table"][0]["challenge"]["value"] <= 1
    with pytest.raises(TrainingError, match="take task scored"):
        benches.bench("georgia", source, "all", tmp_path / "other", asked)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--rows", "frozen"], "Rows frozen are unknown"),
        (["--fractions", "half"], "--fractions half"),
        (["--fractions", "0"], "0 to 1, are allowed"),
        (["--set", "classification_weight=1"], "contrastively alone"),
        (["--checkpoint", "somewhere", "--set", "epochs=2"], "--checkpoint brings a network already"),
        (["--recipe", "speed=3"], "--recipe speed: unknown"),
        (["--recipe", "epochs=few"], "a number is needed"),
        (["--task", "scored"], "no task 'scored'"),
    ],
)
def test_a_wrong_option_is_refused_in_words(
    more: list[str], said: str, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words(source, tmp_path / "out", *more)) == 1
    assert said in capsys.readouterr().err


def test_a_lost_fit_is_named(source: Path, done: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(done, out)
    (out / "fits" / f"{Fit('fine_tuned', 1.0, 0).name}.npz").write_bytes(b"no")
    with pytest.raises(FormatError, match="fine_tuned-100-0"):
        benches.bench("ptb-xl", source, "super", out, options(rows=("fine_tuned",)))


@pytest.mark.parametrize("row", ["frozen_linear", "fine_tuned"])
def test_what_was_learnt_is_kept_and_used(
    row: str, source: Path, done: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, checkpoint = tmp_path / "out", str(done / "pretraining" / "checkpoint")
    learning = ["finetune", "ptb-xl", "--data", str(source), "--out", str(out), *(word for word in WORDS[4:])]
    learning += ["--device", "cpu", "--checkpoint", checkpoint, "--row", row]
    assert main(learning) == 0
    written = (out / "network" / "weights.safetensors").stat().st_mtime_ns
    assert main(learning) == 0
    assert (out / "network" / "weights.safetensors").stat().st_mtime_ns == written
    header = json.loads((out / "network" / "network.json").read_text())
    assert header["classes"] == ["NORM", "STTC"]
    assert set(header["test"]["classes"]["NORM"]) == {"positives", "auroc", "sensitivity", "precision", "f1"}

    stored = store_set(source, done / "set", lambda _done, _total: None)
    task = task_of("ptb-xl", "super", stored, Protocol())
    asked = [task.entries[row] for row in task.rows("test")]
    manifest.write(tmp_path / "asked.jsonl", asked)
    using = [
        "finetune",
        "--out",
        str(out),
        "--apply",
        str(tmp_path / "asked.jsonl"),
        "--waveforms",
        str(stored.waveforms),
    ]
    assert main([*using, "--device", "cpu"]) == 0
    with (out / "probabilities.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(line["id"]) for line in rows] == [entry.id for entry in asked]
    probability = np.array([[float(line[name]) for name in header["classes"]] for line in rows])
    again = learn_metrics(task.targets_NC[task.rows("test")], probability)
    assert again == pytest.approx(header["test"]["macro_auroc"]["value"], abs=1e-6)

    manifest.write(tmp_path / "asked.jsonl", [asked[0], replace(asked[1], lead_names=("Pleth",) * 12)])
    capsys.readouterr()
    assert main([*using, "--device", "cpu"]) == 0
    assert f"refused: Recording {asked[1].id}: leads Pleth" in capsys.readouterr().err
    with (out / "probabilities.csv").open() as file:
        assert [line["id"] for line in csv.DictReader(file)] == [str(asked[0].id)]
    manifest.write(tmp_path / "asked.jsonl", [])
    assert main([*using, "--device", "cpu"]) == 1
    assert "none of its 0 recordings has a known lead" in capsys.readouterr().err


def learn_metrics(target: np.ndarray, probability: np.ndarray) -> float:
    from ecgfm_core.training.metrics import macro_auroc

    value, _ = macro_auroc(target, probability)
    assert value is not None
    return value


def test_a_damaged_network_is_refused(tmp_path: Path) -> None:
    (tmp_path / "network").mkdir()
    with pytest.raises(TrainingError, match="run ecgfm finetune again"):
        finetune.load(tmp_path / "network")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ([], "name a set to learn"),
        (["--apply", "asked.jsonl"], "--apply and --waveforms belong together"),
        (["ptb-xl"], "to learn ptb-xl, name its folder"),
        (["ptb-xl", "--data", "somewhere"], "and a network with --checkpoint"),
    ],
)
def test_half_a_command_is_refused(
    more: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["finetune", "--out", str(tmp_path / "out"), *more]) == 1
    assert said in capsys.readouterr().err
