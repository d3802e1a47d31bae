"""Five ways to learn a task from a backbone: each learns, and is what its name says."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from ecgfm_core import configs, manifest
from ecgfm_core.downstream import learn
from ecgfm_core.downstream.learn import FINE_TUNED, FROM_SCRATCH, FROZEN_ATTENTION, RANDOM_FROZEN, ROWS, Recipe, Rows
from ecgfm_core.errors import TrainingError
from ecgfm_core.model.ecgfm import Ecgfm
from ecgfm_core.model.heads import AttentionHead, LinearHead
from ecgfm_core.model.text import TextTokenizer
from ecgfm_core.training.checkpoint import Checkpoint
from ecgfm_core.training.dataset import Cache
from ecgfm_core.training.metrics import auroc

from . import tiny_data

RECIPE = Recipe(batch=8, head_epochs=15, epochs=15, steps_min=60, learning_rate=3e-3, head_learning_rate=1e-2, looks=2)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Cache:
    """Give 24 + 8 + 8 recordings, upright and inverted T waves in turn."""
    folder = tmp_path_factory.mktemp("learn")
    manifest_path, waveforms = tiny_data.make(folder, count=24, validate=16)
    return Cache.open(folder / "cache", manifest.read(manifest_path), waveforms, 100.0, lambda _done, _total: None)


@pytest.fixture(scope="module")
def start() -> Checkpoint:
    """Give a network that has learnt nothing yet."""
    torch.manual_seed(5)
    config = configs.build("tiny_cpu", tiny_data.TINY)
    tokenizer = TextTokenizer([])
    return Checkpoint(Ecgfm(config, 2, tokenizer.count).eval(), config, ("a", "b"), tokenizer, {}, {})


def targets() -> np.ndarray:
    """Two classes: inverted, and its contrary."""
    inverted_N = np.arange(40, dtype=np.float32) % 2
    return np.stack((inverted_N, 1 - inverted_N), axis=1)


SPLIT = Rows(np.arange(24), np.arange(24, 32), np.arange(32, 40))


def trained(row: str, start: Checkpoint, cache: Cache, **changes: object) -> learn.Classifier:
    """Train one row on the made set."""
    given = {"targets_NC": targets(), "rows": SPLIT, "recipe": RECIPE, "seed": 0, **changes}
    return learn.train(row, start=start, cache=cache, **given)  # type: ignore[arg-type]


@pytest.mark.parametrize("row", ROWS)
def test_each_row_learns_what_a_network_can_see(row: str, start: Checkpoint, cache: Cache) -> None:
    steps: list[tuple[int, int]] = []
    found_RC = learn.fit(
        row, start=start, cache=cache, targets_NC=targets(), train_rows=SPLIT.train, validate_rows=SPLIT.validate,
        asked_rows=SPLIT.asked, recipe=RECIPE, seed=1, progress=lambda done, total: steps.append((done, total)),
    )  # fmt: skip
    assert found_RC.shape == (8, 2)
    assert found_RC.dtype == np.float32
    assert ((found_RC >= 0) & (found_RC <= 1)).all()
    assert auroc(targets()[SPLIT.asked, 0], found_RC[:, 0]) == 1.0
    assert steps[-1] == (60, 60)


@pytest.mark.parametrize("row", [FROZEN_ATTENTION, RANDOM_FROZEN])
def test_a_frozen_backbone_stays_as_it_was(row: str, start: Checkpoint, cache: Cache) -> None:
    before = {name: weight.clone() for name, weight in start.model.state_dict().items()}
    classifier = trained(row, start, cache)
    torch.manual_seed(0)
    expected = before if row == FROZEN_ATTENTION else Ecgfm(start.config, 2, start.tokenizer.count).state_dict()
    for name, weight in classifier.backbone.state_dict().items():
        assert torch.equal(weight, expected[name]), name


def test_fine_tuning_starts_from_the_given_weights_and_leaves_them_alone(start: Checkpoint, cache: Cache) -> None:
    before = {name: weight.clone() for name, weight in start.model.state_dict().items()}
    still = replace(RECIPE, learning_rate=1e-9, weight_decay=0.0)
    near = trained(FINE_TUNED, start, cache, recipe=still).backbone.state_dict()
    far = trained(FROM_SCRATCH, start, cache, recipe=still).backbone.state_dict()
    name = "encoder.layers.0.weights.weight"
    assert torch.allclose(near[name], before[name], atol=1e-5)
    assert not torch.allclose(far[name], before[name], atol=1e-2)
    assert all(torch.equal(weight, before[key]) for key, weight in start.model.state_dict().items())


def test_the_same_seed_gives_the_same_probabilities_and_another_does_not(start: Checkpoint, cache: Cache) -> None:
    found = [
        learn.probabilities(trained(FROM_SCRATCH, start, cache, seed=seed), cache, SPLIT.asked, RECIPE)
        for seed in (3, 3, 4)
    ]
    assert np.array_equal(found[0], found[1])
    assert not np.array_equal(found[0], found[2])


def test_targets_of_the_asked_and_unknown_targets_are_not_looked_at(start: Checkpoint, cache: Cache) -> None:
    plain = learn.probabilities(trained(FROZEN_ATTENTION, start, cache), cache, SPLIT.asked, RECIPE)
    hidden_NC = targets()
    hidden_NC[SPLIT.asked] = np.nan
    hidden = trained(FROZEN_ATTENTION, start, cache, targets_NC=hidden_NC)
    assert np.array_equal(plain, learn.probabilities(hidden, cache, SPLIT.asked, RECIPE))
    hidden_NC[:, 1] = np.nan
    partly = trained(FROZEN_ATTENTION, start, cache, targets_NC=hidden_NC)
    found_RC = learn.probabilities(partly, cache, SPLIT.asked, RECIPE)
    assert auroc(targets()[SPLIT.asked, 0], found_RC[:, 0]) == 1.0


def test_probabilities_come_in_the_order_asked_for(start: Checkpoint, cache: Cache) -> None:
    classifier = learn.Classifier(start.model, LinearHead(start.config.width, 2)).eval()
    rows = np.array([39, 2, 17])
    together = learn.probabilities(classifier, cache, rows, RECIPE)
    alone = np.concatenate([learn.probabilities(classifier, cache, rows[[place]], RECIPE) for place in range(3)])
    assert together == pytest.approx(alone, abs=1e-6)


def test_a_shorter_recording_is_padded_and_the_padding_not_seen(start: Checkpoint, tmp_path: Path) -> None:
    manifest_path, waveforms = tiny_data.make(tmp_path, count=4, validate=2, seconds=1.2)
    cache = Cache.open(tmp_path / "c", manifest.read(manifest_path), waveforms, 100.0, lambda _done, _total: None)
    heads = (LinearHead(start.config.width, 2), AttentionHead(start.config.width, 2))
    samples_1LT = torch.from_numpy(cache.samples(1)[None].astype(np.float32) * np.float32(0.001))
    for head in heads:
        classifier = learn.Classifier(start.model, head).eval()
        with torch.inference_mode():
            whole = classifier(samples_1LT, torch.tensor([samples_1LT.shape[2]])).sigmoid().numpy()
        assert learn.probabilities(classifier, cache, np.array([1]), RECIPE) == pytest.approx(whole, abs=1e-5)


def test_windows_cover_a_recording_and_are_as_many_as_allowed() -> None:
    config = configs.build("tiny_cpu", {"crop_s": 2.0, "windows_max": 6})
    assert learn.windows(150, config, 0.5) == [0]
    assert learn.windows(400, config, 0.5) == [0, 100, 200]
    assert learn.windows(430, config, 1.0) == [0, 115, 230]
    assert len(learn.windows(100 * 3600, config, 0.5)) <= 6


@pytest.mark.parametrize(
    ("row", "rows", "words"),
    [
        ("magic", SPLIT, "Row 'magic' is unknown; frozen_attention"),
        (FINE_TUNED, Rows(SPLIT.train, np.array([0, 30]), SPLIT.asked), r"\[0\] are trained on and held out"),
        (FINE_TUNED, Rows(SPLIT.train, SPLIT.validate, np.array([3])), r"\[3\] are trained on and held out"),
        (FINE_TUNED, Rows(SPLIT.train[:0], SPLIT.validate, SPLIT.asked), "0 recordings to train on"),
    ],
)
def test_what_cannot_be_a_fair_row_is_refused(
    row: str, rows: Rows, words: str, start: Checkpoint, cache: Cache
) -> None:
    with pytest.raises(TrainingError, match=words):
        trained(row, start, cache, rows=rows)
