"""`manage.py import_recordings PATH --dataset NAME`: import a folder, a zip or one record, and say what was refused."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from tqdm import tqdm

from annotator.errors import AnnotatorError
from annotator.models import ImportRun
from annotator.models.jobs import JobState
from annotator.services import ingest, job_state

SHOWN = 200
NOTHING_IMPORTED = 2


class Command(BaseCommand):
    """Import recordings in this process."""

    help = "Import a folder, a zip file or a single record into a dataset; a second run changes nothing."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument("path", help="folder, zip file, or record with or without .hea")
        parser.add_argument("--dataset", required=True, help="name of the dataset; made when there is none")

    def handle(self, *_args: Any, path: str, dataset: str, **_options: Any) -> None:
        """Import, report, and end with status 2 if nothing could be imported."""
        try:
            run, attempt = ingest.start_here(path=path, dataset_name=dataset)
        except AnnotatorError as error:
            raise CommandError(error.message, returncode=NOTHING_IMPORTED) from None
        with tqdm(desc="Import", unit=" recordings", disable=None) as bar:

            def show(done: int, total: int) -> None:
                bar.total, bar.n = total, done
                bar.refresh()

            try:
                ingest.run_import(run=run, attempt=attempt, on_progress=show)
            except KeyboardInterrupt:
                job_state.cancelled(run, attempt)
                raise CommandError("Stopped. The same command goes on; what was imported stays.") from None
        run.refresh_from_db()
        self._report(run)

    def _report(self, run: ImportRun) -> None:
        refused = run.issues.filter(refused=True).order_by("record_name", "pk")
        for issue in refused[:SHOWN]:
            self.stdout.write(f"refused  {issue.reason}")
        if refused.count() > SHOWN:
            self.stdout.write(f"... and {refused.count() - SHOWN:,} more, in the import's report on the admin page")
        if run.state != JobState.FINISHED:
            raise CommandError(run.failure or f"The import is {run.state}.", returncode=NOTHING_IMPORTED)
        remarks = run.issues.filter(refused=False).count()
        self.stdout.write(
            f"{run.dataset.name}: {run.added_count:,} added, {run.unchanged_count:,} unchanged, "
            f"{run.refused_count:,} refused, {remarks:,} remarks"
        )
        if run.refused_count and not run.added_count + run.unchanged_count:
            raise CommandError("Nothing could be imported.", returncode=NOTHING_IMPORTED)
