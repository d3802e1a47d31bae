"""Files of a checkpoint's embeddings: whole or not at all, found amiss by name."""

import json

import numpy as np
import pytest

from ecgfm_core.active import embedding_store
from ecgfm_core.active.embedding_store import KNOWN
from ecgfm_core.errors import StoreError

N, D = 70, 6


def blocks(count: int = N, size: int = 32, first: int = 100):
    """Blocks of rising ids with every second one left out; row n holds n throughout."""
    for start in range(0, count, size):
        row_B = np.arange(start, min(start + size, count))
        known_B = np.zeros(row_B.size, dtype=KNOWN)
        known_B["patient"], known_B["doubt"] = row_B // 2, np.nan
        yield first + 2 * row_B, known_B, np.repeat(row_B[:, None], D, axis=1).astype(">f2")


def halved(embeddings_ND: np.ndarray) -> np.ndarray:
    return embeddings_ND[:, : D // 2].astype(np.float32) / 2


def test_what_is_written_is_read_again(tmp_path):
    assert embedding_store.write(tmp_path / "new", blocks(), halved, [3, 7]) == N
    store = embedding_store.load(tmp_path / "new")
    assert store.stamp == embedding_store.stamp_of(tmp_path / "new") == [3, 7]
    assert store.ids_N.tolist() == list(range(100, 100 + 2 * N, 2))
    assert (store.embeddings_ND == np.arange(N)[:, None]).all()
    assert (store.features_NR == np.arange(N)[:, None] / 2).all()
    assert isinstance(store.embeddings_ND, np.memmap)
    assert isinstance(store.features_NR, np.memmap)
    assert (store.embeddings_ND.dtype, store.features_NR.dtype) == (np.float16, np.float16)
    assert store.known_N["patient"].tolist() == [n // 2 for n in range(N)]
    assert store.rows_of(np.array([100, 101, 238, 99, 10_000])).tolist() == [0, -1, N - 1, -1, -1]


def test_a_new_version_replaces_the_old_one(tmp_path):
    embedding_store.write(tmp_path, blocks(), halved, 1)
    old = embedding_store.load(tmp_path)
    embedding_store.write(tmp_path, blocks(count=10), halved, 2)
    assert len(embedding_store.load(tmp_path).ids_N) == 10
    assert len([entry for entry in tmp_path.iterdir() if entry.is_dir()]) == 1
    assert old.features_NR[-1, 0] == (N - 1) / 2, "who had opened it reads on"


def test_a_writer_that_stops_leaves_what_was_there(tmp_path):
    embedding_store.write(tmp_path, blocks(), halved, 1)

    def broken():
        yield from blocks(count=32)
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space"):
        embedding_store.write(tmp_path, broken(), halved, 2)
    assert embedding_store.stamp_of(tmp_path) == 1
    assert len(embedding_store.load(tmp_path).ids_N) == N
    assert len(list(tmp_path.iterdir())) == 2


def test_what_cannot_be_stored(tmp_path):
    with pytest.raises(StoreError, match="no embedding to store"):
        embedding_store.write(tmp_path, iter(()), halved, 1)
    with pytest.raises(StoreError, match="after row 32: their ids do not rise"):
        embedding_store.write(tmp_path, [*blocks(count=32), *blocks(count=32)], halved, 1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["embeddings.npy", "features.npy", "ids.npy", "known.npy"])
@pytest.mark.parametrize("harm", ["cut", "gone", "other", "words"])
def test_a_damaged_file_is_found(tmp_path, name, harm):
    embedding_store.write(tmp_path, blocks(), halved, 1)
    file = next(tmp_path.glob(f"*/{name}"))
    if harm == "cut":
        with file.open("r+b") as open_file:
            open_file.truncate(file.stat().st_size - 40)
    elif harm == "gone":
        file.unlink()
    elif harm == "other":
        np.save(file, np.load(file)[:-1])
    else:
        file.write_text("not an array")
    with pytest.raises(StoreError, match="write them again"):
        embedding_store.load(tmp_path)


@pytest.mark.parametrize("about", ["", "{", "[]", '{"version": "x"}', json.dumps({"version": "gone", "recordings": 1})])
def test_a_damaged_or_missing_note_is_found(tmp_path, about):
    with pytest.raises(StoreError, match="cannot be opened"):
        embedding_store.load(tmp_path)
    (tmp_path / embedding_store.ABOUT).write_text(about)
    with pytest.raises(StoreError, match="cannot be opened"):
        embedding_store.load(tmp_path)
    assert embedding_store.stamp_of(tmp_path) is None
