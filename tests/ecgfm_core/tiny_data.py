"""A small training set whose classes a tiny network can tell apart in seconds: upright or inverted T waves."""

from pathlib import Path

import numpy as np

from ecgfm_core import manifest, waveform
from ecgfm_core.leads import STANDARD_LEADS
from ecgfm_core.manifest import ManifestEntry
from ecgfm_core.recording import Recording

TEXTS = {0: "sinus rhythm, normal ECG", 1: "sinus rhythm, T inversion"}
# The smallest network that still has every part.
TINY = {"width": 32, "layers": 1, "heads": 2, "batch": 8, "crop_s": 2.0, "label_positives_min": 2, "vocabulary": 64}


def beats(inverted: bool, random: np.random.Generator, seconds: float = 4.0, rate_hz: float = 100.0) -> np.ndarray:
    """Twelve leads of spikes, each followed by a slow wave, in millivolt."""
    time_T = np.arange(round(seconds * rate_hz)) / rate_hz
    lead_T = np.zeros_like(time_T)
    for beat in np.arange(random.uniform(0, 0.8), seconds, 0.8):
        lead_T += np.exp(-(((time_T - beat) / 0.02) ** 2))
        lead_T += (-0.4 if inverted else 0.4) * np.exp(-(((time_T - beat - 0.3) / 0.06) ** 2))
    gains_L1 = np.linspace(0.5, 1.5, 12)[:, None]
    return (gains_L1 * lead_T + random.normal(0, 0.02, (12, len(time_T)))).astype(np.float32)


def make(folder: Path, count: int = 24, validate: int = 8, seconds: float = 4.0, seed: int = 0) -> tuple[Path, Path]:
    """Write `count` training and `validate` validation recordings; gives the manifest and the waveform folder."""
    random = np.random.default_rng(seed)
    entries = []
    for index in range(count + validate):
        abnormal = index % 2
        recording = Recording(f"r{index}", STANDARD_LEADS, beats(bool(abnormal), random, seconds), 100.0)
        packed = waveform.pack(recording)
        waveform.store(packed, folder / "waveforms")
        entries.append(entry_of(packed, index, abnormal, "train" if index < count else "validate"))
    manifest.write(folder / "manifest.jsonl", entries)
    return folder / "manifest.jsonl", folder / "waveforms"


def entry_of(packed: waveform.PackedWaveform, index: int, abnormal: int, split: str) -> ManifestEntry:
    """Describe a packed waveform in the manifest."""
    labels = {"426783006": 1, "59931005": abnormal}
    return ManifestEntry(
        index, packed.sha256, packed.lead_names, packed.sampling_rate_hz, packed.samples.shape[1], packed.scale_mv,
        packed.calibrated, split, f"p{index}", labels, abnormal, "source", 1.0, TEXTS[abnormal],
    )  # fmt: skip
