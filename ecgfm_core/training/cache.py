"""Int16 arrays packed into memory-mapped, checksummed shards, made once and read by many processes and hosts. No torch.

One cache is one folder, named by a key that its maker chooses: ``index.json`` (format, shards, their sha256),
``starts.npy`` (where each row begins), ``000.i16`` and so on, ``checked/`` (a note from each host that has compared the
checksums) and ``used`` (touched by whoever reads it). The folder gets its name when all of it is on disk: half a cache
is never seen. Of several makers one works and the others wait; where the file system has no locks all work and the
first wins.

A cache that nobody has used for `KEPT_DAYS` is removed when another one is made beside it.
"""

import errno
import fcntl
import json
import os
import platform
import re
import shutil
import time
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from hashlib import file_digest, sha256
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO
from uuid import uuid4

import numpy as np

from ecgfm_core.errors import TrainingError
from ecgfm_core.training.run_folder import write_json

SHARD_BYTES = 256 * 2**20
KEPT_DAYS = 14
_FORMAT_VERSION = 1
_GROW_EVERY = 128  # after twice as many shards they grow, as each one mapped is an open file
_LOOK_S = 0.5
_INDEX, _STARTS, _CHECKED, _USED = "index.json", "starts.npy", "checked", "used"
_OURS = re.compile(r"[0-9a-f]{24}|\.[0-9a-f]{24}\.[0-9a-f]{32}")  # a cache; one half made or half removed

Progress = Callable[[int, int], None]


class Packed:
    """The rows of a cache; `row(index)` is a view of the mapped file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        index = _index(path)
        self.starts = np.load(path / _STARTS)
        self._first_rows = [shard["first_row"] for shard in index["shards"]]
        # A plain view: slicing a memmap itself costs as much as copying a short crop.
        self._shards = [
            np.memmap(path / shard["name"], dtype="<i2", mode="r").view(np.ndarray) for shard in index["shards"]
        ]
        self.keep()

    def __len__(self) -> int:
        return len(self.starts) - 1

    def row(self, index: int) -> np.ndarray:
        """Give int16 `[samples]` of one row."""
        shard = bisect_right(self._first_rows, index) - 1
        start = self.starts[self._first_rows[shard]]
        return self._shards[shard][self.starts[index] - start : self.starts[index + 1] - start]

    def keep(self) -> None:
        """Say that this cache is in use; a long run does so now and then."""
        with suppress(OSError):  # a folder that can only be read is nobody's to clear either
            (self.path / _USED).touch()


def find_or_make(
    folder: Path,
    key: str,
    count: int,
    make: Callable[[int], np.ndarray],
    progress: Progress,
    *,
    threads: int = 1,
    shard_bytes: int = SHARD_BYTES,
) -> Path:
    """Give the folder of the cache `key` (24 hex digits) of `count` rows, made with ``make(row)`` where it is missing.

    `progress(done, count)` is called after each row, and while another process is waited for; what it raises ends the
    making and leaves nothing behind. Checksums are compared the first time on a host, and when a file has changed.

    Raises
    ------
    TrainingError
        If a shard is damaged.
    """
    path = folder / key
    folder.mkdir(parents=True, exist_ok=True)
    if _known_sound(path):
        return path
    with _turn(folder / f".{key}.lock", lambda: progress(0, count)) as alone:
        if alone:
            for left in folder.glob(f".{key}.{'?' * 32}"):  # by a maker that was killed
                shutil.rmtree(left, ignore_errors=True)
        if not path.exists():
            _make(path, count, make, progress, threads, shard_bytes)
            _remove_old(folder, path)
        if not _known_sound(path):
            _compare(path, lambda: progress(count, count))
    return path


def _make(
    path: Path, count: int, make: Callable[[int], np.ndarray], progress: Progress, threads: int, shard_bytes: int
) -> None:
    partial = path.with_name(f".{path.name}.{uuid4().hex}")
    partial.mkdir()
    try:
        with _Shards(partial, shard_bytes) as shards:
            for index, row in enumerate(_in_order(make, count, threads)):
                shards.add(row)
                progress(index + 1, count)
        try:
            partial.rename(path)
        except OSError:
            if not path.exists():  # else another maker was first, and its cache is the same
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _in_order(make: Callable[[int], np.ndarray], count: int, threads: int) -> Iterator[np.ndarray]:
    """Make rows in several threads, a few ahead of the one that is asked for."""
    if threads <= 1:
        yield from map(make, range(count))
        return
    with ThreadPoolExecutor(threads) as pool:
        ahead: deque[Future[np.ndarray]] = deque()
        try:
            for index in range(count):
                ahead.append(pool.submit(make, index))
                if len(ahead) >= 4 * threads:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


class _Shards:
    """Writes rows into shards, the index last."""

    def __init__(self, folder: Path, shard_bytes: int) -> None:
        self.folder, self.shard_bytes = folder, shard_bytes
        self.starts, self.shards = [0], list[dict[str, Any]]()
        self.file: BinaryIO | None = None
        self.size, self.digest = 0, sha256()

    def __enter__(self) -> "_Shards":
        return self

    def add(self, row: np.ndarray) -> None:
        """Write one row, which never lies in two shards."""
        limit = self.shard_bytes * max(1, len(self.shards) // _GROW_EVERY)
        if self.file is None or (self.size and self.size + row.nbytes > limit):
            self._end_shard()
            name, self.size, self.digest = f"{len(self.shards):03}.i16", 0, sha256()
            self.shards.append({"name": name, "first_row": len(self.starts) - 1})
            self.file = (self.folder / name).open("wb")
        data = np.ascontiguousarray(row, dtype="<i2").data
        self.file.write(data)
        self.digest.update(data)
        self.size += row.nbytes
        self.starts.append(self.starts[-1] + row.size)

    def _end_shard(self) -> None:
        if self.file is not None:
            self.file.flush()
            os.fsync(self.file.fileno())
            self.file.close()
            self.shards[-1] |= {"bytes": self.size, "sha256": self.digest.hexdigest()}

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end_shard()
        if kind is None:
            np.save(self.folder / _STARTS, np.array(self.starts, dtype=np.int64))
            starts = {"name": _STARTS, "bytes": (self.folder / _STARTS).stat().st_size}
            starts["sha256"] = _sha256(self.folder / _STARTS)
            write_json(
                self.folder / _INDEX, {"format_version": _FORMAT_VERSION, "shards": self.shards, "starts": starts}
            )
            _note(self.folder)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def _damaged(path: Path, what: str) -> TrainingError:
    return TrainingError(f"Cache {path}: {what}; delete this folder and start again, and it is made anew")


def _index(path: Path) -> dict[str, Any]:
    try:
        index = json.loads((path / _INDEX).read_text(encoding="utf-8"))
        if index["format_version"] == _FORMAT_VERSION and {*index} >= {"shards", "starts"}:
            return dict(index)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(path, f"{_INDEX} can't be read ({error})") from error
    raise _damaged(path, f"{_INDEX} is of format {index['format_version']}, {_FORMAT_VERSION} is known")


def _files(path: Path) -> list[dict[str, Any]]:
    index = _index(path)
    return [index["starts"], *index["shards"]]


def _stats(path: Path) -> dict[str, list[int]] | None:
    """Size and time of every file; None where one is missing."""
    try:
        found = {one["name"]: (path / one["name"]).stat() for one in _files(path)}
    except FileNotFoundError:
        return None
    return {name: [stat.st_size, stat.st_mtime_ns] for name, stat in found.items()}


def _note(path: Path) -> None:
    """Note that this host has seen every checksum to be right."""
    with suppress(OSError):
        (path / _CHECKED).mkdir(exist_ok=True)
        write_json(path / _CHECKED / platform.node(), _stats(path))


def _known_sound(path: Path) -> bool:
    """Whether this host has compared the checksums, and no file has changed since."""
    try:
        return json.loads((path / _CHECKED / platform.node()).read_text(encoding="utf-8")) == _stats(path)
    except (OSError, ValueError):
        return False


def _compare(path: Path, tick: Callable[[], None]) -> None:
    for one in _files(path):
        tick()
        name = path / one["name"]
        if not name.exists():
            raise _damaged(path, f"{one['name']} is missing")
        if name.stat().st_size != one["bytes"]:
            raise _damaged(path, f"{one['name']} is damaged ({name.stat().st_size:,} bytes of {one['bytes']:,})")
        if _sha256(name) != one["sha256"]:
            raise _damaged(path, f"{one['name']} is damaged (its sha256 differs)")
    _note(path)


@contextmanager
def _turn(lock: Path, tick: Callable[[], None]) -> Iterator[bool]:
    """Wait for one's turn; gives False where the file system has no locks."""
    with lock.open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                alone = True
                break
            except OSError as error:
                if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                    alone = False
                    break
            tick()
            time.sleep(_LOOK_S)
        yield alone


def _remove_old(folder: Path, made: Path) -> None:
    """Remove what nobody has used for `KEPT_DAYS`, first from sight, then from disk."""
    for path in folder.iterdir():
        if path == made or not _OURS.fullmatch(path.name):
            continue
        used = path / _USED if (path / _USED).exists() else path
        with suppress(OSError):
            if time.time() - used.stat().st_mtime > KEPT_DAYS * 86400:
                hidden = path if path.name.startswith(".") else path.rename(folder / f".{path.name}.{uuid4().hex}")
                shutil.rmtree(hidden, ignore_errors=True)
                (folder / f".{path.name}.lock").unlink(missing_ok=True)
