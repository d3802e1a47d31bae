"""The embeddings of one checkpoint as memory-mapped files, so that heads are refitted without asking the database.

A folder holds a version of them; `about.json`, replaced whole, names the one that counts. So a reader finds all of a
version or none, whatever stops a writer. Axes: N recordings by rising id, B of a block, D embedding width, R features.
"""

import json
import shutil
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np

from ecgfm_core.errors import StoreError

ABOUT = "about.json"
SPLITS = ("train", "validate", "test")
# What is fixed for a recording once it is scored. Patient and centre are hashes; `split` is an index of SPLITS; `given`
# is what the source says of abnormal: 0, 1 or -1 (unknown, or of the test split, which is never learned from); `doubt`
# is the cross-entropy in nats of its most doubtful other label, NaN where the models contradict none.
KNOWN = np.dtype(
    [
        ("dataset", "i8"), ("patient", "i8"), ("centre", "i8"), ("split", "i1"), ("readable", "?"), ("given", "i1"),
        ("doubt", "f4"),
    ]
)  # fmt: skip
Block = tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True)
class EmbeddingStore:
    """One version, opened.

    Attributes
    ----------
    ids_N : int64, rising
    known_N : structured, see `KNOWN`
    embeddings_ND : float16, memory-mapped
    features_NR : float16, memory-mapped; the embeddings as `crossfit.reduce` leaves them, a quarter of their size
    stamp : what the writer said of the moment the rows were read; another one now means that the files are stale
    """

    ids_N: np.ndarray
    known_N: np.ndarray
    embeddings_ND: np.ndarray
    features_NR: np.ndarray
    stamp: Any

    def rows_of(self, ids_K: np.ndarray) -> np.ndarray:
        """Row ``[K]`` of each id; -1 where it is not stored."""
        row_K = np.minimum(np.searchsorted(self.ids_N, ids_K), self.ids_N.size - 1)
        return np.where(self.ids_N[row_K] == ids_K, row_K, -1)


def write(folder: Path, blocks: Iterable[Block], reduce: Callable[[np.ndarray], np.ndarray], stamp: Any) -> int:
    """Write a version, make it the one that counts, remove the others; returns how many recordings it holds.

    Parameters
    ----------
    folder : made where it is missing
    blocks : ids ``[B]``, what is known ``[B]`` of dtype `KNOWN`, embeddings ``[B, D]``; the ids rise
    reduce : embeddings ``[N, D]`` -> features ``[N, R]``, as `crossfit.reduce`
    stamp : anything JSON holds, see `EmbeddingStore`

    Raises
    ------
    StoreError
        If there is no row, or the ids do not rise.
    """
    version = folder / uuid4().hex
    version.mkdir(parents=True)
    try:
        count = _write_rows(version, blocks)
        embeddings_ND = np.load(version / "embeddings.npy", mmap_mode="r")
        np.save(version / "features.npy", reduce(embeddings_ND).astype(np.float16))
        draft = version / ABOUT
        draft.write_text(json.dumps({"version": version.name, "recordings": count, "stamp": stamp}), encoding="utf-8")
        draft.replace(folder / ABOUT)
    except BaseException:
        shutil.rmtree(version, ignore_errors=True)
        raise
    for other in folder.iterdir():
        if other.is_dir() and other != version:
            shutil.rmtree(other, ignore_errors=True)
    return count


def _write_rows(version: Path, blocks: Iterable[Block]) -> int:
    ids: list[np.ndarray] = []
    known: list[np.ndarray] = []
    count = 0
    with (version / "embeddings.npy").open("wb") as file:
        for ids_B, known_B, embeddings_BD in blocks:
            if not count:
                _header(file, (0, embeddings_BD.shape[1]))
            if (np.diff(np.concatenate([ids[-1][-1:] if ids else [], ids_B])) <= 0).any():
                raise StoreError(f"Embeddings after row {count:,}: their ids do not rise; sort them by id")
            ids.append(ids_B.astype(np.int64))
            known.append(known_B.astype(KNOWN))
            file.write(np.ascontiguousarray(embeddings_BD, dtype="<f2").data)
            count += len(ids_B)
        if not count:
            raise StoreError("There is no embedding to store; score recordings with this checkpoint first")
        file.seek(0)
        _header(file, (count, embeddings_BD.shape[1]))  # as long as the first one: numpy leaves room for more rows
    np.save(version / "ids.npy", np.concatenate(ids))
    np.save(version / "known.npy", np.concatenate(known))
    return count


def _header(file: Any, shape: tuple[int, int]) -> None:
    np.lib.format.write_array_header_1_0(file, {"descr": "<f2", "fortran_order": False, "shape": shape})


def stamp_of(folder: Path) -> Any:
    """Return the stamp of the version that counts; None where there is none."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        return json.loads((folder / ABOUT).read_text(encoding="utf-8"))["stamp"]
    return None


def load(folder: Path) -> EmbeddingStore:
    """Open the version that counts.

    Raises
    ------
    StoreError
        If a file is missing, cut short, or does not fit the others.
    """
    try:
        about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        version, count = folder / about["version"], about["recordings"]
        store = EmbeddingStore(
            ids_N=np.load(version / "ids.npy"),
            known_N=np.load(version / "known.npy"),
            embeddings_ND=np.load(version / "embeddings.npy", mmap_mode="r"),
            features_NR=np.load(version / "features.npy", mmap_mode="r"),
            stamp=about["stamp"],
        )
    except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
        raise StoreError(f"The embeddings in {folder} cannot be opened ({error}); write them again") from error
    sizes = {len(store.ids_N), len(store.known_N), len(store.embeddings_ND), len(store.features_NR)}
    if sizes != {count} or store.known_N.dtype != KNOWN:
        raise StoreError(f"The embeddings in {folder}: {sorted(sizes)} rows, {count} are expected; write them again")
    return store
