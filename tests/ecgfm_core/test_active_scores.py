"""Scores against numpy, modAL and cases worked by hand."""

import numpy as np
import pytest
from modAL.uncertainty import classifier_entropy, classifier_margin
from sklearn.linear_model import LogisticRegression

from ecgfm_core.active import scores
from ecgfm_core.errors import LabelError


@pytest.fixture(name="probability_NC")
def class_probabilities() -> np.ndarray:
    return np.random.default_rng(0).dirichlet(np.ones(5), 200)


def test_uncertainty_equals_numpy(probability_NC: np.ndarray) -> None:
    np.testing.assert_allclose(scores.entropy(probability_NC), -(probability_NC * np.log2(probability_NC)).sum(axis=1))
    ordered_NC = np.sort(probability_NC, axis=1)
    np.testing.assert_allclose(scores.margin(probability_NC), ordered_NC[:, -1] - ordered_NC[:, -2])


def test_uncertainty_equals_modals_on_a_classifier() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(80, 3)), rng.integers(0, 3, 80)
    model = LogisticRegression().fit(x, y)
    probability = model.predict_proba(x)
    np.testing.assert_allclose(scores.entropy(probability) * np.log(2), classifier_entropy(model, x))
    np.testing.assert_allclose(scores.margin(probability), classifier_margin(model, x))


def test_two_classes_need_one_probability() -> None:
    np.testing.assert_allclose(scores.entropy(np.array([0.5, 1.0, 0.25])), [1.0, 0.0, 0.811278], atol=1e-6)
    np.testing.assert_allclose(scores.margin(np.array([0.5, 0.9])), [0.0, 0.8])


def test_disagreement_is_zero_where_models_agree_and_one_bit_where_they_oppose() -> None:
    votes_SN = np.array([[0.5, 0.0, 0.9], [0.5, 1.0, 0.9]])
    np.testing.assert_allclose(scores.disagreement(votes_SN), [0.0, 1.0, 0.0], atol=1e-9)


def test_label_error_is_the_cross_entropy_under_the_mean_of_the_seeds() -> None:
    given = np.array([0, 1, 1, -1])
    votes_SN = np.array([[0.9, 0.9, 0.0, 0.5], [0.7, 0.7, 0.0, 0.5]])
    found = scores.label_error_scores(given, votes_SN)
    np.testing.assert_allclose(found[:2], [-np.log(0.2), -np.log(0.8)])
    assert found[2] == pytest.approx(-np.log(scores.PROBABILITY_FLOOR))
    assert np.isnan(found[3])
    np.testing.assert_allclose(scores.label_error_scores(given, votes_SN.mean(axis=0)), found)


def test_one_doubtful_label_makes_the_set_doubtful() -> None:
    given_NC = np.array([[1, 0, 0, 0], [1, 0, 0, 0], [-1, -1, -1, -1], [-1, -1, -1, 1]])
    probability_NC = np.array([[0.9, 0.1, 0.1, 0.95], [0.9, 0.1, 0.1, 0.1], [0.5] * 4, [0.0, 0.0, 0.0, 0.25]])
    found = scores.label_set_scores(given_NC, probability_NC)
    assert found[0] > 2 > 0.2 > found[1]
    assert np.isnan(found[2])
    assert found[3] == pytest.approx(-np.log(0.25))
    assert scores.most_doubtful(given_NC, probability_NC).tolist()[0] == 3
    assert scores.most_doubtful(given_NC, probability_NC).tolist()[2:] == [-1, 3]


def test_shapes_and_values_that_do_not_fit_are_refused() -> None:
    with pytest.raises(LabelError, match="shapes must be equal"):
        scores.label_error_scores(np.zeros(3, int), np.zeros(4))
    with pytest.raises(LabelError, match="are allowed"):
        scores.label_error_scores(np.array([2]), np.array([0.5]))
