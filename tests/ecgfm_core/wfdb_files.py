"""Small WFDB records with known samples, for tests."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")


def write_record(
    folder: Path,
    name: str,
    steps: np.ndarray,
    *,
    rate: float = 500,
    gain: str = "1000/mV",
    leads: Sequence[str] = LEADS,
    comments: Sequence[str] = (),
    file_name: str = "",
    offset: int = 0,
) -> Path:
    """Write int16 steps ``[lead, sample]`` as format 16 and give the header's path."""
    folder.mkdir(parents=True, exist_ok=True)
    file_name = file_name or f"{name}.dat"
    (folder / file_name).write_bytes(b"\0" * offset + np.ascontiguousarray(steps.T).astype("<i2").tobytes())
    kind = f"16+{offset}" if offset else "16"
    lines = [f"{name} {len(steps)} {rate:g} {steps.shape[1]}"]
    for lead, row in zip(leads, steps, strict=False):
        checksum = int(row.astype(np.int64).sum()) & 0xFFFF
        lines.append(f"{file_name} {kind} {gain} 16 0 {row[0]} {checksum} 0 {lead}")
    path = folder / f"{name}.hea"
    path.write_text("\n".join([*lines, *(f"#{comment}" for comment in comments)]) + "\n")
    return path


def wave(leads: int = 12, samples: int = 1000, seed: int = 0) -> np.ndarray:
    """Give int16 steps ``[lead, sample]`` that move like an ECG of about 1 mV at 1000 steps a mV."""
    rng = np.random.default_rng(seed)
    walk = rng.normal(0, 40, (leads, samples)).cumsum(axis=1)
    return np.clip(walk - walk.mean(axis=1, keepdims=True), -5000, 5000).astype(np.int16)
