"""A model's figures on recordings it never saw, against counts made by hand."""

from dataclasses import replace

import numpy as np
import pytest

from ecgfm_core.errors import LabelError
from ecgfm_core.model_metrics import Split, figures
from ecgfm_core.training.metrics import auroc


@pytest.fixture(scope="module")
def split() -> Split:
    """Two hundred recordings: 60 of 80 abnormal ones are called so, and 12 of 120 normal ones."""
    rng = np.random.default_rng(0)
    abnormal = np.repeat([1.0, 0.0], [80, 120])
    probability = np.concatenate([np.repeat([0.8, 0.3], [60, 20]), np.repeat([0.7, 0.1], [12, 108])])
    target = np.stack([(rng.random(200) < 0.3).astype(float), np.eye(200)[0]], axis=1)
    return Split(
        abnormal_N=abnormal, probability_N=probability, target_NC=target, label_probability_NC=rng.random((200, 2)),
        codes=["common", "rare"], patients=np.arange(200),
        groups={"Sex": np.tile(["Female", "Male"], 100), "Centre": np.repeat(["A", "", "B"], [10, 150, 40])},
    )  # fmt: skip


def test_calls_at_the_threshold_are_counted(split):
    found = figures(split, 0.5, count=200)
    whole = found["abnormal"]
    assert (whole["recordings"], whole["positives"], whole["negatives"]) == (200, 80, 120)
    assert whole["sensitivity"][0] == pytest.approx(60 / 80)
    assert whole["specificity"][0] == pytest.approx(108 / 120)
    assert whole["f1"][0] == pytest.approx(120 / (120 + 20 + 12))
    assert whole["auroc"][0] == pytest.approx(auroc(split.abnormal_N, split.probability_N))
    for name in ("auroc", "sensitivity", "specificity", "f1"):
        value, low, high = whole[name]
        assert low < value < high
    # Of 80 the interval of three quarters is about 0.65 to 0.84.
    assert whole["sensitivity"][1:] == pytest.approx([0.65, 0.84], abs=0.04)


def test_subgroups_and_labels_with_too_few_have_counts_alone(split):
    found = figures(split, 0.5, count=100)
    assert [group["name"] for group in found["groups"]["Sex"]] == ["Female", "Male"]
    assert found["groups"]["Sex"][0]["recordings"] == 100
    assert found["groups"]["Sex"][0]["sensitivity"] is not None
    assert [(group["name"], group["auroc"]) for group in found["groups"]["Centre"]] == [("A", None), ("B", None)]
    common, rare = found["labels"]
    assert (rare["positives"], rare["auroc"]) == (1, None)
    assert found["macro_auroc"][0] == pytest.approx(common["auroc"][0])


def test_what_is_unknown_counts_for_nothing_and_nothing_at_all_is_no_figure(split):
    abnormal = split.abnormal_N.copy()
    abnormal[::2] = np.nan
    half = figures(replace(split, abnormal_N=abnormal), 0.5, count=50)["abnormal"]
    assert (half["recordings"], half["positives"] + half["negatives"]) == (200, 100)
    empty = Split(
        *(np.empty(0), np.empty(0), np.empty((0, 2)), np.empty((0, 2))), codes=["a", "b"], patients=np.empty(0),
        groups={"Sex": np.empty(0, dtype=str)},
    )  # fmt: skip
    none = figures(empty, 0.5)
    assert none["abnormal"]["auroc"] is None
    assert none["macro_auroc"] is None


def test_the_same_seed_gives_the_same_interval(split):
    assert figures(split, 0.5, count=60) == figures(split, 0.5, count=60)


def test_arrays_that_do_not_belong_together_are_refused(split):
    with pytest.raises(LabelError, match="one row a recording"):
        figures(replace(split, codes=["common"]), 0.5)
