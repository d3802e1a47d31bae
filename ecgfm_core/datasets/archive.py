"""Zip files from anyone, opened without trust: no path out of the folder, no bomb, no link."""

import re
import shutil
import stat
import zipfile
import zlib
from pathlib import Path

from ecgfm_core.errors import FormatError

FILES_MAX = 500_000
BYTES_MAX = 60_000_000_000
# A file may inflate this much beyond its first megabyte; flat recordings in text form reach about 200.
RATIO_MAX = 300
_FREE_MEGABYTE = 1 << 20
_CHUNK = 1 << 20
_FORBIDDEN = re.compile(r"[\\:\x00-\x1f]")


def extract(
    path: Path, folder: Path, *, files_max: int = FILES_MAX, bytes_max: int = BYTES_MAX, ratio_max: int = RATIO_MAX
) -> Path:
    """Extract a zip file into `folder`, which must be new or empty; what was written goes again if it fails.

    Raises
    ------
    FormatError
        If it is no zip file, is encrypted or damaged, holds a link or a path that leads out, two files of one name,
        too many files, too many bytes, or a file that inflates beyond reason.
    """
    if folder.exists() and any(folder.iterdir()):
        raise FormatError(f"{folder.name} is not empty; extract into a new folder")
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with zipfile.ZipFile(path) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
            _check(members, path.name, files_max, bytes_max, ratio_max)
            _check_space(members, folder)
            for member in members:
                _write(archive, member, folder)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, zlib.error, OSError) as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise FormatError(f"{path.name} can't be opened as a zip file ({error}); pack it again") from error
    except FormatError:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return folder


def _check(members: list[zipfile.ZipInfo], name: str, files_max: int, bytes_max: int, ratio_max: int) -> None:
    if len(members) > files_max:
        raise FormatError(f"{name} holds {len(members):,} files; at most {files_max:,} are allowed, pack it in parts")
    total = sum(member.file_size for member in members)
    if total > bytes_max:
        raise FormatError(f"{name} inflates to {total:,} bytes; at most {bytes_max:,} are allowed, pack it in parts")
    seen: set[str] = set()
    for member in members:
        problem = _problem(member, ratio_max) or ("comes twice" if member.filename.lower() in seen else "")
        if problem:
            raise FormatError(f"{name}: file {member.filename[:200]!r} {problem}; nothing was extracted")
        seen.add(member.filename.lower())


def _problem(member: zipfile.ZipInfo, ratio_max: int) -> str:
    parts = member.filename.split("/")
    if any(part in ("", ".", "..") for part in parts) or _FORBIDDEN.search(member.filename) or len(parts) > 40:
        return "leads out of the folder or has no plain name"
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind not in (0, stat.S_IFREG):
        return "is a link or a device, not a file"
    if member.flag_bits & 0x1:
        return "is encrypted; pack it without a password"
    if member.file_size > _FREE_MEGABYTE + ratio_max * max(member.compress_size, 1):
        return f"inflates more than {ratio_max} times; that is no recording"
    return ""


def _check_space(members: list[zipfile.ZipInfo], folder: Path) -> None:
    total, free = sum(member.file_size for member in members), shutil.disk_usage(folder).free
    if total > free:
        raise FormatError(f"{total:,} bytes are needed and {free:,} are free; make room and start again")


def _write(archive: zipfile.ZipFile, member: zipfile.ZipInfo, folder: Path) -> None:
    """Write one file, and never more of it than its entry states."""
    target = folder / member.filename
    target.parent.mkdir(parents=True, exist_ok=True)
    left = member.file_size
    with archive.open(member) as source, target.open("xb") as file:
        while chunk := source.read(_CHUNK):
            left -= len(chunk)
            if left < 0:
                raise FormatError(f"file {member.filename!r} is larger than its entry states; pack it again")
            file.write(chunk)
