"""Whether a candidate may take the current checkpoint's place, as was found on the frozen test split."""

from dataclasses import dataclass, field
from typing import Any

from annotator.models import Checkpoint, Prediction
from annotator.models.jobs import JobState
from annotator.selectors import model_metrics, schemes, test_split
from annotator.selectors.model_metrics import ABNORMAL
from ecgfm_core.noninferiority import LabelComparison, Verdict

OVERRIDE = "An admin may promote it all the same with a written reason."
NAMED = 3  # labels that the sentence names; the table has all
WORDS = {
    Verdict.BETTER: "better",
    Verdict.NOT_INFERIOR: "as good",
    Verdict.INFERIOR: "inferior",
    Verdict.TOO_FEW: "not judged: too few of it",
    Verdict.LOST: "lost: the candidate does not know it",
}


@dataclass(frozen=True)
class Line(LabelComparison):
    """One label of the comparison, for people."""

    name: str

    @property
    def words(self) -> str:
        """The verdict in words."""
        return WORDS[self.verdict]


@dataclass(frozen=True)
class Gate:
    """The gate before one checkpoint: whether it is open, in one sentence why, and what was compared."""

    open: bool
    words: str
    waits: bool = False
    current: int | None = None
    recordings: int = 0
    sources: dict[str, int] = field(default_factory=dict)
    margin: float | None = None
    positives_min: int | None = None
    lines: list[Line] = field(default_factory=list)

    @property
    def judged(self) -> list[Line]:
        """The labels that could be judged, those that hold it back first."""
        return sorted(
            (line for line in self.lines if line.verdict != Verdict.TOO_FEW), key=lambda line: not line.verdict.blocks
        )

    @property
    def too_few(self) -> list[Line]:
        """The labels with too few positives, the most frequent first."""
        return sorted(
            (line for line in self.lines if line.verdict == Verdict.TOO_FEW), key=lambda line: -line.positives
        )


def current_checkpoint() -> Checkpoint | None:
    """Return the checkpoint in use."""
    return Checkpoint.objects.filter(state=Checkpoint.State.CURRENT).first()


def gate(candidate: Checkpoint, current: Checkpoint | None) -> Gate:
    """Return the gate before a checkpoint that is not the current one; it reads what workers found."""
    if current is None:
        return Gate(True, "No checkpoint is current yet, so there is nothing to compare with.")
    if not test_split.recordings().exists():
        return Gate(True, "The test split holds no recording, so nothing was compared.", current=current.pk)
    if unscored := _unscored(candidate, current):
        return unscored
    found, basis = candidate.gate, model_metrics.gate_basis(candidate, current)
    if found.get("basis") != basis:
        words = (
            f"Checkpoint {candidate.pk} is being compared with checkpoint {current.pk} on the test split: its scores, "
            "the labels or the current checkpoint are new. Try again in a minute."
        )
        return Gate(False, words, waits=True, current=current.pk)
    if "lines" not in found:
        return Gate(False, _missing(candidate, current, found), current=current.pk)
    lines = [_line(line, current) for line in found["lines"]]
    return Gate(
        open=not any(line.verdict.blocks for line in lines),
        words=_words(candidate, current, lines, basis["margin"]),
        current=current.pk,
        recordings=found["recordings"],
        sources=found["sources"],
        margin=basis["margin"],
        positives_min=basis["positives_min"],
        lines=lines,
    )


def _unscored(candidate: Checkpoint, current: Checkpoint) -> Gate | None:
    for row in (candidate, current):
        run = test_split.newest_scoring(row)
        if run is None:
            words = f"Checkpoint {row.pk} has not scored the test split. Score its datasets first."
            return Gate(False, words, current=current.pk)
        if run.state != JobState.FINISHED and row.gate.get("basis", {}).get("scoring") != run.pk:
            words = f"Checkpoint {row.pk} is scoring recordings. The comparison follows when it has finished."
            return Gate(False, words, waits=True, current=current.pk)
    return None


def _missing(candidate: Checkpoint, current: Checkpoint, found: dict[str, Any]) -> str:
    if not found["recordings"]:
        return f"Checkpoint {current.pk}, the current one, has not scored the test split. Score its datasets first."
    return (
        f"Checkpoint {candidate.pk} has not scored {found['missing']:,} of the {found['recordings']:,} test recordings "
        f"that checkpoint {current.pk} is judged on (in {', '.join(found['datasets'])}). Score these datasets with it."
    )


def _line(found: dict[str, Any], current: Checkpoint) -> Line:
    return Line(**{**found, "verdict": Verdict(found["verdict"])}, name=name_of(found["code"], current))


def name_of(code: str, checkpoint: Checkpoint) -> str:
    """Return a label's name as a checkpoint knows it."""
    return "Normal or abnormal" if code == ABNORMAL else schemes.name_of(checkpoint.run.scheme_id, code)


def _words(candidate: Checkpoint, current: Checkpoint, lines: list[Line], margin: float) -> str:
    blocking = sorted((line for line in lines if line.verdict.blocks), key=lambda line: line.low or -1.0)
    if blocking:
        named = [_loss(line) for line in blocking[:NAMED]]
        if more := len(blocking) - len(named):
            named.append(f"and {more} more")
        return (
            f"Checkpoint {candidate.pk} is inferior to checkpoint {current.pk}, where {margin:g} of the area under the "
            f"ROC curve may be lost: {'; '.join(named)}."
        )
    judged = [line for line in lines if line.verdict != Verdict.TOO_FEW]
    if not judged:
        return "No label has enough positives in the test split to be judged, so nothing speaks against it."
    better = sum(line.verdict == Verdict.BETTER for line in judged)
    return (
        f"Checkpoint {candidate.pk} is not inferior to checkpoint {current.pk} on any of the {len(judged)} labels that "
        f"can be judged, and better on {better}."
    )


def _loss(line: Line) -> str:
    if line.verdict == Verdict.LOST:
        return f"it does not know {line.name}, of which the test split has {line.positives:,}"
    return (
        f"{line.name} goes from {line.current:.3f} to {line.candidate:.3f} (a loss of up to {-(line.low or 0.0):.3f} "
        "is not ruled out)"
    )


def due() -> list[Checkpoint]:
    """Return the current checkpoint and the newer candidates whose figures on the test split are out of date."""
    current = current_checkpoint()
    if current is None:
        return []
    newer = Checkpoint.objects.filter(state=Checkpoint.State.CANDIDATE, pk__gt=current.pk).order_by("pk")
    return [row for row in (current, *newer) if _due(row, current)]


def _due(row: Checkpoint, current: Checkpoint) -> bool:
    run = test_split.newest_scoring(row)
    if run is None or run.state != JobState.FINISHED or not Prediction.objects.filter(checkpoint=row).exists():
        return False
    fresh = row.test_metrics.get("basis") == model_metrics.own_basis(row) or not test_split.scored(row).exists()
    if row == current:
        return not fresh
    return not fresh or row.gate.get("basis") != model_metrics.gate_basis(row, current)
