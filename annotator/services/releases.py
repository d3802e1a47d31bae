"""Curated releases: asked for, built from one view of the database, never changed afterwards."""

import hmac
import json
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Max
from django.utils import timezone

from annotator.errors import InvalidInput, WrongState
from annotator.models import CuratedRelease, User
from annotator.selectors import released
from annotator.services import audit, job_state
from annotator.services.heartbeat import Pulse, beating
from annotator.services.schemes import ensure_scheme
from annotator.services.scoring import datasets_of
from ecgfm_core import release_format

NUMBER_LOCK = 0x4E1


@transaction.atomic
def start_release(
    *, title: str, notes: str, dataset_ids: Iterable[int], only_consensus: bool, by: User | None
) -> CuratedRelease:
    """Queue a numbered release; refuses a missing title and datasets with nothing to release."""
    if not title.strip():
        raise InvalidInput("A release needs a title that says what it is for.")
    found = datasets_of(dataset_ids)
    if not released.recordings([row.pk for row in found], only_consensus).exists():
        what = "that has been read" if only_consensus else "at all"
        raise InvalidInput(f"These datasets hold no recording {what}; there is nothing to release.")
    ensure_scheme()
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [NUMBER_LOCK])
    number = (CuratedRelease.objects.aggregate(last=Max("number"))["last"] or 0) + 1
    release = CuratedRelease.objects.create(
        number=number, title=title.strip(), notes=notes.strip(), only_consensus=only_consensus, created_by=by
    )
    release.datasets.set(found)
    audit.record(actor=by, action="release started", target=release, number=number, title=release.title)
    job_state.submit(release)
    return release


def build(*, release: CuratedRelease, attempt: int) -> None:
    """Write a release beside its place, from one view of the database, and move it there whole."""
    place = settings.RELEASE_DIR / f"release-{release.number:04d}"
    beside = settings.RELEASE_DIR / f".building-{release.number:04d}-{attempt}"
    for left in settings.RELEASE_DIR.glob(f".building-{release.number:04d}-*"):  # of attempts whose worker died
        shutil.rmtree(left, ignore_errors=True)
    try:
        with beating(release, attempt, {"message": "Collecting", "done": 0, "total": 0, "unit": "recordings"}) as pulse:
            counts, sha256 = _write(release, beside, pulse)
            pulse.check()
            _move(release, attempt, beside, place)
        job_state.finish(
            release, attempt, path=place.name, manifest_sha256=sha256,
            recording_count=counts["recordings"], consensus_count=counts["consensus"],
        )  # fmt: skip
    except WrongState:
        if CuratedRelease.objects.filter(pk=release.pk, attempt=attempt, state="cancelling").exists():
            job_state.cancelled(release, attempt)
        raise
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _move(release: CuratedRelease, attempt: int, beside: Path, place: Path) -> None:
    """Put the finished folder where it belongs; what lies there is of an attempt that died before it could say so."""
    with transaction.atomic():
        job_state.beat(release, attempt)
        shutil.rmtree(place, ignore_errors=True)
        beside.rename(place)


def _write(release: CuratedRelease, folder: Path, pulse: Pulse) -> tuple[dict[str, int], str]:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        content = released.Content(release, pseudonym)
        header = {
            "number": release.number,
            "title": release.title,
            "notes": release.notes,
            "created_at": timezone.now(),
            "scheme_version": content.scheme_version,
            "datasets": list(release.datasets.order_by("name").values_list("name", flat=True)),
            "only_consensus": release.only_consensus,
        }
        sha256 = release_format.write_release(folder, header, _counted(content, pulse), content.tables())
    counts = json.loads((folder / release_format.MANIFEST).read_text(encoding="utf-8"))["counts"]
    return counts, sha256


def _counted(content: released.Content, pulse: Pulse) -> Iterator[release_format.ReleasedRecording]:
    for done, one in enumerate(content.recordings()):
        pulse.check()
        pulse.progress = {"message": "Writing", "done": done, "total": content.total, "unit": "recordings"}
        yield one


def pseudonym(kind: str, value: object) -> str:
    """Return a name that stands for a person in every release and can't be turned back without the server's key."""
    digest = hmac.new(settings.PATIENT_HASH_KEY.encode(), f"{kind}:{value}".encode(), "sha256").hexdigest()
    return f"{kind}-{digest[:12]}"
