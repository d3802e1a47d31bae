"""The obvious next step of the loop, in words, with the page that takes it."""

from dataclasses import dataclass

from annotator.models import Round
from annotator.selectors.loop import Loop


@dataclass(frozen=True)
class NextStep:
    """One step: why, what the button says and where it leads; `waits` while something runs by itself."""

    why: str
    button: str
    page: str
    row: int | None = None
    waits: bool = False


def next_step(loop: Loop) -> NextStep:
    """Return the next step: import, train, promote, score, open a round, read, retrain."""
    return _running(loop) or _first_checkpoint(loop) or _reading(loop) or _turn(loop)


def _running(loop: Loop) -> NextStep | None:
    if loop.importing:
        return NextStep("Recordings are being imported.", "Watch the import", "manage-import", loop.importing.pk, True)
    if loop.training:
        why = "A model is being trained."
        return NextStep(why, "Watch the training run", "manage-training-run", loop.training.pk, True)
    if loop.scoring:
        return NextStep("A checkpoint is scoring recordings.", "Watch the scoring", "manage-checkpoints", waits=True)
    return None


def _first_checkpoint(loop: Loop) -> NextStep | None:
    if not loop.recordings:
        return NextStep("There are no recordings yet.", "Import recordings", "manage-datasets")
    if loop.checkpoint:
        return None
    if loop.candidate:
        why = f"Checkpoint {loop.candidate.pk} is trained and none is current yet."
        return NextStep(why, f"Promote checkpoint {loop.candidate.pk}", "manage-checkpoints")
    return NextStep("No model has been trained on these recordings yet.", "Train a model", "manage-training")


def _reading(loop: Loop) -> NextStep | None:
    row = loop.round
    if row is None or row.state == Round.State.CLOSED:
        return None
    words = {
        Round.State.DRAFT: (f"Round {row.number} has no queue yet.", f"Fill round {row.number}"),
        Round.State.FILLING: (f"The queue of round {row.number} is being filled.", f"Watch round {row.number}"),
        Round.State.FILLED: (f"The queue of round {row.number} is filled.", f"Open round {row.number}"),
        Round.State.OPEN: (_open_words(loop), f"{'Follow' if loop.to_read else 'Close'} round {row.number}"),
    }
    why, button = words[Round.State(row.state)]
    waits = row.state == Round.State.FILLING or (row.state == Round.State.OPEN and loop.to_read > 0)
    return NextStep(why, button, "manage-round", row.pk, waits)


def _open_words(loop: Loop) -> str:
    number = loop.round.number if loop.round else 0
    if loop.to_read:
        return f"Round {number} is open: {loop.answered:,} answers given, {loop.to_read:,} still to read."
    return f"Everything in round {number} is read."


def _turn(loop: Loop) -> NextStep:
    if loop.candidate and loop.round and loop.round.state == Round.State.CLOSED:
        why = f"Checkpoint {loop.candidate.pk} is a candidate to replace the current one."
        return NextStep(why, f"Compare checkpoint {loop.candidate.pk}", "manage-checkpoints")
    if loop.corrections:
        why = f"{loop.corrections:,} corrections have been made since the last training."
        return NextStep(why, "Train on the corrections", "manage-training")
    if not loop.scored:
        why = "The current checkpoint has scored no recordings yet."
        return NextStep(why, "Score the recordings", "manage-checkpoints")
    return NextStep("The current checkpoint has scored the recordings.", "Plan the next round", "manage-rounds")
