"""Figures of a prospective test against scikit-learn and SciPy, thresholds and drift by hand."""

import numpy as np
import pytest
from scipy.stats import ks_2samp
from sklearn.metrics import f1_score, precision_score, recall_score

from ecgfm_core import prospective
from ecgfm_core.errors import ConfigError
from ecgfm_core.intervals import wilson


@pytest.mark.parametrize("seed", range(5))
def test_figures_are_those_of_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    truth, said = rng.random(200) < 0.4, rng.random(200) < 0.5
    found = prospective.judge(truth, said)
    assert found.recall.value == pytest.approx(recall_score(truth, said))
    assert found.precision.value == pytest.approx(precision_score(truth, said))
    assert found.f1.value == pytest.approx(f1_score(truth, said))
    assert (found.read, found.positives) == (200, truth.sum())
    assert found.enough
    for figure in (found.recall, found.precision, found.f1):
        assert figure.low < figure.value < figure.high


def test_the_papers_three_figures_fit_together():
    recall, precision = prospective.PAPER["recall"], prospective.PAPER["precision"]
    assert 2 * recall * precision / (recall + precision) == pytest.approx(prospective.PAPER["f1"], abs=1e-4)


def test_the_interval_of_f1_is_that_of_drawing_recordings_anew():
    rng = np.random.default_rng(3)
    truth = rng.random(150) < 0.4
    said = truth ^ (rng.random(150) < 0.15)
    drawn = [rng.integers(0, 150, 150) for _ in range(1500)]
    low, high = np.percentile([f1_score(truth[rows], said[rows]) for rows in drawn], [2.5, 97.5])
    found = prospective.judge(truth, said).f1
    assert found.low == pytest.approx(low, abs=0.012)
    assert found.high == pytest.approx(high, abs=0.012)
    assert prospective.judge(truth, said, seed=0).f1 == found, "the same seed gives the same interval"
    assert prospective.judge(truth, said, seed=1).f1 != found


def test_nothing_and_one_sided_things_have_no_figure():
    empty = prospective.judge([], [])
    assert (empty.recall.value, empty.precision.value, empty.f1.value, empty.read) == (None, None, None, 0)
    healthy = prospective.judge([False] * 5, [False] * 5)
    assert healthy.f1.value is None
    silent = prospective.judge([True] * 5, [False] * 5)
    assert (silent.recall.value, silent.precision.value, silent.f1.value) == (0.0, None, 0.0)
    assert not silent.enough
    with pytest.raises(ConfigError, match="2 truths and 1 calls"):
        prospective.judge([True, False], [True])


def test_wilson_of_textbook_counts():
    assert wilson(0, 0) is None
    assert wilson(0, 10) == pytest.approx([0, 0.2775], abs=1e-4)
    assert wilson(81, 263) == pytest.approx([0.2553, 0.3662], abs=1e-4)  # Newcombe 1998


def test_the_threshold_has_the_largest_f1_of_all():
    rng = np.random.default_rng(4)
    truth = rng.random(300) < 0.3
    probability = np.clip(np.round(0.3 * truth + rng.normal(0.3, 0.15, 300), 2), 0, 1)  # with ties
    threshold = prospective.best_threshold(truth, probability)
    tried = [f1_score(truth, probability >= cut) for cut in np.arange(0.005, 1, 0.01)]
    assert f1_score(truth, probability >= threshold) == pytest.approx(max(tried))
    assert prospective.best_threshold([True] * 9 + [False] * 50, np.linspace(0, 1, 59)) is None
    assert prospective.best_threshold([True] * 20 + [False] * 10, [1.0] * 20 + [0.0] * 10) == 0.5


@pytest.mark.parametrize(("shift", "alarm"), [(0.0, False), (0.6, True)])
def test_drift_is_the_kolmogorov_smirnov_distance(shift, alarm):
    rng = np.random.default_rng(5)
    reference, scores = rng.beta(2, 5, 400), np.clip(rng.beta(2, 5, 60) + shift, 0, 1)
    found = prospective.drift(sorted(reference), scores, 400)
    expected = ks_2samp(reference, scores, method="asymp")
    assert found.distance == pytest.approx(expected.statistic)
    assert found.alarm is alarm
    assert bool(expected.pvalue < prospective.DRIFT_ALPHA) is alarm


def test_a_limit_that_holds_on_days_without_drift():
    rng = np.random.default_rng(6)
    reference = sorted(rng.random(500))
    alarms = [prospective.drift(reference, rng.random(12), 500).alarm for _ in range(1000)]
    assert sum(alarms) <= 3


def test_few_scores_are_not_judged_and_none_have_no_drift():
    few = prospective.drift([0.1] * 100, [0.9] * 9, 100)
    assert (few.distance, few.judged, few.alarm) == (1.0, False, False)
    assert prospective.drift([], [0.5], 0) is None
    assert prospective.drift([0.5], [], 1) is None


def test_a_thinned_reference_keeps_its_shape():
    scores = np.random.default_rng(7).beta(2, 5, 20_000)
    kept = prospective.thinned(scores)
    assert len(kept) == prospective.REFERENCE_MAX
    assert ks_2samp(scores, kept).statistic < 0.002
    assert prospective.thinned([0.3, 0.1]) == [0.1, 0.3]
