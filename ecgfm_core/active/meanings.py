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
    method : what is computed, in the words of the literature
    low, high : range; None is without bound
    unit : of the value, empty for a share or a probability
    read_first : which end gains most from a reader; empty where neither does
    """

    name: str
    title: str
    meaning: str
    method: str
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
        """Meaning, method, range and direction in one line."""
        return f"{self.meaning} {self.method[0].upper()}{self.method[1:]}, {self.scale}."

    @property
    def scale(self) -> str:
        """Range and direction in words."""
        return "; ".join(filter(None, (self.range, READ_FIRST[self.read_first])))


SCORES: tuple[Score, ...] = (
    Score(
        "crossfit_abnormal_probability", "Abnormal, unseen",
        "Probability of abnormal under models that never saw this patient; none without a label to doubt.",
        "mean of the models", 0, 1,
    ),
    Score(
        "label_error", "Label error",
        "How far models that never saw this patient contradict normal or abnormal on file.",
        "cross-entropy", 0, 13.82, "nats", "high",
    ),
    Score(
        "label_set_error", "Error in any label",
        "The same over all labels on file: one contradicted label is enough.",
        "cross-entropy of the soft minimum", 0, 13.82, "nats", "high",
    ),
    Score(
        "aum", "Margin in training",
        "How clearly normal or abnormal on file won over the other while a model learned it.",
        "area under the margin", None, None, "logits", "low",
    ),
    Score(
        "entropy", "Ambiguity",
        "How undecided the models together are between normal and abnormal.",
        "entropy of the mean probability", 0, 1, "bit", "high",
    ),
    Score(
        "margin", "Lead of the likelier answer",
        "By how much the likelier of normal and abnormal leads.",
        "margin of the mean probability", 0, 1, "", "low",
    ),
    Score(
        "epistemic", "Lack of data",
        "How far the models differ among themselves: more recordings like this one would settle it.",
        "mutual information, BALD", 0, 1, "bit", "high",
    ),
    Score(
        "vote_entropy", "Split vote",
        "How evenly the models' votes for normal and abnormal are split.",
        "entropy of the votes", 0, 1, "bit", "high",
    ),
    Score(
        "kl_disagreement", "Strongest dissent",
        "How far the model that differs most is from all of them together.",
        "Kullback-Leibler divergence", 0, None, "bit", "high",
    ),
    Score(
        "novelty", "Novelty",
        "How unlike it is to the recordings that were read; 1 is usual between any two recordings.",
        "mean distance to the nearest in the embeddings", 0, None, "", "high",
    ),
    Score(
        "quality", "Signal quality", "How likely people accept it as readable; below 0.5 it is refused.",
        "signal-quality gate", 0, 1,
    ),
)  # fmt: skip
NAMES: tuple[str, ...] = tuple(score.name for score in SCORES)
BY_NAME: dict[str, Score] = {score.name: score for score in SCORES}


def described(values: Mapping[str, Any], names: Iterable[str] = NAMES) -> list[dict[str, Any]]:
    """Return the scores that have a value, each with its name, title, meaning, method, range and direction."""
    return [
        {
            "name": name,
            "title": BY_NAME[name].title,
            "value": values[name],
            "meaning": BY_NAME[name].meaning,
            "method": BY_NAME[name].method,
            "range": BY_NAME[name].range,
            "read_first": READ_FIRST[BY_NAME[name].read_first],
        }
        for name in names
        if values.get(name) is not None
    ]
