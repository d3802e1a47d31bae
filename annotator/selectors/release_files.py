"""The files of a finished curated release."""

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

from django.conf import settings

from annotator.errors import NotFound, WrongState
from annotator.models import CuratedRelease
from annotator.models.jobs import JobState

CHUNK_BYTES = 1 << 20
# What a download leaves out; the rest is the same in both.
LEFT_OUT = {"wfdb": ("waveforms.parquet",), "parquet": ("wfdb/",)}


def release_by_number(number: int) -> CuratedRelease:
    """Return a release; refuses unknown numbers."""
    found = CuratedRelease.objects.filter(number=number).select_related("created_by").first()
    if found is None:
        raise NotFound(f"There is no release {number}.")
    return found


def folder_of(release: CuratedRelease) -> Path:
    """Return the folder of a finished release; refuses one that is not built."""
    if release.state != JobState.FINISHED:
        raise WrongState(f"{release} is {release.state}; its files are there once it is finished.")
    return settings.RELEASE_DIR / release.path


def file_of(release: CuratedRelease, name: str) -> Path:
    """Return one file of a release; refuses names that lead out of it."""
    folder = folder_of(release).resolve()
    try:
        found = (folder / name).resolve()
        inside = found.is_relative_to(folder) and found.is_file()
    except (OSError, ValueError):
        inside = False
    if not inside:
        raise NotFound(f"{release} has no file {name!r}; SHA256SUMS lists them.")
    return found


def zip_stream(release: CuratedRelease, form: str) -> Iterator[bytes]:
    """Yield a zip of a release, chunk by chunk; nothing is written to disk and nothing large held in memory."""
    folder, sink = folder_of(release), _Sink()
    with zipfile.ZipFile(cast(IO[bytes], sink), "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            name = path.relative_to(folder).as_posix()
            if name.startswith(LEFT_OUT[form]):
                continue
            member = zipfile.ZipInfo.from_file(path, f"{folder.name}/{name}")
            with path.open("rb") as source, archive.open(member, "w") as target:
                while chunk := source.read(CHUNK_BYTES):
                    target.write(chunk)
                    yield sink.take()
            yield sink.take()
    yield sink.take()


class _Sink:
    """A file that only takes; what it has taken is fetched and forgotten."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Do nothing: the bytes are in memory."""

    def take(self) -> bytes:
        data, self._parts = b"".join(self._parts), []
        return data
