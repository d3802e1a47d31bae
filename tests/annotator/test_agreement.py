"""The statistics of a round's report, against values known from elsewhere."""

import pytest

from annotator.selectors.shares import cohen_kappa, share, wilson


def test_wilson_interval():
    assert wilson(0, 0) is None
    assert wilson(0, 10) == pytest.approx([0.0, 0.2775], abs=1e-4)
    assert wilson(10, 10) == pytest.approx([0.7225, 1.0], abs=1e-4)
    assert wilson(5, 50) == pytest.approx([0.0435, 0.2136], abs=1e-4)


def test_cohen_kappa():
    # Twenty, five, ten, fifteen: the usual textbook table, kappa 0.4.
    table = [("yes", "yes")] * 20 + [("yes", "no")] * 5 + [("no", "yes")] * 10 + [("no", "no")] * 15
    assert cohen_kappa(table) == pytest.approx(0.4)
    assert cohen_kappa([]) is None
    assert cohen_kappa([("yes", "yes")] * 3) is None
    assert cohen_kappa([("a", "b"), ("b", "a")]) == pytest.approx(-1)


def test_a_share_of_nothing_is_none():
    assert share(0, 0) == {"count": 0, "of": 0, "share": None, "interval_95": None}
