"""The figures of a bench from what its fits said, without any training."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ecgfm_core.downstream import results
from ecgfm_core.downstream.bench import Fit
from ecgfm_core.downstream.task import Task
from ecgfm_core.manifest import ManifestEntry
from ecgfm_core.training.metrics import auroc

COUNT = 200  # recordings; the first half validates, the second tests


def made_task() -> Task:
    random = np.random.default_rng(0)
    entries = tuple(
        ManifestEntry(
            row, f"{row:064x}", ("I",), 100.0, 10, 0.001, True, "validate" if row < COUNT // 2 else "test", f"p{row}"
        )
        for row in range(COUNT)
    )
    targets = (random.random((COUNT, 2)) < 0.4).astype(np.float32)
    sex = np.where(np.arange(COUNT) % 2, "men", "women")
    few = np.where(np.arange(COUNT) == COUNT - 1, "rare", "")
    return Task("made", "set", ("A", "B"), entries, targets, {"sex": sex, "few": few})


def write_fit(folder: Path, fit: Fit, probability: np.ndarray) -> None:
    np.savez(folder / f"{fit.name}.npz", probability_NC=probability)
    (folder / f"{fit.name}.json").write_text(json.dumps({"recordings": 7, "seconds": 2.0}))


def collected(folder: Path, said: Callable[[Task, int], np.ndarray], row: str = "fine_tuned") -> tuple[Task, dict]:
    task = made_task()
    fits = [Fit(row, 1.0, seed) for seed in range(2)]
    for fit in fits:
        write_fit(folder, fit, said(task, fit.seed))
    return task, results.collect(task, folder, fits, None, positives_min=5)


def test_figures_are_of_the_test_split_and_thresholds_of_the_validation_split(tmp_path: Path) -> None:
    def said(task: Task, _seed: int) -> np.ndarray:
        sure = 0.2 + 0.1 * task.targets_NC  # all is right, from 0.25 on
        sure[COUNT // 2 :] += 0.5  # and in the test split all is said to be present from 0.25 on
        return sure

    task, found = collected(tmp_path, said)
    (line,) = found["table"]
    assert line["macro_auroc"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    for column, one in enumerate(found["classes"]):
        figures = one["rows"]["fine_tuned"]
        share = task.targets_NC[COUNT // 2 :, column].mean()
        assert abs(figures["threshold"] - 0.25) < 1e-6
        assert figures["sensitivity"] == 1
        assert abs(figures["precision"] - share) < 1e-6


def test_parts_of_the_test_split_have_their_own_figures(tmp_path: Path) -> None:
    def said(task: Task, seed: int) -> np.ndarray:
        random = np.random.default_rng(seed)
        noise = np.where(task.subgroups["sex"] == "men", 0.1, 2.0)[:, None]
        return 0.5 + 0.1 * (task.targets_NC + noise * random.normal(size=(COUNT, 2)))

    task, found = collected(tmp_path, said)
    men, women = found["subgroups"]  # one recording is no part
    assert (men["word"], women["word"], men["recordings"]) == ("men", "women", 50)
    assert men["rows"]["fine_tuned"]["low"] > women["rows"]["fine_tuned"]["high"]
    test = np.arange(COUNT // 2, COUNT)
    areas = [
        auroc(task.targets_NC[test, column], said(task, seed)[test, column]) or 0
        for seed in range(2)
        for column in range(2)
    ]
    assert abs(found["table"][0]["macro_auroc"]["value"] - np.mean(areas)) < 1e-9
    about = {"title": "Made", "splits": {}, "remarks": ["a < b"], "seeds": 2}
    path = results.write(tmp_path, {**found, **about})
    assert "a &lt; b" in path.read_text()
    assert "sex: men" in path.read_text()


def test_classes_too_rare_to_judge_are_left_out_and_nothing_breaks(tmp_path: Path) -> None:
    task = made_task()
    task.targets_NC[:] = 0
    write_fit(tmp_path, Fit("from_scratch", 1.0, 0), np.full((COUNT, 2), 0.5))
    found = results.collect(task, tmp_path, [Fit("from_scratch", 1.0, 0)], None, positives_min=5)
    assert found["table"][0]["macro_auroc"]["value"] is None
    about = {"title": "Made", "splits": {}, "remarks": [], "seeds": 1}
    assert results.write(tmp_path, {**found, **about}).exists()
    assert "| from scratch | 100% | 7 | - |" in (tmp_path / "results.md").read_text()
