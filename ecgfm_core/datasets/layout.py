"""What a layout is: how it is recognised, and which entries it lists."""

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ecgfm_core import formats
from ecgfm_core.errors import FormatError
from ecgfm_core.recording import Recording

FILES_MAX = 5_000_000


@dataclass(frozen=True)
class Files:
    """The files under a folder: paths relative to `root`, sorted as people sort (2 before 10)."""

    root: Path
    paths: tuple[str, ...]
    known: frozenset[str] = field(repr=False)

    def with_suffix(self, suffix: str) -> list[str]:
        """Give the paths that end so, whatever the case of their letters."""
        return [path for path in self.paths if path.lower().endswith(suffix)]

    def find(self, name: str) -> Path | None:
        """Give the shallowest file of this name."""
        found = [path for path in self.paths if path.rsplit("/", 1)[-1] == name]
        return self.root / min(found, key=lambda path: path.count("/")) if found else None


@dataclass(frozen=True)
class Entry:
    """One recording of a set, not read yet; `load` raises FormatError or RecordingError with the true reason.

    `fold` is the set's own split number, where its list tells before the recording is read.
    """

    name: str
    load: Callable[[], Recording]
    fold: int | None = None


@dataclass(frozen=True)
class Layout:
    """An official form of a set."""

    key: str
    title: str
    fits: Callable[[Files], bool]
    entries: Callable[[Files], Iterator[Entry]]


def list_files(folder: Path) -> Files:
    """List every file under a folder; links to other folders are not followed, hidden files are passed over."""
    found: list[str] = []
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith((".", "__MACOSX"))]
        inside = os.path.relpath(parent, folder).replace(os.sep, "/")
        prefix = "" if inside == "." else f"{inside}/"
        found += [prefix + name for name in names if not name.startswith(".")]
        if len(found) > FILES_MAX:
            raise FormatError(f"{folder.name}: more than {FILES_MAX:,} files; import its parts one by one")
    return Files(folder, tuple(sorted(found, key=_natural)), frozenset(found))


def _natural(path: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"([0-9]{1,18})", path)]


def reader(files: Files, path: str, name: str) -> Callable[[], Recording]:
    """Give the function that reads one file under a name."""
    return lambda: formats.read(files.root / path, name)
