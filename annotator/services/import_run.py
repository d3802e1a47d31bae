"""Running an import: records checked one by one, written in batches, safe to interrupt and to repeat."""

import logging
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import DataError, transaction

from annotator.errors import WrongState
from annotator.models import Dataset, ImportIssue, ImportRun, Recording
from annotator.models.jobs import JobState
from annotator.services import job_state, recording_rows
from annotator.services.heartbeat import beating
from annotator.services.recording_rows import NAME_MAX, Prepared, prepare, printable
from annotator.services.splits import OWN_FOLDS
from ecgfm_core import datasets, formats
from ecgfm_core.datasets import archive
from ecgfm_core.errors import EcgfmError

BATCH = 200
BATCH_BYTES = 256_000_000  # of samples: a batch of long recordings is a short one

log = logging.getLogger(__name__)
OnProgress = Callable[[int, int], None]


def run_import(*, run: ImportRun, attempt: int, on_progress: OnProgress | None = None) -> None:
    """Import everything under the run's path; refuses bad records one by one, fails only if nothing can be read."""
    try:
        # Unpacking, listing and a long recording take more than JOB_STALE_S without a word.
        with beating(run, attempt):
            _Import(run, attempt, on_progress).go()
    except EcgfmError as error:
        job_state.fail(run, attempt, str(error))
    except OSError as error:
        job_state.fail(run, attempt, f"{run.source_path}: {error.strerror or error}. Put it right and import it again.")


class _Import:
    """One attempt at one import run."""

    def __init__(self, run: ImportRun, attempt: int, on_progress: OnProgress | None) -> None:
        self.run, self.attempt, self.on_progress = run, attempt, on_progress
        self.counts: Counter[str] = Counter()
        self.total, self.beat_at = 0, 0.0

    def go(self) -> None:
        try:
            self._go()
        finally:
            shutil.rmtree(self._unpacked(), ignore_errors=True)

    def _go(self) -> None:
        folder = self._folder()
        layout = datasets.recognise(folder) if folder.is_dir() else None
        self.layout = layout.key if layout else ""
        Dataset.objects.filter(pk=self.run.dataset_id, layout="").update(layout=self.layout)
        entries = list(datasets.iterate(folder)) if folder.is_dir() else [_single(folder)]
        self.own_folds = {entry.fold for entry in entries} >= OWN_FOLDS
        self.total = len(entries)
        todo = self._leave_out_done(entries)
        for batch in _batched(self._prepare(todo)):
            self._write_what_can_be(batch)
        job_state.finish(self.run, self.attempt, progress=self._progress(), **self._count_fields())
        self._remove_upload()

    def _remove_upload(self) -> None:
        """Patients' recordings are kept once: an uploaded zip goes when all of it is imported or refused by name."""
        path = Path(self.run.source_path)
        if path.is_relative_to(settings.IMPORT_DIR.resolve() / "uploads"):
            shutil.rmtree(path.parent, ignore_errors=True)

    def _unpacked(self) -> Path:
        """Return the place of this attempt alone: an earlier one may not know yet that it has lost the run."""
        return settings.IMPORT_DIR / "unpacked" / f"{self.run.pk}-{self.attempt}"

    def _folder(self) -> Path:
        """Return the path to read from: the folder or record itself, or what was in the zip."""
        path = Path(self.run.source_path)
        if not path.is_file() or path.suffix.lower() != ".zip":
            return path
        self._beat("Unpacking the zip file")
        for left in self._unpacked().parent.glob(f"{self.run.pk}-*"):
            shutil.rmtree(left, ignore_errors=True)
        self._unpacked().mkdir(parents=True)
        archive.extract(path, self._unpacked())
        return self._unpacked()

    def _leave_out_done(self, entries: list[Any]) -> list[Any]:
        """Go on after an interruption: what this run has already added or refused is not read again."""
        if self.attempt == 1:
            return entries
        added = Recording.objects.filter(dataset=self.run.dataset, imported_at__gte=self.run.started_at)
        done = set(added.values_list("name", flat=True))
        refused = set(self.run.issues.filter(refused=True).values_list("record_name", flat=True))
        self.counts.update(added=len(done), refused=len(refused))
        return [entry for entry in entries if entry.name not in done and entry.name not in refused]

    def _prepare(self, entries: list[Any]) -> Iterator[Prepared | ImportIssue]:
        for entry in entries:
            self._beat("Reading and checking recordings")
            try:
                yield prepare(entry)
            except EcgfmError as error:
                yield self._issue(entry.name, str(error), refused=True)
            except Exception as error:  # one broken file must stop nothing, whatever a parser makes of it
                log.exception("Import %s: %s", self.run.pk, entry.name)
                reason = (
                    f"{entry.name}: the reader stumbled ({type(error).__name__}: {error}). Report it with the file."
                )
                yield self._issue(entry.name, reason, refused=True)

    def _issue(self, name: str, reason: str, *, refused: bool) -> ImportIssue:
        kept = printable(name)[:NAME_MAX]
        return ImportIssue(run=self.run, record_name=kept, reason=printable(reason), refused=refused)

    def _write_what_can_be(self, batch: list[Prepared | ImportIssue]) -> None:
        """Write a batch; where the database can't hold a value, write its records one by one and refuse that one."""
        before = self.counts.copy()
        try:
            self._write(batch)
        except (DataError, UnicodeError) as error:
            self.counts = before
            one = batch[0]
            if len(batch) > 1:
                for entry in batch:
                    self._write_what_can_be([entry])
            elif isinstance(one, Prepared):
                words = str(error).partition("\n")[0]
                reason = f"{one.source.name}: it holds a value that can't be stored ({words}). Report it with the file."
                self._write([self._issue(one.source.name, reason, refused=True)])
            else:
                raise

    @transaction.atomic
    def _write(self, batch: list[Prepared | ImportIssue]) -> None:
        """Write one batch with its counts, or nothing of it; refuses when another worker has the run."""
        recording_rows.lock_splits()
        issues = [entry for entry in batch if isinstance(entry, ImportIssue)]
        fresh = self._fresh([entry for entry in batch if isinstance(entry, Prepared)], issues)
        issues += self._write_recordings(fresh)
        ImportIssue.objects.bulk_create(issues, ignore_conflicts=True)
        self.counts.update(added=len(fresh), refused=sum(issue.refused for issue in issues))
        job_state.beat(self.run, self.attempt, self._progress())
        ImportRun.objects.filter(pk=self.run.pk).update(**self._count_fields())
        if self.on_progress:
            self.on_progress(self.counts.total(), self.total)

    def _fresh(self, prepared: list[Prepared], issues: list[ImportIssue]) -> list[Prepared]:
        """Return the records whose names are new; the same record again is unchanged, another one is refused."""
        names = [entry.source.name for entry in prepared]
        held = Recording.objects.filter(dataset=self.run.dataset, name__in=names)
        known = dict(held.values_list("name", "waveform_id"))
        fresh = []
        for entry in prepared:
            before = known.get(entry.source.name)
            if before is None:
                known[entry.source.name] = entry.packed.sha256
                fresh.append(entry)
            elif before == entry.packed.sha256:
                self.counts["unchanged"] += 1
            else:
                reason = (
                    f"{entry.source.name}: the dataset {self.run.dataset.name} holds this name with other samples, "
                    "and a recording never changes after its import. Give it another name or another dataset."
                )
                issues.append(self._issue(entry.source.name, reason, refused=True))
        return fresh

    def _write_recordings(self, fresh: list[Prepared]) -> list[ImportIssue]:
        place = recording_rows.Place(self.run.dataset, self.layout, self.own_folds)
        written = recording_rows.write(place, fresh)
        return [self._issue(row.name, remark, refused=False) for row, remarks in written for remark in remarks]

    def _beat(self, message: str) -> None:
        now = time.monotonic()
        if now - self.beat_at < settings.JOB_HEARTBEAT_S:
            return
        self.beat_at = now
        if job_state.beat(self.run, self.attempt, {**self._progress(), "message": message}) == JobState.CANCELLING:
            job_state.cancelled(self.run, self.attempt)
            raise WrongState("The import was cancelled.")

    def _progress(self) -> dict[str, Any]:
        return {"done": self.counts.total(), "total": self.total, "unit": "recordings", "message": "Importing"}

    def _count_fields(self) -> dict[str, int]:
        return {f"{name}_count": self.counts[name] for name in ("added", "unchanged", "refused")}


def _single(path: Path) -> datasets.Entry:
    """Return the one recording of a path, with or without the ending of its header file."""
    file = path if path.is_file() else path.with_suffix(".hea")
    return datasets.Entry(path.stem, lambda: formats.read(file, path.stem))


def _batched(entries: Iterator[Prepared | ImportIssue]) -> Iterator[list[Prepared | ImportIssue]]:
    """Yield batches of at most BATCH entries, ended early where their samples come to BATCH_BYTES."""
    batch: list[Prepared | ImportIssue] = []
    size = 0
    for entry in entries:
        batch.append(entry)
        size += entry.size if isinstance(entry, Prepared) else 0
        if len(batch) == BATCH or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
