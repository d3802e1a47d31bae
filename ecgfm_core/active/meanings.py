"""What each stored score means, in one table: for the help of the columns, the pages, the API and the glossary.

Names are those of the prediction's columns. "Models" are the committee of small heads on the network's embeddings, see
`ecgfm_core.active.doubt`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

READ_FIRST = {"high": "high = read first", "low": "low = read first", "": ""}


@dataclass(frozen=True)
class Score:
    """One score of a recording.

    Attributes
    ----------
    name : of the column
    title : the name that people see
    meaning : one sentence
    low, high : range; None is without bound
    unit : of the value, empty for a share or a probability
    read_first : which end gains most from a reader; empty where neither does
    """

    name: str
    title: str
    meaning: str
    low: float | None
    high: float | None
    unit: str = ""
    read_first: Literal["high", "low", ""] = ""

    @property
    def range(self) -> str:
        """Range and unit in words."""
        if self.low is None or self.high is None:
            return f"from {self.low:g} {self.unit}".strip() if self.low is not None else f"any number of {self.unit}"
        return f"{self.low:g} to {self.high:g} {self.unit}".strip()

    @property
    def help(self) -> str:
        """Meaning, range and direction in one line."""
        direction = READ_FIRST[self.read_first]
        return f"{self.meaning} {self.range[0].upper()}{self.range[1:]}{f'; {direction}' if direction else ''}."


SCORES: tuple[Score, ...] = (
    Score(
        "crossfit_abnormal_probability", "Abnormal, unseen",
        "Mean probability of abnormal under models that never saw this patient; none without a label to doubt.", 0, 1,
    ),
    Score(
        "label_error", "Label error",
        "How much models that never saw this patient contradict normal or abnormal on file (cross-entropy).",
        0, 13.82, "nats", "high",
    ),
    Score(
        "label_set_error", "Error in any label",
        "The same for all labels on file together: one contradicted label is enough (soft minimum).",
        0, 13.82, "nats", "high",
    ),
    Score(
        "aum", "Margin in training",
        "By how much normal or abnormal on file won over the other while a model learned it (area under the margin).",
        None, None, "logits", "low",
    ),
    Score(
        "entropy", "Ambiguity",
        "How undecided normal against abnormal is (entropy of the models' mean probability).", 0, 1, "bit", "high",
    ),
    Score(
        "margin", "Lead of the likelier answer",
        "By how much the likelier of normal and abnormal leads in the models' mean probability.", 0, 1, "", "low",
    ),
    Score(
        "epistemic", "Lack of data",
        "How much a reader's answer would tell which of the models is right (mutual information, BALD).",
        0, 1, "bit", "high",
    ),
    Score(
        "vote_entropy", "Split vote",
        "How evenly the models' votes for normal and abnormal are split (entropy of the votes).", 0, 1, "bit", "high",
    ),
    Score(
        "kl_disagreement", "Strongest dissent",
        "How far the model that differs most is from the mean of all (Kullback-Leibler divergence).",
        0, None, "bit", "high",
    ),
    Score(
        "novelty", "Novelty",
        "How unlike it is to what has been read: mean distance to the nearest annotated recordings, where 1 is usual "
        "between two recordings.", 0, None, "", "high",
    ),
    Score("quality", "Signal quality", "How much of the signal can be read; 1 is all of it.", 0, 1),
)  # fmt: skip
NAMES: tuple[str, ...] = tuple(score.name for score in SCORES)
BY_NAME: dict[str, Score] = {score.name: score for score in SCORES}


def described(values: Mapping[str, Any], names: Iterable[str] = NAMES) -> list[dict[str, Any]]:
    """Return the scores that have a value, each with its name, title, meaning, range and direction."""
    return [
        {
            "name": name,
            "title": BY_NAME[name].title,
            "value": values[name],
            "meaning": BY_NAME[name].meaning,
            "range": BY_NAME[name].range,
            "read_first": READ_FIRST[BY_NAME[name].read_first],
        }
        for name in names
        if values.get(name) is not None
    ]
