"""`manage.py check_quality`: judge again what an older version of the quality gate has judged."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from tqdm import tqdm

from annotator.selectors import quality as selectors
from annotator.services import quality
from ecgfm_core.signal.quality import VERSION

SHOWN = 200


class Command(BaseCommand):
    """Check recordings in this process; stopped, the same command goes on."""

    help = "Check again whether recordings can be read, where an older version of the gate has checked them."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument("--all", action="store_true", help="check every recording, not only those checked before")

    def handle(self, *_args: Any, all: bool, **_options: Any) -> None:
        """Check, and say how many can't be read now."""
        with tqdm(desc="Check", unit=" recordings", disable=None) as bar:

            def show(done: int, total: int) -> None:
                bar.total, bar.n = total, done
                bar.refresh()

            try:
                refused = quality.check_again(everything=all, on_progress=show)
            except KeyboardInterrupt:
                raise CommandError("Stopped. The same command goes on; what was checked stays.") from None
        for words in refused[:SHOWN]:
            self.stdout.write(f"not checked  {words}")
        if len(refused) > SHOWN:
            self.stdout.write(f"... and {len(refused) - SHOWN:,} more")
        self.stdout.write(f"gate version {VERSION}: {selectors.unreadable().count():,} recordings are unreadable")
        if refused:
            raise CommandError(f"{len(refused):,} recordings could not be checked.")
