"""One table of meanings: every column of a prediction that is a score is in it, and people can read it."""

from pathlib import Path

import numpy as np
import pytest

from ecgfm_core.active import meanings
from ecgfm_core.active.scores import quality_score


def test_each_score_says_what_it_is_its_range_and_its_direction():
    assert len(set(meanings.NAMES)) == len(meanings.NAMES) == 11
    for score in meanings.SCORES:
        assert score.meaning.endswith("."), score.name
        assert score.title[0].isupper(), score.name
        assert score.read_first in meanings.READ_FIRST
        assert score.help.startswith(score.meaning)
    assert meanings.BY_NAME["label_error"].range == "0 to 13.82 nats"
    assert meanings.BY_NAME["novelty"].range == "from 0"
    assert meanings.BY_NAME["aum"].range == "any number of logits"
    assert meanings.BY_NAME["aum"].help.endswith("; low = read first.")
    assert meanings.BY_NAME["quality"].help == (
        "How likely people accept it as readable; below 0.5 it is refused. Signal-quality gate, 0 to 1."
    )


def test_what_has_no_value_is_left_out():
    said = {"label_error": 2.5, "novelty": None, "entropy": 0.0}
    shown = meanings.described(said)
    assert [(one["name"], one["value"]) for one in shown] == [("label_error", 2.5), ("entropy", 0.0)]
    assert shown[0]["read_first"] == "high = read first"
    assert [one["name"] for one in meanings.described(said, ("entropy",))] == ["entropy"]


@pytest.mark.parametrize(
    ("findings", "expected"),
    [
        ({"score": 0.37, "flat_leads": ["I"]}, 0.37),
        ({"flat_leads": [], "clipped_leads": [], "missing_leads": []}, 1.0),
        ({"flat_leads": ["I"], "clipped_leads": ["II"], "missing_leads": ["I"]}, 1 / 3),
        ({"flat_leads": ["I", "II", "V1"]}, 0.0),
        ({}, np.nan),
    ],
)
def test_quality_is_the_gates_score_or_the_share_of_leads(findings, expected):
    assert quality_score(findings, ["I", "II", "V1"]) == pytest.approx(expected, nan_ok=True)


def test_the_glossary_says_the_same():
    glossary = (Path(__file__).parents[2] / "docs/glossary.md").read_text(encoding="utf-8").splitlines()
    for score in meanings.SCORES:
        title = score.title[0].lower() + score.title[1:]
        assert f"| {title} | {score.help} | `Prediction.{score.name}` |" in glossary
