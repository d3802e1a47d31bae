"""Checking a curated release, in a folder or in a zip, without unpacking it."""

import hashlib
import json
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from ecgfm_core.errors import ReleaseError
from ecgfm_core.release_format import FORMAT, MANIFEST, SUMS
from ecgfm_core.release_tables import TABLES

PROBLEMS_MAX = 50
OPTIONAL = ("wfdb/", "waveforms.parquet")


class _Files:
    """The files of a release, wherever they lie."""

    def __init__(self, path: Path) -> None:
        self.path, self.zip, self.prefix = path, None, ""
        if path.is_dir():
            self.names = {one.relative_to(path).as_posix() for one in path.rglob("*") if one.is_file()}
        elif path.is_file() and zipfile.is_zipfile(path):
            self.zip = zipfile.ZipFile(path)
            names = [name for name in self.zip.namelist() if not name.endswith("/")]
            self.prefix = next((name[: -len(MANIFEST)] for name in names if Path(name).name == MANIFEST), "")
            self.names = {name.removeprefix(self.prefix) for name in names}
        else:
            raise ReleaseError(f"{path}: neither a folder nor a zip file. Name the folder or download of a release.")

    @contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        if self.zip is None:
            with (self.path / name).open("rb") as file:
                yield file
        else:
            with self.zip.open(self.prefix + name) as file:
                yield file

    def sha256(self, name: str) -> str:
        with self.open(name) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]

    def table(self, name: str, columns: list[str]) -> pa.Table:
        with self.open(f"{name}.parquet") as file:
            # One thread: pyarrow's pool may abort a process that ends right after it was used.
            return pq.ParquetFile(pa.BufferReader(file.read())).read(columns=columns, use_threads=False)


def problems(path: Path) -> list[str]:
    """Return what is wrong with a release, in words, at most `PROBLEMS_MAX`; raises ReleaseError if it is none."""
    files = _Files(path)
    manifest = _manifest(files)
    found = list(_broken_files(files, manifest))
    if not found:
        try:
            found = list(_broken_tables(files, manifest))
        except (pa.ArrowException, KeyError) as error:
            found = [f"a table can't be read ({error})"]
    if len(found) > PROBLEMS_MAX:
        found = [*found[:PROBLEMS_MAX], f"and {len(found) - PROBLEMS_MAX:,} more"]
    return found


def _manifest(files: _Files) -> dict[str, Any]:
    if missing := sorted({MANIFEST, SUMS} - files.names):
        raise ReleaseError(f"{files.path}: no {', '.join(missing)}. Name the folder or the download of a release.")
    with files.open(MANIFEST) as file:
        try:
            manifest = json.load(file)
        except ValueError as error:
            raise ReleaseError(f"{MANIFEST}: not JSON ({error}). Download the release again.") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise ReleaseError(f"{MANIFEST}: its format is not {FORMAT}. Use the version of ecgfm that wrote it.")
    return manifest


def _broken_files(files: _Files, manifest: dict[str, Any]) -> Iterator[str]:
    if files.sha256(SUMS) != manifest.get("sums_sha256"):
        yield f"{SUMS}: its sha256 is not the one in {MANIFEST}"
        return
    with files.open(SUMS) as file:
        sums = {path: sha for sha, _, path in (line.decode().rstrip("\n").partition("  ") for line in file)}
    left_out = tuple(part for part in OPTIONAL if not any(name.startswith(part) for name in files.names))
    if len(left_out) == len(OPTIONAL):
        yield "neither wfdb/ nor waveforms.parquet is there"
    for name, sha256 in sums.items():
        if name not in files.names:
            if not (left_out and name.startswith(left_out)):
                yield f"{name}: missing"
        elif files.sha256(name) != sha256:
            yield f"{name}: changed, its sha256 is not the one in {SUMS}"
    yield from (f"{name}: not part of the release" for name in sorted(files.names - set(sums) - {MANIFEST, SUMS}))


def _broken_tables(files: _Files, manifest: dict[str, Any]) -> Iterator[str]:
    recordings = files.table("recordings", ["recording_id", "patient", "split"])
    stated = manifest["counts"]["recordings"]
    ids = set(recordings["recording_id"].to_pylist())
    if not len(ids) == recordings.num_rows == stated:
        yield f"recordings.parquet: {recordings.num_rows:,} rows, {len(ids):,} ids, {stated:,} stated"
    patients = recordings.group_by("patient").aggregate([("split", "count_distinct")]).to_pylist()
    for row in patients:
        if row["split_count_distinct"] > 1:
            yield f"recordings.parquet: patient {row['patient']} lies in {row['split_count_distinct']} splits"
    for name in ("labels", "source_labels", "consensus", "annotations"):
        strangers = set(files.table(name, ["recording_id"])["recording_id"].to_pylist()) - ids
        if strangers:
            yield f"{name}.parquet: {len(strangers):,} recordings that are not in the release, such as {min(strangers)}"
    known = set(files.table("scheme", ["code"])["code"].to_pylist())
    unknown = set(files.table("labels", ["code"])["code"].to_pylist()) - known
    if unknown:
        yield f"labels.parquet: codes that are not in the scheme: {', '.join(sorted(unknown)[:10])}"
    for name in sorted(set(TABLES) - {"recordings"}):
        rows = files.table(name, [TABLES[name].names[0]]).num_rows
        if rows != manifest["counts"].get(name):
            yield f"{name}.parquet: {rows:,} rows, {manifest['counts'].get(name)} stated"
