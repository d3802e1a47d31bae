"""The gate's arithmetic: made models whose difference is known, and what the interval says of it."""

import numpy as np
import pytest
from scipy.stats import norm

from ecgfm_core import resampling
from ecgfm_core.errors import ConfigError, LabelError
from ecgfm_core.noninferiority import Verdict, compare, judge
from ecgfm_core.resampling import Ranked
from ecgfm_core.training.metrics import auroc

LARGE = 3000


def models(count: int, share: float, old_area: float, new_area: float, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Targets and two alike models with these areas: one sees more noise on top of what both see."""
    rng = np.random.default_rng(seed)
    target_N = (rng.random(count) < share).astype(float)
    seen_N = rng.normal(size=count)

    def said(area: float) -> np.ndarray:
        shift = np.sqrt(2) * norm.ppf(area)
        return target_N * shift + 0.95 * seen_N + np.sqrt(1 - 0.95**2) * rng.normal(size=count)

    return target_N[:, None], said(old_area)[:, None], said(new_area)[:, None]


def line(*given: np.ndarray, **options: object):
    groups = np.arange(len(given[0]))
    return compare(*given, groups, ["label"], **{"count": 200, **options})[0]


@pytest.mark.parametrize(
    ("old", "new", "verdict"),
    [
        (0.85, 0.95, Verdict.BETTER),
        (0.90, 0.90, Verdict.NOT_INFERIOR),
        (0.90, 0.85, Verdict.INFERIOR),
    ],
)
def test_verdicts_with_enough_positives(old, new, verdict):
    found = line(*models(LARGE, 0.3, old, new))
    assert found.verdict == verdict
    assert found.current == pytest.approx(old, abs=0.02)
    assert found.difference == pytest.approx(new - old, abs=0.03)
    assert found.low < found.difference < found.high


def test_the_same_model_is_never_inferior():
    target, said, _ = models(400, 0.3, 0.8, 0.8)
    found = line(target, said, said)
    assert (found.low, found.difference, found.high) == (0, 0, 0)
    assert found.verdict == Verdict.NOT_INFERIOR


def test_few_positives_are_not_judged_unless_the_loss_is_sure():
    assert line(*models(300, 0.1, 0.9, 0.88)).verdict == Verdict.TOO_FEW
    assert line(*models(300, 0.1, 0.97, 0.55)).verdict == Verdict.INFERIOR
    target, old, new = models(300, 0.1, 0.97, 0.55)
    target[np.flatnonzero(target == 1)[9:]] = 0
    assert line(target, old, new).verdict == Verdict.TOO_FEW


@pytest.mark.parametrize(
    ("fewest", "low", "high", "known", "verdict"),
    [
        (100, -0.02, 0.01, True, Verdict.NOT_INFERIOR),
        (100, -0.0201, 0.01, True, Verdict.INFERIOR),
        (99, -0.5, 0.01, True, Verdict.TOO_FEW),
        (99, -0.5, -0.021, True, Verdict.INFERIOR),
        (9, -0.5, -0.3, True, Verdict.TOO_FEW),
        (100, np.nan, np.nan, False, Verdict.LOST),
        (99, np.nan, np.nan, False, Verdict.TOO_FEW),
    ],
)
def test_the_rule_at_its_edges(fewest, low, high, known, verdict):
    assert judge(fewest, low, high, known, margin=0.02, positives_min=100) == verdict


def test_a_label_that_the_new_model_lacks_is_lost_and_unknown_targets_count_for_nothing():
    target, old, new = models(LARGE, 0.3, 0.9, 0.9)
    lost = line(target, old, np.full_like(new, np.nan))
    assert (lost.verdict, lost.candidate, lost.difference) == (Verdict.LOST, None, None)
    target[::2] = np.nan
    half = line(target, old, new)
    assert half.positives + half.negatives == LARGE // 2
    assert half.current == pytest.approx(auroc(target[:, 0], old[:, 0]))


def test_a_label_without_both_classes_has_no_area():
    target, old, new = models(50, 0.3, 0.9, 0.9)
    found = line(np.zeros_like(target), old, new)
    assert (found.current, found.difference, found.low, found.verdict) == (None, None, None, Verdict.TOO_FEW)


def test_patients_are_drawn_whole_so_that_repeats_widen_the_interval():
    given = models(400, 0.3, 0.9, 0.9)
    repeated = tuple(np.repeat(array, 4, axis=0) for array in given)
    apart = compare(*repeated, np.arange(1600), ["x"], count=200)[0]
    together = compare(*repeated, np.repeat(np.arange(400), 4), ["x"], count=200)[0]
    once = compare(*given, np.arange(400), ["x"], count=200)[0]
    assert together.high - together.low == pytest.approx(once.high - once.low, rel=0.25)
    assert together.high - together.low > 1.5 * (apart.high - apart.low)


def test_the_chance_to_pass_with_just_the_margin_lost_is_small():
    """At the margin itself 2.5 % pass in theory; 60 small worlds would show a gate that is open."""
    passed = sum(
        line(*models(800, 0.4, 0.90, 0.88, seed=seed), count=100).verdict != Verdict.INFERIOR for seed in range(60)
    )
    assert passed <= 6


def test_an_area_resampled_is_the_area_of_the_repeated_recordings():
    rng = np.random.default_rng(3)
    target, value = (rng.random(60) < 0.4).astype(float), rng.integers(0, 9, 60).astype(float)
    for counts in resampling.drawn(rng.integers(30, size=60), seed=1, count=3):
        areas = Ranked(target, value).auroc(counts)
        for area, row in zip(areas, counts, strict=True):
            assert area == pytest.approx(auroc(np.repeat(target, row), np.repeat(value, row)))
    assert Ranked(target, value).area == pytest.approx(auroc(target, value))


def test_resamples_repeat_with_their_seed_and_keep_patients_together():
    groups = np.repeat(np.arange(20), 3)
    (one,), (two,) = (list(resampling.drawn(groups, seed=5, count=7)) for _ in range(2))
    assert np.array_equal(one, two)
    assert (one.sum(axis=1) == 60).all()
    assert (one[:, ::3] == one[:, 2::3]).all()


def test_bad_input_is_refused_in_words():
    target, old, new = models(50, 0.3, 0.9, 0.9)
    with pytest.raises(LabelError, match="one row a recording"):
        line(target, old[:-1], new)
    with pytest.raises(ConfigError, match="margin 0"):
        line(target, old, new, margin=0)
