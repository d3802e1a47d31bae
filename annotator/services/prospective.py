"""Prospective tests: start, end, have arrivals read. What is chosen at the start stays to the end."""

from collections.abc import Sequence
from pathlib import Path

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from annotator.errors import InvalidInput, WrongState
from annotator.models import Checkpoint, ProspectiveTest, Recording, Round, User
from annotator.selectors import model_metrics
from annotator.selectors import prospective as selectors
from annotator.selectors.manage import OWN_FOLDERS
from annotator.services import audit, rounds
from annotator.services.ingest import allowed_path, create_dataset
from ecgfm_core import prospective as arithmetic
from ecgfm_core.active.selection import Candidate, Chosen, select

State = ProspectiveTest.State
START_LOCK = (7004, 0)  # which folders are watched
REFERENCE_MIN = 50


@transaction.atomic
def start(
    *,
    name: str,
    checkpoint: Checkpoint,
    dataset_name: str,
    by: User,
    watch_path: str = "",
    threshold: float | None = None,
    with_text: bool = True,
) -> ProspectiveTest:
    """Start a test; refuses a name in use, a threshold beyond 0 to 1, a folder that is watched or not there."""
    if not name.strip() or ProspectiveTest.objects.filter(name=name).exists():
        raise InvalidInput(f"{name!r}: give the test a name that no other test has.")
    known = selectors.validation_scores(checkpoint)
    if threshold is None:
        threshold, origin = model_metrics.threshold(checkpoint)
    elif 0 < threshold < 1:
        origin = "chosen by hand at the start"
    else:
        raise InvalidInput(f"A threshold of {threshold:g}: it lies between 0 and 1, 0.5 for example.")
    test = ProspectiveTest.objects.create(
        name=name,
        checkpoint=checkpoint,
        dataset=create_dataset(name=dataset_name, by=by),
        watch_path=_free_folder(watch_path),
        threshold=threshold,
        threshold_origin=origin,
        with_text=with_text,
        reference=_reference(known),
        created_by=by,
    )
    audit.record(
        actor=by, action="prospective test started", target=test, checkpoint=checkpoint.pk, threshold=threshold
    )
    return test


def _reference(known: Sequence[tuple[float, bool | None]]) -> dict[str, object]:
    """Return what later scores are compared with; empty where too little was validated: then the first days serve."""
    if len(known) < REFERENCE_MIN:
        return {}
    return {
        "origin": f"{len(known):,} recordings of the checkpoint's validation split",
        "count": len(known),
        "scores": arithmetic.thinned([score for score, _ in known]),
    }


def _free_folder(watch_path: str) -> str:
    """Return a watch folder as a path below IMPORT_DIR; refuses our own, and what overlaps one that is watched."""
    if not watch_path.strip():
        return ""
    base = settings.IMPORT_DIR.resolve()
    found = allowed_path(watch_path.strip())
    path = found.relative_to(base)
    if not found.is_dir() or path.parts[0] in OWN_FOLDERS:
        raise InvalidInput(f"{watch_path!r} is no folder that can be watched. Make one below the import folder.")
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", START_LOCK)
    for other in ProspectiveTest.objects.filter(state=State.RUNNING).exclude(watch_path=""):
        theirs = Path(other.watch_path)
        if path.is_relative_to(theirs) or theirs.is_relative_to(path):
            raise InvalidInput(f"{watch_path!r} is watched by the test {other.name}. One running test a folder.")
    return str(path)


@transaction.atomic
def end(*, test: ProspectiveTest, by: User) -> ProspectiveTest:
    """Let nothing more arrive; what is in is still scored and read. Refuses a test that has ended."""
    running = ProspectiveTest.objects.filter(pk=test.pk, state=State.RUNNING)
    if not running.update(state=State.ENDED, ended_at=timezone.now()):
        raise WrongState(f"The test {test.name} has ended already.")
    audit.record(actor=by, action="prospective test ended", target=test)
    test.refresh_from_db()
    return test


@transaction.atomic
def start_reading(*, test: ProspectiveTest, budget: int | None, readers_per_item: int, reveal: str, by: User) -> Round:
    """Make a round of arrivals that nobody has read, in random order; refuses when there are none.

    Readers see the model never, or after a blind first read: what they say is to judge it.
    """
    if reveal == Round.Reveal.AT_ONCE:
        raise InvalidInput("Readings that judge the model are blind: never show it, or after the first read.")
    ProspectiveTest.objects.select_for_update(no_key=True).get(pk=test.pk)  # two clicks make one round
    waiting = list(selectors.unread(test).values_list("recording_id", flat=True))
    if not waiting:
        raise WrongState("Every scored arrival has been read, or is in a round already.")
    budget = min(len(waiting), budget or len(waiting))
    round = rounds.create_round(
        dataset_ids=[test.dataset_id],
        strategy=Round.Strategy.RANDOM,
        budget=budget,
        audit_share=0.0,
        repeat_share=0.0,
        readers_per_item=readers_per_item,
        reveal=reveal,
        checkpoint=test.checkpoint,
        seed=test.pk,
        by=by,
    )
    drawn = select([Candidate(pk) for pk in waiting], budget, "random", 0.0, round.pk)
    reason = f"Arrived in the prospective test {test.name}; read to judge what the model said."
    rounds.fill_with(round=round, chosen=[Chosen(one.id, one.rank, one.origin, reason) for one in drawn], by=by)
    return round


def trained_on(test: ProspectiveTest, recording: Recording) -> bool:
    """Whether the checkpoint was trained on this patient, or on the same samples."""
    run = test.checkpoint.run
    trained = Recording.objects.filter(
        dataset__in=run.datasets.values("pk"),
        split=Recording.Split.TRAIN,
        imported_at__lt=run.started_at or run.created_at,
    ).exclude(pk=recording.pk)
    if recording.patient_hash and trained.filter(patient_hash=recording.patient_hash).exists():
        return True
    return trained.filter(waveform=recording.waveform_id).exists()
