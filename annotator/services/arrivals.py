"""Arrivals of a prospective test: kept as they came, read into ordinary recordings, given one prediction for ever."""

import hashlib
import logging
import re
import secrets
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from django.conf import settings
from django.db import DataError, IntegrityError, OperationalError, transaction
from django.utils import timezone

from annotator.errors import InvalidInput, WrongState
from annotator.models import Arrival, ArrivalBatch, ProspectiveTest, Recording, User
from annotator.models.jobs import JobState
from annotator.services import job_state, recording_rows, scoring
from annotator.services.prediction_copy import PredictionBatch
from annotator.services.prospective import trained_on
from ecgfm_core import datasets
from ecgfm_core.datasets import archive
from ecgfm_core.errors import EcgfmError, FormatError
from ecgfm_core.recording import Recording as Source

State = Arrival.State
MEGABYTE = 1 << 20
FILES_MAX = 20  # of one recording
INFLATED_MAX = 20  # a zip file may grow to so many times the size limit
log = logging.getLogger(__name__)
Sent = tuple[str, Iterable[bytes]]  # a file's name, its content in pieces


def folder_of(arrival: Arrival) -> Path:
    """Return our copy of an arrival's files."""
    return settings.IMPORT_DIR / "arrivals" / arrival.folder


def keep(files: Iterable[Sent]) -> tuple[str, str]:
    """Write files below IMPORT_DIR; returns the folder's name and the sha256 of all, refuses too much and nothing."""
    name = secrets.token_hex(16)
    folder = settings.IMPORT_DIR / "arrivals" / name
    folder.mkdir(parents=True, mode=0o750)
    try:
        return name, _write(folder, files)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _write(folder: Path, files: Iterable[Sent]) -> str:
    left = settings.ARRIVAL_LIMIT_MB * MEGABYTE
    hashes: dict[str, str] = {}
    for sent_name, chunks in files:
        file_name = safe_name(sent_name)
        if file_name in hashes or len(hashes) == FILES_MAX:
            raise InvalidInput(f"{sent_name!r}: a recording is at most {FILES_MAX} files, each with a name of its own.")
        digest = hashlib.sha256()
        with (folder / file_name).open("xb") as file:
            for chunk in chunks:
                left -= len(chunk)
                if left < 0:
                    raise InvalidInput(too_large())
                digest.update(chunk)
                file.write(chunk)
        hashes[file_name] = digest.hexdigest()
    if not hashes or left == settings.ARRIVAL_LIMIT_MB * MEGABYTE:
        raise InvalidInput("Nothing was sent. Send one recording: a zip file, or a header with its samples.")
    # Names are left out: the same recording under another name is the same recording.
    return hashlib.sha256("".join(sorted(hashes.values())).encode()).hexdigest()


def too_large() -> str:
    """Say what the size limit is."""
    return (
        f"The recording is larger than {settings.ARRIVAL_LIMIT_MB:,} MB (ARRIVAL_LIMIT_MB). Send 10 s to some minutes."
    )


def safe_name(name: str) -> str:
    """Return a file name without path and without characters that mean something elsewhere."""
    safe = re.sub(r"[^A-Za-z0-9._-]+", "_", PurePosixPath(name.replace("\\", "/")).name)[-100:].lstrip(".")
    if not safe:
        raise InvalidInput(f"{name!r} is no file name. Name the file as the recording is named, with its ending.")
    return safe


def receive(*, test: ProspectiveTest, files: Iterable[Sent], name: str, centre: str, by: User) -> Arrival:
    """Take one recording that was sent; refuses a test that has ended, too large and empty ones."""
    if test.state != ProspectiveTest.State.RUNNING:
        raise WrongState(f"The test {test.name} has ended; nothing more arrives in it.")
    folder, sha256 = keep(files)
    arrival = Arrival(
        test=test, source=Arrival.Source.API, sent_by=by, name=recording_rows.printable(name)[:500], folder=folder,
        content_sha256=sha256, centre=recording_rows.printable(centre)[:60],
    )  # fmt: skip
    try:
        with transaction.atomic():
            enter(arrival)
    except BaseException:
        shutil.rmtree(folder_of(arrival), ignore_errors=True)
        raise
    return arrival


def enter(arrival: Arrival) -> None:
    """Put a kept arrival in line to be scored; the same content as before is a duplicate. Within a transaction.

    What was refused may come again: the fault may have been ours.
    """
    earlier = _same_content(arrival)
    if earlier is None:
        arrival.state = State.WAITING
        try:
            with transaction.atomic():
                arrival.save()
        except IntegrityError:  # the same content came twice at the same moment
            earlier = _same_content(arrival)
            if earlier is None:
                raise
    if earlier is None:
        call_worker(arrival.test)
    else:
        arrival.state, arrival.duplicate_of = State.DUPLICATE, earlier
        arrival.save()
        _forget_files(arrival)


def _same_content(arrival: Arrival) -> Arrival | None:
    rows = Arrival.objects.filter(test=arrival.test, content_sha256=arrival.content_sha256).exclude(pk=arrival.pk)
    return rows.filter(state__in=[State.WAITING, State.SCORED]).first()


def call_worker(test: ProspectiveTest) -> None:
    """Make sure that a batch waits which will take what waits now; within a transaction."""
    _lock(test.pk)
    if not ArrivalBatch.objects.filter(test=test, state=JobState.QUEUED).exists():
        job_state.submit(ArrivalBatch.objects.create(test=test))


@transaction.atomic
def gather(*, batch: ArrivalBatch, attempt: int) -> None:
    """Give a running batch all that waits and no batch has."""
    job_state.beat(batch, attempt, {"message": "Reading what has arrived"})
    _lock(batch.test_id)  # whoever counted on this batch has committed
    Arrival.objects.filter(test=batch.test_id, state=State.WAITING, batch=None).update(batch=batch)


def _lock(test_id: int) -> None:
    ProspectiveTest.objects.select_for_update(no_key=True).get(pk=test_id)


def read(*, batch: ArrivalBatch, attempt: int) -> None:
    """Make each arrival of a batch a recording, or refuse it by name with the reason."""
    for arrival in batch.arrivals.filter(state=State.WAITING, recording=None).order_by("pk"):
        try:
            _read(arrival, batch, attempt)
        except (EcgfmError, DataError, UnicodeError) as error:
            refuse(arrival=arrival, reason=str(error).partition("\n")[0])
        except (WrongState, OSError, OperationalError):
            raise  # not the recording's fault
        except Exception as error:  # one broken file must stop nothing, whatever a parser makes of it
            log.exception("%s", arrival)
            words = f"{arrival.name}: the reader stumbled ({type(error).__name__}: {error}). Report it with the file."
            refuse(arrival=arrival, reason=words)


def _read(arrival: Arrival, batch: ArrivalBatch, attempt: int) -> None:
    entry, layout = _only_entry(arrival)
    name = f"arrival-{arrival.pk}/{entry.name}"  # tells arrivals of one file name apart
    prepared = recording_rows.prepare(datasets.Entry(name, lambda: _named(entry, name, arrival.centre)))
    place = recording_rows.Place(arrival.test.dataset, layout)
    with transaction.atomic():
        job_state.beat(batch, attempt)
        recording_rows.lock_splits()
        same = Arrival.objects.filter(test=arrival.test, recording__waveform=prepared.packed.sha256).first()
        if same is not None:
            arrival.state, arrival.duplicate_of = State.DUPLICATE, same
        else:
            [(arrival.recording, remarks)] = recording_rows.write(place, [prepared])
            arrival.known_patient = trained_on(arrival.test, arrival.recording)
            arrival.reason = recording_rows.printable(" ".join(remarks))
        arrival.save(update_fields=["state", "duplicate_of", "recording", "known_patient", "reason"])
    _forget_files(arrival)


def _only_entry(arrival: Arrival) -> tuple[datasets.Entry, str]:
    """Return the one recording in our copy of what arrived, and the layout it is of."""
    folder = folder_of(arrival)
    if not folder.is_dir():
        raise FormatError(f"{arrival.name}: our copy is gone; send it again")
    files = sorted(path for path in folder.iterdir() if path.is_file())  # a killed worker may have begun to unpack
    zipped = [file for file in files if file.suffix.lower() == ".zip"]
    if zipped and len(files) == 1:
        inside = folder / "unpacked"
        shutil.rmtree(inside, ignore_errors=True)
        bytes_max = INFLATED_MAX * settings.ARRIVAL_LIMIT_MB * MEGABYTE
        archive.extract(zipped[0], inside, files_max=FILES_MAX, bytes_max=bytes_max)
        folder = inside
    try:
        entries = list(datasets.iterate(folder))
    except FormatError as error:
        raise FormatError(f"{arrival.name}: {str(error).removeprefix(folder.name).lstrip(': ')}") from error
    if len(entries) != 1:
        raise FormatError(f"{arrival.name}: {len(entries)} recordings in one; send each by itself")
    layout = datasets.recognise(folder)
    return entries[0], layout.key if layout else ""


def _named(entry: datasets.Entry, name: str, centre: str) -> Source:
    """Read a recording under a name; its centre may have been said beside it."""
    source = entry.load()
    return replace(source, name=name, centre=source.centre or centre)


@transaction.atomic
def refuse(*, arrival: Arrival, reason: str) -> None:
    """Refuse an arrival in words; refuses one that was decided already."""
    words = recording_rows.printable(reason) or "It can't be read."
    waiting = Arrival.objects.filter(pk=arrival.pk, state__in=[State.WAITING, State.SETTLING])
    if waiting.update(state=State.REFUSED, reason=words):
        _forget_files(arrival)


@transaction.atomic
def freeze(*, batch: ArrivalBatch, attempt: int, rows: PredictionBatch) -> None:
    """Give arrivals their prediction, for ever, and let it stand among the checkpoint's others for the reveal."""
    scoring.store_predictions(run=batch, attempt=attempt, rows=rows)
    place = {pk: row for row, pk in enumerate(rows.recording_ids.tolist())}
    waiting = list(batch.arrivals.filter(state=State.WAITING, recording__in=list(place)).select_for_update())
    now = timezone.now()
    for arrival in waiting:
        row = place[arrival.recording_id]
        arrival.state, arrival.predicted_at = State.SCORED, now
        arrival.abnormal_probability = float(rows.abnormal_probability_N[row])
        arrival.label_probabilities = rows.label_probabilities_NC[row].tolist()
        arrival.generated_text = rows.texts[row].replace("\0", "")
    fields = ["state", "predicted_at", "abnormal_probability", "label_probabilities", "generated_text"]
    Arrival.objects.bulk_update(waiting, fields)


@transaction.atomic
def part(*, batch: ArrivalBatch, attempt: int, words: str) -> None:
    """Let each arrival of a batch that failed be tried alone; one that fails alone waits, and says why."""
    waiting = list(batch.arrivals.filter(state=State.WAITING).order_by("pk"))
    if len(waiting) == 1:
        batch.arrivals.filter(state=State.WAITING).update(reason=recording_rows.printable(words))
    else:
        for arrival in waiting:
            alone = ArrivalBatch.objects.create(test=batch.test)
            Arrival.objects.filter(pk=arrival.pk, state=State.WAITING).update(batch=alone)
            job_state.submit(alone)
    job_state.fail(batch, attempt, words)


@transaction.atomic
def try_again(*, test: ProspectiveTest) -> int:
    """Give arrivals whose batch has failed to a new one and return how many; refuses when there are none."""
    stuck = Arrival.objects.filter(test=test, state=State.WAITING, batch__state=JobState.FAILED)
    count = stuck.update(batch=None, reason="")
    if not count:
        raise WrongState("No arrival is stuck: those that wait will be scored.")
    call_worker(test)
    return count


def waiting_recordings(batch: ArrivalBatch) -> Sequence[Recording]:
    """Return what a batch has to score, in order."""
    waiting = batch.arrivals.filter(state=State.WAITING, recording__isnull=False).values("recording")
    return list(Recording.objects.filter(pk__in=waiting).select_related("waveform").order_by("pk"))


def _forget_files(arrival: Arrival) -> None:
    """Remove our copy, once what has become of it is committed: patients' recordings are kept once."""
    if arrival.folder:
        folder = folder_of(arrival)
        transaction.on_commit(lambda: shutil.rmtree(folder, ignore_errors=True))
