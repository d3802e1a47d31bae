"""Watch folders of prospective tests: a file that has stopped changing is copied and judged; nothing there is touched.

Each look notes what it sees as arrivals that are `settling`, with a fingerprint of sizes and times. A look that finds
the same fingerprint again takes the arrival, its row locked meanwhile: two workers never take one file twice.
"""

import errno
import hashlib
import logging
import os
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from annotator.errors import InvalidInput
from annotator.models import Arrival, ProspectiveTest
from annotator.services import arrivals, recording_rows
from ecgfm_core.datasets.layout import list_files
from ecgfm_core.errors import EcgfmError, FormatError
from ecgfm_core.formats.header import read_header

State = Arrival.State
PATIENCE_S = 60  # how long a header waits for its samples, and samples for their header
ALONE = (".mat", ".txt", ".zip")
PIECE = 1 << 20
_OUR_FAULT = (errno.ENOSPC, errno.EDQUOT)  # no room for our copy
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Seen:
    """Files of one name, whatever their endings: they belong to one recording. Sizes and times at this look."""

    name: str
    paths: tuple[Path, ...]
    fingerprint: str
    size: int

    @property
    def header(self) -> Path | None:
        """The WFDB header, if there is one."""
        return next((path for path in self.paths if path.suffix.lower() == ".hea"), None)


def look() -> int:
    """Look into the watch folder of each running test; return how many arrivals were taken."""
    running = ProspectiveTest.objects.filter(state=ProspectiveTest.State.RUNNING).exclude(watch_path="")
    return sum(_look_alone(test) for test in running.select_related("dataset"))


def _look_alone(test: ProspectiveTest) -> int:
    """Look into one folder; what fails there keeps nobody from the others."""
    try:
        return _look(test)
    except (EcgfmError, OSError):
        log.exception("Watch folder of the test %s", test)
        return 0


def _look(test: ProspectiveTest) -> int:
    folder = settings.IMPORT_DIR.resolve() / test.watch_path
    if not folder.is_dir():
        return 0  # the page says so
    known = {
        (name, fingerprint): (pk, state)
        for pk, name, fingerprint, state in Arrival.objects.filter(test=test, source=Arrival.Source.FOLDER).values_list(
            "pk", "name", "fingerprint", "state"
        )
    }
    taken, present = 0, set()
    named_in = cache(_named_in)  # one reading of the headers a look
    for seen in see(folder):
        key = (seen.name, seen.fingerprint)
        present.add(key)
        if key not in known:
            _note(test, seen)
        elif known[key][1] == State.SETTLING:
            taken += _take(known[key][0], seen, named_in)
    # What was seen once and has changed since, or is gone, was never an arrival.
    changed = [pk for key, (pk, state) in known.items() if state == State.SETTLING and key not in present]
    Arrival.objects.filter(pk__in=changed, state=State.SETTLING).delete()
    return taken


def see(folder: Path) -> Iterator[Seen]:
    """Yield what lies in a folder, a recording at a time; links and hidden files are passed over."""
    groups: defaultdict[str, list[tuple[Path, os.stat_result]]] = defaultdict(list)
    for relative in list_files(folder).paths:
        path = folder / relative
        try:
            if not path.is_symlink() and path.is_file():
                alone = path.suffix.lower() == ".zip"
                groups[relative if alone else relative.removesuffix(path.suffix)].append((path, path.stat()))
        except OSError:
            continue  # gone, or renamed by whoever writes it
    for name, found in groups.items():
        yield Seen(
            recording_rows.printable(name)[-500:],
            tuple(path for path, _ in found),
            _fingerprint(found),
            sum(stat.st_size for _, stat in found),
        )


def _fingerprint(found: Iterable[tuple[Path, os.stat_result]]) -> str:
    """Say what sizes and times the files of a recording have."""
    facts = [(path.suffix, stat.st_size, stat.st_mtime_ns) for path, stat in found]
    return hashlib.sha256(repr(facts).encode()).hexdigest()


def _note(test: ProspectiveTest, seen: Seen) -> None:
    """Remember what was seen for the first time, or has changed; a newer look takes the place of the one before."""
    centre = seen.name.partition("/")[0][:60] if "/" in seen.name else ""
    earlier = Arrival.objects.filter(test=test, name=seen.name, state=State.SETTLING).order_by("pk").first()
    row = Arrival(
        test=test, source=Arrival.Source.FOLDER, state=State.SETTLING, name=seen.name, fingerprint=seen.fingerprint,
        centre=centre, received_at=earlier.received_at if earlier else timezone.now(),
    )  # fmt: skip
    Arrival.objects.bulk_create([row], ignore_conflicts=True)


@transaction.atomic
def _take(pk: int, seen: Seen, named_in: Callable[[Path], frozenset[str]]) -> bool:
    """Copy what has settled and put it in line; False if another worker has it, or something is still missing."""
    rows = Arrival.objects.filter(pk=pk, state=State.SETTLING).select_for_update(skip_locked=True, of=("self",))
    arrival = rows.select_related("test").first()
    if arrival is None:
        return False
    paths, missing = _whole(seen)
    if missing and timezone.now() - arrival.received_at < timedelta(seconds=PATIENCE_S):
        return False
    if missing and seen.header is None and not named_in(seen.paths[0].parent).isdisjoint(p.name for p in seen.paths):
        return False  # samples of a header of another name
    try:
        arrival.folder, arrival.content_sha256 = arrivals.keep((path.name, _pieces(path)) for path in paths)
        changed = _fingerprint((path, path.lstat()) for path in seen.paths) != seen.fingerprint
    except InvalidInput as error:
        arrivals.refuse(arrival=arrival, reason=f"{arrival.name}: {error}")
        return False
    except OSError as error:
        if error.errno in _OUR_FAULT:
            raise  # it is tried again at the next look
        arrivals.refuse(arrival=arrival, reason=f"{arrival.name}: it can't be copied ({error.strerror})")
        return False
    if changed:  # someone wrote on while it was copied: the next look begins anew with what it is then
        shutil.rmtree(arrivals.folder_of(arrival), ignore_errors=True)
        return False
    try:
        arrivals.enter(arrival)
    except BaseException:
        shutil.rmtree(arrivals.folder_of(arrival), ignore_errors=True)
        raise
    return True


def _whole(seen: Seen) -> tuple[list[Path], bool]:
    """Return the files of a recording, those its header names included, and whether some are missing."""
    if seen.header is None:
        return list(seen.paths), not any(path.suffix.lower() in ALONE for path in seen.paths)
    paths, missing = dict.fromkeys(seen.paths), False
    for name in _named_by(seen.header):  # of a header that can't be read, the reader will say why
        named = seen.header.parent / name
        if name in ("~", "-") or Path(name).name != name or named.is_symlink():
            continue
        if named.is_file():
            paths[named] = None
        else:
            missing = True
    return list(paths), missing


def _named_in(folder: Path) -> frozenset[str]:
    """Return the files of samples that the headers of a folder name."""
    return frozenset(name for header in folder.glob("*.hea") for name in _named_by(header))


def _named_by(header: Path) -> set[str]:
    """Return the files of samples that a header names; none where it can't be read."""
    try:
        return {line.file for line in read_header(header).signals}
    except (FormatError, OSError):
        return set()


def _pieces(path: Path) -> Iterator[bytes]:
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:  # a link may have taken its place
        while piece := file.read(PIECE):
            yield piece
