"""A curated release on disk: WFDB records, Parquet tables, checksums; written as a stream and checked file by file.

README.txt, manifest.json (the header, and the sha256 of SHA256SUMS), SHA256SUMS (every other file, as `sha256sum -c`
reads it), RECORDS and wfdb/ (format 16, labels in ``#Dx``), waveforms.parquet (the same samples), splits.csv, and a
Parquet table for each of `TABLES`.
"""

import csv
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ecgfm_core.errors import ReleaseError
from ecgfm_core.release_tables import TABLES, WAVEFORMS

FORMAT = "ecgfm-release-1"
MANIFEST, SUMS, README, RECORDS, SPLITS = "manifest.json", "SHA256SUMS", "README.txt", "RECORDS", "splits.csv"
RECORDS_A_FOLDER = 1000
WAVEFORM_GROUP = 64
CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class ReleasedRecording:
    """One recording of a release: its samples as stored, int16 ``[lead, sample]``, and its row of `recordings`.

    `codes` are the statements that hold, for the header's ``#Dx``; `row` has the columns of ``TABLES["recordings"]``
    but for ``record_path``.
    """

    id: int
    samples: np.ndarray
    codes: tuple[str, ...]
    row: dict[str, Any]


def record_path(recording_id: int) -> str:
    """Return where a recording's WFDB record lies in a release, without an ending."""
    return f"wfdb/{recording_id // RECORDS_A_FOLDER:05d}/R{recording_id:08d}"


def write_release(
    folder: Path,
    header: Mapping[str, Any],
    recordings: Iterable[ReleasedRecording],
    tables: Mapping[str, Iterable[dict[str, Any]]],
) -> str:
    """Write a release into an empty folder, one recording in memory at a time.

    Parameters
    ----------
    folder : is made; must not exist
    header : number, title, notes, scheme_version and whatever else shall stand in manifest.json
    recordings : in order of their ids
    tables : rows of each of `TABLES` but recordings

    Returns
    -------
    sha256 of manifest.json, which vouches for every file.
    """
    folder.mkdir(parents=True)
    counts = {"recordings": _write_recordings(folder, recordings)}
    for name, rows in tables.items():
        counts[name] = _write_table(folder / f"{name}.parquet", TABLES[name], rows)
    (folder / README).write_text(readme(header, counts), encoding="utf-8")
    with (folder / SUMS).open("w", encoding="utf-8") as sums:
        for path in sorted(_files(folder) - {SUMS}):
            sums.write(f"{_sha256(folder / path)}  {path}\n")
    manifest = {"format": FORMAT, **header, "counts": counts, "sums_sha256": _sha256(folder / SUMS)}
    text = json.dumps(manifest, ensure_ascii=False, indent=1, default=str) + "\n"
    (folder / MANIFEST).write_text(text, encoding="utf-8")
    return _sha256(folder / MANIFEST)


def _write_recordings(folder: Path, recordings: Iterable[ReleasedRecording]) -> int:
    count = 0
    with (
        pq.ParquetWriter(folder / "recordings.parquet", TABLES["recordings"]) as table,
        pq.ParquetWriter(folder / "waveforms.parquet", WAVEFORMS, compression="zstd") as waveforms,
        (folder / RECORDS).open("w", encoding="utf-8") as records,
        (folder / SPLITS).open("w", encoding="utf-8", newline="") as splits_file,
    ):
        splits = csv.writer(splits_file)
        splits.writerow(("recording_id", "patient", "split"))
        for group in _groups(recordings, WAVEFORM_GROUP):
            rows = []
            for one in group:
                path = record_path(one.id)
                write_wfdb(folder / path, one)
                records.write(f"{path}\n")
                splits.writerow((one.id, one.row["patient"], one.row["split"]))
                rows.append({**one.row, "record_path": path})
            table.write_table(pa.Table.from_pylist(rows, schema=TABLES["recordings"]))
            waveforms.write_table(_waveform_table(group))
            count += len(group)
    return count


def _waveform_table(group: list[ReleasedRecording]) -> pa.Table:
    rows = [
        {
            "recording_id": one.id,
            "lead_count": one.samples.shape[0],
            "sample_count": one.samples.shape[1],
            "scale_mv": one.row["scale_mv"],
            "samples": np.ascontiguousarray(one.samples, dtype="<i2").tobytes(),
        }
        for one in group
    ]
    return pa.Table.from_pylist(rows, schema=WAVEFORMS)


def write_wfdb(path: Path, one: ReleasedRecording) -> None:
    """Write one WFDB record of format 16; a missing sample is -32768, as WFDB has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    samples, row = one.samples, one.row
    path.with_suffix(".dat").write_bytes(np.ascontiguousarray(samples.T, dtype="<i2").tobytes())
    unit = "mV" if row["calibrated"] else "NU"
    gain = repr(float(f"{1 / row['scale_mv']:.12g}"))
    lines = [f"{path.name} {samples.shape[0]} {row['sampling_rate_hz']:.12g} {samples.shape[1]}"]
    for lead, name in zip(samples, row["lead_names"], strict=True):
        checksum = int(lead.astype(np.int64).sum()) & 0xFFFF
        checksum -= 0x10000 if checksum > 0x7FFF else 0
        lines.append(f"{path.name}.dat 16 {gain}(0)/{unit} 16 0 {int(lead[0])} {checksum} 0 {name}")
    age, sex = row["age_years"], {"F": "Female", "M": "Male"}.get(row["sex"], "Unknown")
    lines += [f"#Age: {'Unknown' if age is None else f'{age:g}'}", f"#Sex: {sex}", f"#Dx: {','.join(one.codes)}"]
    path.with_suffix(".hea").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _write_table(path: Path, schema: pa.Schema, rows: Iterable[dict[str, Any]]) -> int:
    count = 0
    with pq.ParquetWriter(path, schema) as writer:
        for group in _groups(rows, 5000):
            writer.write_table(pa.Table.from_pylist(group, schema=schema))
            count += len(group)
    return count


def readme(header: Mapping[str, Any], counts: Mapping[str, int]) -> str:
    """Say what is in a release and how to use it."""
    tables = "\n".join(f"  {name}.parquet: {counts.get(name, 0):,} rows" for name in TABLES)
    return (
        f"{header.get('title', '')} (release {header.get('number', '')})\n\n{header.get('notes', '')}\n\n"
        f"{counts['recordings']:,} recordings, label scheme {header.get('scheme_version', '')}.\n\n"
        "Check it: ecgfm verify-release FOLDER, or sha256sum -c SHA256SUMS.\n"
        "WFDB: wfdb.rdrecord('wfdb/00000/R00000001'); the statements that hold are in the #Dx line (SNOMED CT).\n"
        "Parquet: pandas.read_parquet('recordings.parquet'). The samples of waveforms.parquet are little-endian\n"
        "int16, lead after lead; times scale_mv they are millivolt, -32768 is a missing sample.\n"
        "Patients and readers are pseudonyms. The patients of the test split must stay out of training.\n\n"
        f"Tables:\n{tables}\n"
    )


def _groups(rows: Iterable[Any], size: int) -> Iterator[list[Any]]:
    group: list[Any] = []
    for row in rows:
        group.append(row)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group


def _files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def verify_release(path: Path) -> list[str]:
    """Check a release, a folder or a zip of one: every checksum, and that its tables fit one another.

    A download may leave out wfdb/ or waveforms.parquet, not both.

    Returns
    -------
    Problems in words; none if it is sound.
    """
    from ecgfm_core import release_check

    try:
        return release_check.problems(path)
    except ReleaseError as error:
        return [str(error)]
