"""Area under the margin: errors made on purpose have a low one, and it is the mean over the epochs."""

import numpy as np
import pytest
from scipy.special import expit
from sklearn.metrics import average_precision_score

from ecgfm_core.active import dynamics
from ecgfm_core.active.crossfit import deal_folds, reduce, sample
from ecgfm_core.active.dynamics import area_under_margin


def made(count: int = 600, width: int = 20, rate: float = 0.1, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Features, given labels, and which of them are wrong."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(count, width))
    truth = (features @ rng.normal(size=width) / np.sqrt(width) + 0.3 * rng.normal(size=count) > 0).astype(int)
    wrong = rng.random(count) < rate
    return reduce(features), np.where(wrong, 1 - truth, truth), wrong


def test_it_is_the_mean_margin_over_the_epochs():
    features, given, _ = made(80, 5)
    x = features.astype(float) - features.mean(axis=0, dtype=float)
    x /= x.std()
    step = 1 / (0.25 * max(np.linalg.eigvalsh(x.T @ x / 80)[-1], 1))
    weight, intercept, margins = np.zeros(x.shape[1]), 0.0, []
    for _ in range(10):
        missed = expit(x @ weight + intercept) - given
        weight, intercept = weight - step * x.T @ missed / 80, intercept - step * missed.mean()
        margins.append((x @ weight + intercept) * (2 * given - 1))
    np.testing.assert_allclose(area_under_margin(features, given, epochs=10), np.mean(margins, axis=0), rtol=1e-3)


@pytest.mark.parametrize("rate", [0.1, 0.2])
def test_wrong_labels_have_a_low_margin(rate):
    found = []
    for seed in range(3):
        features, given, wrong = made(rate=rate, seed=seed)
        found.append(average_precision_score(wrong, -area_under_margin(features, given)))
    assert np.mean(found) > 3 * rate


def test_in_sample_dynamics_find_as_many_errors_as_those_of_other_folds():
    """Why no folds are dealt: what a head of other folds would say is no better, and costs five times as much."""
    inside, outside = [], []
    for seed in range(6):
        features, given, wrong = made(400, 30, 0.15, seed)
        fold_N = deal_folds(given, np.arange(400), 5, seed)
        other_N = np.empty(400)
        for fold in range(5):
            held = fold_N == fold
            mean_R = features[~held].mean(axis=0, dtype=float)
            scale = (features[~held] - mean_R).std()
            weight_R, intercept = dynamics._mean_weights(
                (features[~held] - mean_R) / scale, given[~held], dynamics.EPOCHS
            )
            logit = (features[held] - mean_R) / scale @ weight_R + intercept
            other_N[held] = np.where(given[held] == 1, logit, -logit)
        inside.append(average_precision_score(wrong, -area_under_margin(features, given)))
        outside.append(average_precision_score(wrong, -other_N))
    assert np.mean(inside) > np.mean(outside) - 0.01


def test_where_there_is_no_margin():
    features, given, _ = made(60)
    hidden = np.where(np.arange(60) < 20, -1, given)
    margin = area_under_margin(features, hidden)
    assert np.isnan(margin[:20]).all()
    assert np.isfinite(margin[20:]).all()
    for labels in (np.ones(60, int), np.full(60, -1), np.where(np.arange(60) < 5, 0, -1)):
        assert np.isnan(area_under_margin(features, labels)).all()


def test_a_sample_teaches_the_same(monkeypatch):
    features, given, wrong = made(3000)
    whole = area_under_margin(features, given)
    monkeypatch.setattr(dynamics, "TRAIN_MAX", 800)
    drawn = area_under_margin(features, given)
    assert np.corrcoef(whole, drawn)[0, 1] > 0.95
    assert average_precision_score(wrong, -drawn) > 0.9 * average_precision_score(wrong, -whole)


def test_a_rare_class_is_drawn_whole_and_the_logits_know_it():
    labels = np.where(np.arange(10_000) % 200 == 0, 1, 0)
    labels[5:8] = -1
    rows, offset = sample(labels, 400, seed=0)
    assert (rows.size, (labels[rows] == 1).sum()) == (400, 50)
    assert not np.isin([5, 6, 7], rows).any()
    assert offset == pytest.approx(np.log((50 / 50) / (350 / 9947)), rel=1e-3)
    everything, none = sample(labels, 10_000, seed=0)
    assert (everything.size, none) == (9997, 0.0)
    balanced, small = sample(np.arange(1000) % 2, 100, seed=0)
    assert (balanced.size, small) == (100, 0.0)
    one_class, nothing = sample(np.zeros(1000, int), 100, seed=0)
    assert (one_class.size, nothing) == (100, 0.0)
