"""What a scoring run leaves: ``part-00000.npz`` and on, in manifest order. No torch: the web side reads these.

Arrays of a part: ``ids`` int64 [N], ``abnormal_probability`` float32 [N], ``label_probabilities`` float32 [N, C] in the
order of the checkpoint's `label_codes`, ``embedding`` float16 [N, D] (the network's, then `signal.random_kernels`'),
``texts`` (a JSON list of N, generated),
``leads_used`` bool [N, 12] in the order of `leads.STANDARD_LEADS`, ``refused`` (JSON: what was not scored, and why).

N recording, C label, D embedding width, L lead.
"""

import json
import os
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ecgfm_core.errors import FormatError

DONE = "done.json"


@dataclass(frozen=True)
class Part:
    """Predictions of some recordings, in manifest order; arrays as the module says; `refused` is by recording id."""

    ids: np.ndarray
    abnormal_probability: np.ndarray
    label_probabilities: np.ndarray
    embedding: np.ndarray
    texts: list[str]
    leads_used: np.ndarray
    refused: dict[int, str] = field(default_factory=dict)


def part_path(out_folder: Path, index: int) -> Path:
    """Name the file of a part."""
    return out_folder / f"part-{index:05d}.npz"


def write_part(path: Path, part: Part) -> None:
    """Write a part, whole or not at all."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with partial.open("wb") as file:
            np.savez(
                file,
                ids=part.ids.astype(np.int64),
                abnormal_probability=part.abnormal_probability.astype(np.float32),
                label_probabilities=part.label_probabilities.astype(np.float32),
                embedding=part.embedding.astype(np.float16),
                texts=np.array(json.dumps(part.texts, ensure_ascii=False)),
                leads_used=part.leads_used.astype(bool),
                refused=np.array(json.dumps(part.refused, ensure_ascii=False)),
            )
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def read_part(path: Path) -> Part:
    """Read one part.

    Raises
    ------
    FormatError
        If the file is missing, damaged or contradicts itself.
    """
    try:
        with np.load(path, allow_pickle=False) as kept:
            part = Part(
                kept["ids"], kept["abnormal_probability"], kept["label_probabilities"], kept["embedding"],
                json.loads(str(kept["texts"])), kept["leads_used"],
                {int(number): reason for number, reason in json.loads(str(kept["refused"])).items()},
            )  # fmt: skip
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise FormatError(f"Predictions {path} can't be read ({error}); delete the file and score again") from error
    arrays = (part.ids, part.abnormal_probability, part.label_probabilities, part.embedding, part.leads_used)
    lengths = {len(array) for array in arrays}
    if lengths != {len(part.texts)}:
        raise FormatError(f"Predictions {path}: arrays of {sorted(lengths)} rows; one length is needed, score again")
    return part


def done(out_folder: Path) -> dict[str, Any]:
    """Give what a finished scoring run says of itself.

    Returns
    -------
    ``count`` scored, ``refused``, ``parts``, ``label_codes``, ``taken_as`` (leads that stood for a standard lead near
    them) and what the run was made of.

    Raises
    ------
    FormatError
        If the run is not finished.
    """
    try:
        return json.loads((out_folder / DONE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FormatError(f"Scoring run {out_folder} is not finished ({error}); run it again to go on") from error


def read_parts(out_folder: Path) -> Iterator[Part]:
    """Read every part of a finished scoring run, in order.

    Raises
    ------
    FormatError
        If the run is not finished or a part can't be read.
    """
    for index in range(done(out_folder)["parts"]):
        yield read_part(part_path(out_folder, index))


def refused(out_folder: Path) -> dict[int, str]:
    """Give what a finished scoring run refused: recording id and the reason in words.

    Raises
    ------
    FormatError
        If the run is not finished or a part can't be read.
    """
    return {number: reason for part in read_parts(out_folder) for number, reason in part.refused.items()}
