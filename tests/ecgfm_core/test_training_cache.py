"""The packed cache: made once by whoever comes first, whole or not at all, checked, shared, and cleared by rule."""

import json
import multiprocessing
import os
import time
from collections.abc import Callable
from multiprocessing.context import SpawnContext
from pathlib import Path

import numpy as np
import pytest

from ecgfm_core.errors import TrainingError
from ecgfm_core.training import cache
from ecgfm_core.training.cache import KEPT_DAYS, Packed, find_or_make

KEY = "0123456789abcdef01234567"
SPAWN: SpawnContext = multiprocessing.get_context("spawn")


def row(index: int) -> np.ndarray:
    """Row `index` has 12 * (10 + index) samples, all different from those of other rows."""
    return np.arange(12 * (10 + index), dtype=np.int16) + 1000 * index


def quiet(_done: int, _total: int) -> None:
    return None


def made(folder: Path, count: int = 6, key: str = KEY, **more: object) -> Packed:
    return Packed(find_or_make(folder, key, count, row, quiet, **more))  # type: ignore[arg-type]


def never(_index: int) -> np.ndarray:
    raise AssertionError("made again")


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("shard_bytes", [1, 700, 10**6])
def test_every_row_comes_back_from_shards_of_any_size(tmp_path: Path, threads: int, shard_bytes: int) -> None:
    packed = made(tmp_path, 9, threads=threads, shard_bytes=shard_bytes)
    assert len(packed) == 9
    for index in np.arange(9):
        np.testing.assert_array_equal(packed.row(index), row(index))
    sizes = [path.stat().st_size for path in packed.path.glob("*.i16")]
    assert all(size <= shard_bytes for size in sizes) or shard_bytes == 1
    assert len(sizes) == {1: 9, 700: 6, 10**6: 1}[shard_bytes]


def test_an_empty_cache_is_a_cache(tmp_path: Path) -> None:
    assert len(made(tmp_path, 0)) == 0


def test_it_is_made_once_and_progress_is_said_in_order(tmp_path: Path) -> None:
    said: list[tuple[int, int]] = []
    find_or_make(tmp_path, KEY, 3, row, lambda done, total: said.append((done, total)), threads=2)
    assert said == [(1, 3), (2, 3), (3, 3)]
    find_or_make(tmp_path, KEY, 3, never, lambda *_: pytest.fail("prepared again"))


@pytest.mark.parametrize("threads", [1, 3])
def test_a_maker_that_fails_or_is_stopped_leaves_nothing(tmp_path: Path, threads: int) -> None:
    def stop(done: int, _total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        find_or_make(tmp_path, KEY, 6, row, stop, threads=threads)
    assert [path.name for path in tmp_path.iterdir()] == [f".{KEY}.lock"]
    assert len(made(tmp_path)) == 6


def test_what_a_killed_maker_left_is_never_used_and_cleared(tmp_path: Path) -> None:
    process = SPAWN.Process(target=_make_and_stall, args=(tmp_path,))
    process.start()
    while not list(tmp_path.glob(f".{KEY}.*/000.i16")):
        time.sleep(0.01)
    assert not (tmp_path / KEY).exists()
    process.kill()
    process.join()
    assert len(made(tmp_path)) == 6
    assert {path.name for path in tmp_path.iterdir()} == {KEY, f".{KEY}.lock"}


def _make_and_stall(folder: Path) -> None:
    find_or_make(folder, KEY, 6, row, lambda done, _total: time.sleep(60 if done == 3 else 0))


def test_of_two_makers_at_once_one_makes_and_both_read(tmp_path: Path) -> None:
    processes = [SPAWN.Process(target=_make_slowly, args=(tmp_path, name)) for name in ("a", "b")]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    calls = [int((tmp_path / name).read_text()) for name in ("a", "b")]
    assert sorted(calls) == [0, 6]


def _make_slowly(folder: Path, name: str) -> None:
    calls = 0

    def slow(index: int) -> np.ndarray:
        nonlocal calls
        calls += 1
        time.sleep(0.05)
        return row(index)

    packed = Packed(find_or_make(folder / "cache", KEY, 6, slow, quiet))
    np.testing.assert_array_equal(packed.row(5), row(5))
    (folder / name).write_text(str(calls))


def test_without_locks_both_make_and_the_first_wins(tmp_path: Path) -> None:
    """As on a file system that passes no locks on: the second finds the folder there when its own is ready."""
    cache._make(tmp_path / KEY, 6, row, quiet, 1, 10**6)
    before = (tmp_path / KEY).stat().st_ino
    cache._make(tmp_path / KEY, 6, row, quiet, 1, 10**6)
    assert [path.name for path in tmp_path.iterdir()] == [KEY]
    assert (tmp_path / KEY).stat().st_ino == before
    assert len(made(tmp_path)) == 6


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[7] ^= 1
    path.write_bytes(data)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-2])


@pytest.mark.parametrize(
    ("name", "damage", "words"),
    [
        ("001.i16", _flip, r"001.i16 is damaged \(its sha256 differs\); delete this folder and start again"),
        ("001.i16", _cut, r"001.i16 is damaged \(\d+ bytes of"),
        ("001.i16", Path.unlink, "001.i16 is missing"),
        ("starts.npy", _flip, "starts.npy is damaged"),
        ("index.json", Path.unlink, "index.json can't be read"),
        ("index.json", lambda path: path.write_text('{"format_version": 9}'), "format 9"),
    ],
)
def test_what_is_damaged_is_named_with_how_to_go_on(
    tmp_path: Path, name: str, damage: Callable[[Path], object], words: str
) -> None:
    path = made(tmp_path, shard_bytes=700).path
    damage(path / name)
    with pytest.raises(TrainingError, match=words):
        find_or_make(tmp_path, KEY, 6, never, quiet)


def test_another_host_compares_the_checksums_first(tmp_path: Path) -> None:
    """A copy that an unreliable disk or network changed, with the times and sizes of the original."""
    path = made(tmp_path, shard_bytes=700).path
    times = (path / "001.i16").stat()
    _flip(path / "001.i16")
    os.utime(path / "001.i16", ns=(times.st_atime_ns, times.st_mtime_ns))
    made(tmp_path)  # this host has compared them and sees no change
    (note,) = (path / "checked").iterdir()
    note.unlink()
    with pytest.raises(TrainingError, match="sha256 differs"):
        find_or_make(tmp_path, KEY, 6, never, quiet)
    _flip(path / "001.i16")
    made(tmp_path)
    assert json.loads(note.read_text())["001.i16"][0] == (path / "001.i16").stat().st_size


def test_a_new_cache_clears_what_nobody_has_used_for_long(tmp_path: Path) -> None:
    old, used, foreign = made(tmp_path, key="a" * 24), made(tmp_path, key="b" * 24), tmp_path / "thesis"
    foreign.mkdir()
    long_ago = time.time() - (KEPT_DAYS + 1) * 86400
    for path in (old.path / "used", used.path / "used", foreign):
        os.utime(path, (long_ago, long_ago))
    used.keep()
    made(tmp_path)
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} == {used.path.name, KEY, "thesis"}
    np.testing.assert_array_equal(old.row(3), row(3))  # who still has it open reads on
