"""Cross-fitted probabilities: no patient on both sides, calibrated, and in words where they can't be had."""

import logging

import numpy as np
import pytest

from ecgfm_core.active import crossfit, scores
from ecgfm_core.active.crossfit import Heads, crossfit_label_probabilities, crossfit_probabilities, deal_folds
from ecgfm_core.errors import ConfigError, LabelError


def made(count: int, width: int = 16, seed: int = 0, wrong: float = 0.0) -> tuple[np.ndarray, ...]:
    """Embeddings with a linear truth, given labels with errors, patients with about 1.5 recordings each."""
    rng = np.random.default_rng(seed)
    embeddings = rng.normal(size=(count, width))
    truth = (embeddings @ rng.normal(size=width) + 0.5 * rng.normal(size=count) > 0).astype(int)
    errors = rng.random(count) < wrong
    return embeddings, np.where(errors, 1 - truth, truth), rng.integers(0, max(2, int(count / 1.5)), count), errors


@pytest.mark.parametrize("count", [30, 300, 3000])
def test_probabilities_find_wrong_labels(count: int) -> None:
    embeddings, given, groups, errors = made(count, wrong=0.1)
    probability_SN = crossfit_probabilities(embeddings, given, groups, seeds=(0, 1))
    assert probability_SN.shape == (2, count)
    assert ((probability_SN > 0) & (probability_SN < 1)).all()
    doubted = np.argsort(-scores.label_error_scores(given, probability_SN))[: max(1, errors.sum())]
    assert errors[doubted].mean() > (0.5 if count >= 300 else 0.2)


def test_no_patient_is_on_both_sides() -> None:
    _, labels, groups, _ = made(400)
    for seed in range(3):
        fold_N = deal_folds(labels, groups, 5, seed)
        assert all(np.unique(fold_N[groups == group]).size == 1 for group in np.unique(groups))
        assert min(labels[fold_N == fold].mean() for fold in range(5)) > 0.3
    assert (deal_folds(labels, groups, 5, 0) != deal_folds(labels, groups, 5, 1)).any()


def test_a_label_that_only_tells_the_patient_is_not_learned() -> None:
    """Each patient has their own embedding and a random label: a leak between folds would show as certainty."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(60), 6)
    embeddings = rng.normal(size=(60, 32))[groups] + 0.01 * rng.normal(size=(360, 32))
    labels = rng.integers(0, 2, 60)[groups]
    probability = crossfit_probabilities(embeddings, labels, groups).mean(axis=0)
    assert scores.confidence(labels, probability).mean() < 0.6


def test_probabilities_are_calibrated() -> None:
    rng = np.random.default_rng(0)
    embeddings = rng.normal(size=(4000, 16))
    given = (rng.random(4000) < 1 / (1 + np.exp(-1.5 * embeddings[:, 0] - embeddings[:, 1]))).astype(int)
    probability = crossfit_probabilities(embeddings, given, np.arange(4000), seeds=(0,))[0]
    for low in np.arange(0.0, 1.0, 0.2):
        inside = (probability >= low) & (probability < low + 0.2)
        assert given[inside].mean() == pytest.approx(probability[inside].mean(), abs=0.06)


def test_the_same_seeds_give_the_same_probabilities() -> None:
    embeddings, given, groups, _ = made(200)
    once = crossfit_probabilities(embeddings, given, groups, seeds=(3, 4))
    np.testing.assert_array_equal(once, crossfit_probabilities(embeddings, given, groups, seeds=(3, 4)))
    assert np.abs(once[0] - once[1]).max() > 1e-4


def test_unknown_labels_are_judged_and_not_learned_from() -> None:
    embeddings, given, groups, _ = made(600)
    hidden = np.arange(600) >= 400
    probability = crossfit_probabilities(embeddings, np.where(hidden, -1, given), groups).mean(axis=0)
    assert ((probability[hidden] > 0.5) == given[hidden]).mean() > 0.8


@pytest.mark.parametrize("positives", [0, 1, 3])
def test_a_class_too_small_to_learn_gets_the_base_rate_and_words(
    positives: int, caplog: pytest.LogCaptureFixture
) -> None:
    embeddings = made(100)[0]
    labels = np.zeros(100, dtype=int)
    labels[:positives] = 1
    with caplog.at_level(logging.WARNING):
        probability = crossfit_probabilities(embeddings, labels, np.arange(100), name="atrial flutter")
    assert np.isfinite(probability).all()
    assert probability.mean() < 0.2
    if positives < 2:
        assert "atrial flutter: " in caplog.text
        assert "base rate" in caplog.text


def test_fewer_patients_than_folds() -> None:
    embeddings, labels, _, _ = made(30)
    assert crossfit_probabilities(embeddings, labels, np.arange(30) % 3, fold_count=10).shape == (3, 30)


def test_each_label_of_a_set_has_its_own_heads() -> None:
    embeddings, first, groups, _ = made(300, seed=1)
    labels_NC = np.stack([first, 1 - first, np.full(300, -1)], axis=1)
    probability_SNC = crossfit_label_probabilities(embeddings, labels_NC, groups, seeds=(0, 1), names=("a", "b", "c"))
    assert probability_SNC.shape == (2, 300, 3)
    mean_NC = probability_SNC.mean(axis=0)
    assert np.corrcoef(mean_NC[:, 0], 1 - mean_NC[:, 1])[0, 1] > 0.98
    assert np.isnan(probability_SNC[:, :, 2]).all()


def test_half_precision_and_constant_columns() -> None:
    embeddings, labels, groups, _ = made(200)
    embeddings = np.concatenate([embeddings * 1000, np.full((200, 1), 7.0)], axis=1).astype(np.float16)
    assert np.isfinite(crossfit_probabilities(embeddings, labels, groups)).all()
    np.testing.assert_array_equal(crossfit.reduce(embeddings), crossfit.reduce(embeddings[:, :-1]))


def test_temperature_undoes_overconfidence() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=5000)
    labels = (rng.random(5000) < 1 / (1 + np.exp(-logits))).astype(int)
    assert crossfit.fit_temperature(3 * logits, labels) == pytest.approx(3, rel=0.1)


def test_what_does_not_fit_is_refused_in_words() -> None:
    embeddings, labels, groups, _ = made(40)
    with pytest.raises(LabelError, match="one row, label and patient"):
        crossfit_probabilities(embeddings, labels[:-1], groups)
    with pytest.raises(LabelError, match="are allowed"):
        crossfit_probabilities(embeddings, labels + 1, groups)
    with pytest.raises(LabelError, match="import labels first"):
        crossfit_probabilities(embeddings, np.full(40, -1), groups)
    with pytest.raises(ConfigError, match="no seed"):
        crossfit_probabilities(embeddings, labels, groups, seeds=())
    with pytest.raises(ConfigError, match="two patients"):
        crossfit_probabilities(embeddings, labels, np.zeros(40))
    embeddings[3, 2] = np.nan
    with pytest.raises(LabelError, match="1 embeddings hold"):
        crossfit_probabilities(embeddings, labels, groups)


def test_features_multiply_to_the_kernel_and_few_of_them_nearly_so() -> None:
    embeddings = np.random.default_rng(0).normal(size=(300, 20)).astype(np.float16)
    scaled = (embeddings - embeddings.mean(axis=0, dtype=float)) / embeddings.std(axis=0, dtype=float) / 20**0.5
    kernel = np.exp(-0.5 * np.square(scaled[:, None] - scaled[None]).sum(axis=-1))
    whole = crossfit.reduce(embeddings, rank_max=300)
    np.testing.assert_allclose(whole @ whole.T, kernel, atol=0.01)
    few = crossfit.reduce(embeddings, rank_max=40)
    assert few.shape == (300, 40)
    assert np.square(few @ few.T - kernel).mean() < 0.05 * np.square(kernel - kernel.mean()).mean()


def test_a_truth_that_is_no_line_is_learned() -> None:
    rng = np.random.default_rng(0)
    embeddings = rng.normal(size=(600, 4))
    truth = (embeddings[:, 0] * embeddings[:, 1] > 0).astype(int)
    probability_SN = crossfit_probabilities(embeddings, truth, np.arange(600), seeds=(0,))
    assert ((probability_SN[0] > 0.5) == truth).mean() > 0.85


def test_reducing_in_blocks_is_the_same_as_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    embeddings = np.random.default_rng(0).normal(size=(101, 30))
    at_once = crossfit.reduce(embeddings, rank_max=5)
    monkeypatch.setattr(crossfit, "BLOCK_ROWS", 7)
    np.testing.assert_allclose(np.abs(crossfit.reduce(embeddings, rank_max=5)), np.abs(at_once), atol=1e-4)


def test_wrong_labels_are_found_with_more_columns_than_recordings() -> None:
    rng = np.random.default_rng(0)
    narrow, given, groups, errors = made(200, wrong=0.1)
    wide = narrow @ rng.normal(size=(16, 512)) + 0.1 * rng.normal(size=(200, 512))
    probability_SN = crossfit_probabilities(wide, given, groups)
    doubted = np.argsort(-scores.label_error_scores(given, probability_SN))[: errors.sum()]
    assert errors[doubted].mean() > 0.5


def test_the_penalty_is_tuned_once_for_all_labels() -> None:
    embeddings, first, groups, _ = made(300)
    heads = Heads(embeddings, groups)
    assert heads.strength is None
    heads.probabilities(first)
    tuned = heads.strength
    assert tuned in crossfit.STRENGTHS
    rare = np.where(np.arange(300) < 25, 1, 0)
    assert heads.probabilities(rare, (0,), "rare").shape == (1, 300)
    assert heads.strength == tuned
