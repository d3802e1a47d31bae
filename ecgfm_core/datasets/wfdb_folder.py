"""Any folder of recordings, at any depth: WFDB records, and native files that have no header beside them."""

from collections.abc import Callable, Iterator

from ecgfm_core.datasets import hefei
from ecgfm_core.datasets.layout import Entry, Files, Layout, reader
from ecgfm_core.errors import FormatError
from ecgfm_core.formats.header import read_header
from ecgfm_core.recording import Recording

Amend = Callable[[Recording, str], Recording]


def records(files: Files, amend: Amend | None = None) -> Iterator[Entry]:
    """List the WFDB records, then native files without a header; a segment of a record is no entry of its own.

    `amend` gets a recording and its header's path, and adds what the layout knows beside the header.
    """
    headers = files.with_suffix(".hea")
    segments = _segments(files, headers)
    for path in headers:
        if path not in segments:
            name = path[: -len(".hea")]
            yield Entry(name, reader(files, path, name) if amend is None else _amended(files, path, name, amend))
    for path in (*lone_mat_files(files), *hefei.recordings(files)):
        yield Entry(path, reader(files, path, path))


def _amended(files: Files, path: str, name: str, amend: Amend) -> Callable[[], Recording]:
    read = reader(files, path, name)
    return lambda: amend(read(), path)


def _segments(files: Files, headers: list[str]) -> set[str]:
    """Find the headers that are segments: only a record line with a slash names any."""
    found: set[str] = set()
    for path in headers:
        try:
            with (files.root / path).open("rb") as file:
                start = file.read(4096)
            lines = [line for line in start.splitlines() if line.strip() and not line.startswith(b"#")]
            if lines and b"/" in lines[0].split()[0]:
                parent = path.rpartition("/")[0]
                names = [name for name, _ in read_header(files.root / path).segments]
                found |= {f"{parent}/{name}.hea" if parent else f"{name}.hea" for name in names}
        except (OSError, FormatError):
            continue  # its own entry says why
    return found


def lone_mat_files(files: Files) -> list[str]:
    """Give the MATLAB files that no WFDB header describes."""
    return [path for path in files.with_suffix(".mat") if f"{path[: -len('.mat')]}.hea" not in files.known]


def _fits(files: Files) -> bool:
    return bool(files.with_suffix(".hea") or lone_mat_files(files) or hefei.recordings(files))


LAYOUT = Layout("wfdb", "WFDB records", _fits, records)
