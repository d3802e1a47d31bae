"""What every reader checks of a file before it believes it."""

import stat
from pathlib import Path

from ecgfm_core.errors import FormatError

TEXT_BYTES_MAX = 1 << 20
_LFS = b"version https://git-lfs"


def refuse_pointer(start: bytes, what: str) -> None:
    """Refuse a Git LFS pointer that stands where the file should be."""
    if start.startswith(_LFS):
        raise FormatError(f"{what} is a Git LFS pointer, not the file itself; fetch it with `git lfs pull`")


def read_text(path: Path, what: str, bytes_max: int = TEXT_BYTES_MAX) -> str:
    """Read a text file of bounded size; refuses pointers, binary content and empty files."""
    with path.open("rb", buffering=0) as file:
        data = file.read(bytes_max + 1)
    if len(data) > bytes_max:
        raise FormatError(f"{what} is larger than {bytes_max:,} bytes; that is no such text file")
    refuse_pointer(data, what)
    if not data.strip():
        raise FormatError(f"{what} is empty")
    if b"\0" in data:
        raise FormatError(f"{what} holds binary data, not text")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def size_of(path: Path, what: str) -> int:
    """Give a file's size in bytes; refuses what is missing, no file, or a link out of its folder."""
    try:
        found = path.lstat()
        if stat.S_ISLNK(found.st_mode):
            if not path.resolve().is_relative_to(path.parent.resolve()):
                raise FormatError(f"{what} is a link that leads out of its folder")
            found = path.stat()
    except FileNotFoundError:
        raise FormatError(f"{what} is missing") from None
    if not stat.S_ISREG(found.st_mode):
        raise FormatError(f"{what} is not a file")
    return found.st_size


def refuse_short(path: Path, what: str, expected: int) -> int:
    """Refuse a file that is shorter than its header says; returns its size."""
    size = size_of(path, what)
    if size < expected:
        with path.open("rb") as file:
            refuse_pointer(file.read(64), what)
        raise FormatError(f"{what} is cut off: {size:,} bytes, its header needs {expected:,}; fetch it again")
    return size
