"""Figures with known answers, and bootstrap forms that equal repeating the recordings."""

import numpy as np
import pytest
from sklearn.metrics import f1_score, precision_score, recall_score, roc_auc_score

from ecgfm_core.downstream import bootstrap, metrics


def made(count: int = 120, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Give targets and probabilities of three classes, the second with ties."""
    random = np.random.default_rng(seed)
    target = (random.random((count, 3)) < (0.5, 0.3, 0.1)).astype(np.float32)
    probability = np.clip(0.3 + 0.25 * target + random.normal(0, 0.2, target.shape), 0, 1)
    probability[:, 1] = probability[:, 1].round(1)
    return target, probability


def test_the_threshold_is_that_of_the_largest_f1() -> None:
    target, probability = made()
    found = metrics.best_f1_thresholds(target, probability)
    for column in range(3):
        best = max(
            f1_score(target[:, column], probability[:, column] >= one) for one in np.unique(probability[:, column])
        )
        assert f1_score(target[:, column], probability[:, column] >= found[column]) == pytest.approx(best)


def test_a_clean_gap_is_split_in_its_middle() -> None:
    target = np.array([[0.0], [0], [1], [1]])
    np.testing.assert_allclose(metrics.best_f1_thresholds(target, np.array([[0.1], [0.2], [0.6], [0.9]])), 0.4)


def test_unknown_targets_count_for_nothing() -> None:
    target, probability = made()
    more = np.concatenate((target, np.full((50, 3), np.nan)))
    tail = np.concatenate((probability, np.random.default_rng(1).random((50, 3))))
    thresholds = metrics.best_f1_thresholds(target, probability)
    np.testing.assert_array_equal(metrics.best_f1_thresholds(more, tail), thresholds)
    assert metrics.by_class(more, tail, thresholds) == metrics.by_class(target, probability, thresholds)
    once, twice = np.ones((1, 120)), np.ones((1, 170))
    np.testing.assert_allclose(
        metrics.resampled_macro_auroc(more, tail, twice), metrics.resampled_macro_auroc(target, probability, once)
    )


def test_a_class_without_positives_is_said_to_have_none() -> None:
    target, probability = np.zeros((4, 1)), np.array([[0.1], [0.6], [0.7], [0.2]])
    thresholds = metrics.best_f1_thresholds(target, probability)
    assert thresholds == [0.5]
    (line,) = metrics.by_class(target, probability, thresholds)
    assert line == {"positives": 0, "auroc": None, "sensitivity": None, "precision": 0.0, "f1": None}
    assert np.isnan(metrics.resampled_macro_auroc(target, probability, np.ones((1, 4)))).all()


def test_figures_are_those_of_scikit_learn() -> None:
    target, probability = made()
    thresholds = metrics.best_f1_thresholds(target, probability)
    said, once = probability >= thresholds, np.ones((1, len(target)))
    for column, line in enumerate(metrics.by_class(target, probability, thresholds)):
        assert line["auroc"] == pytest.approx(roc_auc_score(target[:, column], probability[:, column]))
        assert line["sensitivity"] == pytest.approx(recall_score(target[:, column], said[:, column]))
        assert line["precision"] == pytest.approx(precision_score(target[:, column], said[:, column]))
        assert line["f1"] == pytest.approx(f1_score(target[:, column], said[:, column]))
    assert metrics.resampled_macro_auroc(target, probability, once)[0] == pytest.approx(
        roc_auc_score(target, probability)
    )
    for micro, average in ((False, "macro"), (True, "micro")):
        found = metrics.resampled_f1(target, said, once, micro=micro)[0]
        assert found == pytest.approx(f1_score(target, said, average=average))


def test_resamples_equal_repeating_the_recordings() -> None:
    target, probability = made()
    counts = bootstrap.resamples(len(target), seed=3, count=150)
    found = metrics.resampled_macro_auroc(target, probability, counts)
    for row in (0, 77, 149):
        repeated = roc_auc_score(np.repeat(target, counts[row], axis=0), np.repeat(probability, counts[row], axis=0))
        assert found[row] == pytest.approx(repeated)


def test_patients_are_drawn_whole() -> None:
    groups = ["a", "b", "a", "c", "b", "a"]
    counts = bootstrap.resamples(groups, seed=0, count=400)
    np.testing.assert_array_equal(counts[:, 0], counts[:, 2])
    np.testing.assert_array_equal(counts[:, 1], counts[:, 4])
    assert (counts[:, 0] + counts[:, 1] + counts[:, 3] == 3).all()
    assert counts[:, 3].mean() == pytest.approx(1, abs=0.15)


def test_an_interval_covers_the_truth_as_often_as_it_says() -> None:
    covered = 0
    for seed in range(60):
        random = np.random.default_rng(seed)
        target = (np.arange(150) % 2)[:, None].astype(float)
        score = random.normal(target, 1)  # the true area is P(N(1, 2) > 0) = 0.7602
        found = bootstrap.interval(metrics.resampled_macro_auroc, target, score, seed, count=300)
        covered += found.low <= 0.7602 <= found.high
    assert covered >= 52


def test_seeds_widen_an_interval() -> None:
    target, probability = made(400)
    noisy = np.stack(
        [probability + np.random.default_rng(seed).normal(0, 0.2 * seed, probability.shape) for seed in range(4)]
    )
    one = bootstrap.interval(metrics.resampled_macro_auroc, target, probability, seed=0)
    several = bootstrap.interval(metrics.resampled_macro_auroc, target, noisy, seed=0)
    assert several.high - several.low > 1.3 * (one.high - one.low)
    assert one == bootstrap.interval(metrics.resampled_macro_auroc, target, probability, seed=0)


def test_a_paired_difference_is_narrower_than_two_intervals_apart() -> None:
    target, probability = made(200)
    better = probability + 0.05 * target
    first, second = (bootstrap.draw(metrics.resampled_macro_auroc, target, one, 0) for one in (better, probability))
    paired, ratio = (first - second).interval(), (first / second).interval()
    assert 0 < paired.low < paired.value < paired.high
    assert 1 < ratio.low < ratio.high
    assert paired.high - paired.low < first.interval().high - first.interval().low


def test_what_is_not_defined_is_none_in_json() -> None:
    nothing = bootstrap.interval(metrics.resampled_macro_auroc, np.zeros((5, 2)), np.zeros((5, 2)), 0, count=10)
    assert nothing.to_dict() == {"value": None, "low": None, "high": None}
