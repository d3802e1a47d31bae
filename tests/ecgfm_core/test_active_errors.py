"""Injected label errors: how many, of which kind, and never without being a change."""

import numpy as np
import pytest

from ecgfm_core.active.errors import KINDS, inject, weak_probabilities
from ecgfm_core.errors import ConfigError

CLASSES = np.random.default_rng(0).integers(0, 4, 1000)
CENTRES = np.random.default_rng(1).choice(["a", "b", "c", "d"], 1000)
CONFUSION = np.array([[0, 1, 0, 0], [1, 0, 3, 0], [0, 0, 0, 1], [0, 0, 0, 5]])
FEATURES = CLASSES[:, None] + 1.2 * np.random.default_rng(2).normal(size=(1000, 6))


def injected(kind: str, rate: float = 0.1, seed: int = 0) -> np.ndarray:
    return inject(
        CLASSES,
        4,
        rate=rate,
        kind=kind,
        seed=seed,
        confusion_CC=CONFUSION,
        probability_NC=weak_probabilities(FEATURES, CLASSES, 4),
        centres_N=CENTRES,
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rate", [0.0, 0.05, 0.2])
def test_exactly_the_rate_is_wrong_and_the_seed_decides_where(kind: str, rate: float) -> None:
    given = injected(kind, rate)
    assert (given != CLASSES).sum() == round(1000 * rate)
    assert set(given) <= {0, 1, 2, 3}
    np.testing.assert_array_equal(given, injected(kind, rate))
    if rate:
        assert (given != injected(kind, rate, seed=1)).any()


def test_uniform_errors_spread_over_all_pairs() -> None:
    given = injected("uniform", 0.4)
    pairs = {(true, now) for true, now in zip(CLASSES.tolist(), given.tolist(), strict=True) if true != now}
    assert len(pairs) == 12


def test_class_conditional_errors_follow_the_confusion_matrix() -> None:
    given = injected("class_conditional", 0.2)
    wrong = given != CLASSES
    assert not (wrong & (CLASSES == 3)).any()
    assert set(given[wrong & (CLASSES == 0)]) == {1}
    of_one = given[wrong & (CLASSES == 1)]
    assert (of_one == 2).mean() == pytest.approx(0.75, abs=0.12)


def test_instance_dependent_errors_lie_where_a_weak_model_errs() -> None:
    probability_NC = weak_probabilities(FEATURES, CLASSES, 4)
    np.testing.assert_allclose(probability_NC.sum(axis=1), 1)
    sure_N = probability_NC[np.arange(1000), CLASSES]
    wrong = injected("instance_dependent") != CLASSES
    assert sure_N[wrong].mean() < sure_N[~wrong].mean() - 0.1


def test_centre_specific_errors_stay_in_half_of_the_centres_with_one_habit_a_class() -> None:
    given = injected("centre_specific", 0.2)
    wrong = given != CLASSES
    assert len(set(CENTRES[wrong])) == 2
    for centre in set(CENTRES[wrong]):
        for true in range(4):
            assert len(set(given[wrong & (centre == CENTRES) & (true == CLASSES)])) <= 1


def test_what_does_not_fit_is_refused_in_words() -> None:
    with pytest.raises(ConfigError, match="known are uniform"):
        injected("malicious")
    with pytest.raises(ConfigError, match=r"0 to 0\.5"):
        injected("uniform", 0.7)
    with pytest.raises(ConfigError, match="need confusion_CC"):
        inject(CLASSES, 4, rate=0.1, kind="class_conditional", seed=0)
    with pytest.raises(ConfigError, match="classes must lie in"):
        inject(CLASSES, 3, rate=0.1, kind="uniform", seed=0)
    with pytest.raises(ConfigError, match="lower the rate"):
        inject(np.full(10, 3), 4, rate=0.1, kind="class_conditional", seed=0, confusion_CC=CONFUSION)
