"""Hefei (Tianchi) text files: a line of lead names, then a row of integers a sample, 4.88 uV a step at 500 Hz."""

from pathlib import Path

import numpy as np

from ecgfm_core.errors import FormatError
from ecgfm_core.formats.files import read_text
from ecgfm_core.leads import STANDARD_LEADS, canonical_name
from ecgfm_core.recording import Recording

STEP_MV = 0.00488
SAMPLING_RATE_HZ = 500.0
_BYTES_MAX = 50_000_000


def read(path: Path, name: str) -> Recording:
    """Read one file; refuses unknown lead names, rows of another length and anything but whole numbers."""
    text = read_text(path, f"{name}: file {path.name}", _BYTES_MAX)
    heading, _, body = text.partition("\n")
    leads = tuple(canonical_name(lead) for lead in heading.split())
    if not leads or any(lead not in STANDARD_LEADS for lead in leads):
        raise FormatError(f"{name}: heading {heading[:60]!r}; a line of lead names such as I II V1 V2 is needed")
    rows = [line.split() for line in body.splitlines() if line.strip()]
    for number, row in enumerate(rows, start=2):
        if len(row) != len(leads):
            raise FormatError(f"{name}: line {number} holds {len(row)} numbers; {len(leads)} are needed, one a lead")
    try:
        steps = np.array(rows, dtype=np.int32).reshape(len(rows), len(leads))
    except (ValueError, OverflowError) as error:
        raise FormatError(f"{name}: a sample is not a whole number ({error})") from error
    return Recording(name, leads, np.ascontiguousarray(steps.T * np.float32(STEP_MV), np.float32), SAMPLING_RATE_HZ)
