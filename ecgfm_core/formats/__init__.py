"""File families that hold ECGs, one module a family. `read` picks the module by the file's name."""

from pathlib import Path

from ecgfm_core.errors import FormatError
from ecgfm_core.recording import Recording


def read(path: Path, name: str) -> Recording:
    """Read one recording: a WFDB header (``.hea``), a native CPSC file (``.mat``) or a Hefei text file (``.txt``).

    Raises
    ------
    FormatError, RecordingError
        With the true reason, if the file is not what it says it is or holds no usable ECG.
    """
    suffix = path.suffix.lower()
    try:
        if suffix == ".hea":
            from ecgfm_core.formats import wfdb_record

            return wfdb_record.read(path, name)
        if suffix == ".mat":
            from ecgfm_core.formats import cpsc_mat

            return cpsc_mat.read(path, name)
        if suffix == ".txt":
            from ecgfm_core.formats import hefei_text

            return hefei_text.read(path, name)
    except OSError as error:
        raise FormatError(f"{name}: {path.name} can't be read ({error.strerror})") from error
    raise FormatError(f"{name}: {path.name} is of no known kind; .hea, .mat and .txt files are read")
