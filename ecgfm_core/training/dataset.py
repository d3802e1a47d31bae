"""Recordings as the model takes them, 12 standard leads at one rate in a packed cache, and batches of crops. No torch.

B batch, L lead, T time sample, N recording, C label, S text token.
"""

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np

from ecgfm_core import waveform
from ecgfm_core.configs import Config
from ecgfm_core.errors import TrainingError
from ecgfm_core.leads import STANDARD_LEADS, derive
from ecgfm_core.manifest import ManifestEntry
from ecgfm_core.signal.resample import resample

STEP_MV = 0.001  # of the cache; its range is +-32.767 mV
_STEPS_MAX = 32767
_CACHE_VERSION = 1
_UNCALIBRATED_PEAK_MV = 1.0


def prepare(entry: ManifestEntry, waveform_folder: Path, sampling_rate_hz: float) -> np.ndarray:
    """Give one recording as the model takes it: float32 millivolt `[12, T]`, missing leads and samples 0.

    Each lead's median is taken off. A recording that is not calibrated is scaled as a whole, so that half the range
    from its 0.5th to its 99.5th percentile is 1 mV in the mean of its leads: the leads keep their proportions.
    """
    samples = waveform.load(waveform_folder, entry.sha256, len(entry.lead_names), entry.sample_count)
    leads_LT = derive(entry.lead_names, waveform.to_millivolt(samples, entry.scale_mv), STANDARD_LEADS)
    gone_L = np.isnan(leads_LT).all(axis=1)
    leads_LT[gone_L] = 0
    gaps = bool(np.isnan(leads_LT).any())
    leads_LT -= (np.nanmedian if gaps else np.median)(leads_LT, axis=1, keepdims=True)
    if not entry.calibrated and not gone_L.all():
        percentile = np.nanpercentile if gaps else np.percentile
        low_L, high_L = percentile(leads_LT[~gone_L], (0.5, 99.5), axis=1)
        peak = float(np.mean(high_L - low_L)) / 2
        leads_LT *= _UNCALIBRATED_PEAK_MV / peak if peak > 0 else 1.0
    return np.nan_to_num(resample(leads_LT, entry.sampling_rate_hz, sampling_rate_hz), copy=False)


class Cache:
    """Every recording of a manifest, prepared once, as memory-mapped int16 in one file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.starts = np.load(path.with_suffix(".npy"))
        size = int(self.starts[-1])
        if path.stat().st_size != 2 * size:
            raise TrainingError(f"Cache {path} is damaged ({path.stat().st_size:,} bytes); delete it and start again")
        self._samples = np.memmap(path, dtype="<i2", mode="r", shape=(size,)) if size else np.empty(0, "<i2")

    @classmethod
    def open(
        cls,
        folder: Path,
        entries: Sequence[ManifestEntry],
        waveform_folder: Path,
        sampling_rate_hz: float,
        progress: Callable[[int, int], None],
    ) -> "Cache":
        """Find the cache of these recordings at this rate in `folder`, or make it."""
        identity = [_CACHE_VERSION, sampling_rate_hz, [(one.sha256, one.calibrated) for one in entries]]
        path = folder / f"{sha256(json.dumps(identity).encode()).hexdigest()[:24]}.i16"
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            cls._write(path, entries, waveform_folder, sampling_rate_hz, progress)
        return cls(path)

    @staticmethod
    def _write(
        path: Path,
        entries: Sequence[ManifestEntry],
        waveform_folder: Path,
        sampling_rate_hz: float,
        progress: Callable[[int, int], None],
    ) -> None:
        starts, partial = [0], path.with_name(f".{path.name}.{os.getpid()}")
        try:
            with partial.open("wb") as file:
                for index, entry in enumerate(entries):
                    steps_LT = prepare(entry, waveform_folder, sampling_rate_hz) / STEP_MV
                    file.write(np.rint(steps_LT).clip(-_STEPS_MAX, _STEPS_MAX).astype("<i2").tobytes())
                    starts.append(starts[-1] + steps_LT.size)
                    progress(index + 1, len(entries))
            with path.with_suffix(".npy").open("wb") as file:
                np.save(file, np.array(starts, dtype=np.int64))
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)

    def __len__(self) -> int:
        return len(self.starts) - 1

    def samples(self, index: int) -> np.ndarray:
        """Give int16 `[12, T]` of one recording, steps of `STEP_MV`."""
        flat = self._samples[self.starts[index] : self.starts[index + 1]]
        return flat.reshape(len(STANDARD_LEADS), -1)


@dataclass(frozen=True)
class Targets:
    """What is known of each recording; NaN where it is not.

    Attributes
    ----------
    abnormal_N, labels_NC : float32 0, 1 or NaN
    weight_N : float32, of the classification loss
    group_N : int64, one number a patient
    text_ids : token ids that end with EOS, empty where there is no text
    """

    label_codes: tuple[str, ...]
    abnormal_N: np.ndarray
    labels_NC: np.ndarray
    weight_N: np.ndarray
    group_N: np.ndarray
    text_ids: tuple[list[int], ...]


def trained_codes(entries: Sequence[ManifestEntry], positives_min: int) -> tuple[str, ...]:
    """Codes with at least `positives_min` positives in the training split, sorted."""
    counts: dict[str, int] = {}
    for entry in entries:
        if entry.split == "train":
            for code, value in entry.labels.items():
                counts[code] = counts.get(code, 0) + value
    return tuple(sorted(code for code, count in counts.items() if count >= positives_min))


def targets_of(
    entries: Sequence[ManifestEntry], label_codes: Sequence[str], encode: Callable[[str], list[int]]
) -> Targets:
    """Put what the manifest knows into arrays."""
    groups: dict[str, int] = {}
    labels_NC = np.full((len(entries), len(label_codes)), np.nan, dtype=np.float32)
    for row, entry in enumerate(entries):
        for column, code in enumerate(label_codes):
            if code in entry.labels:
                labels_NC[row, column] = entry.labels[code]
    return Targets(
        tuple(label_codes),
        np.array([np.nan if one.abnormal is None else one.abnormal for one in entries], dtype=np.float32),
        labels_NC,
        np.array([one.weight for one in entries], dtype=np.float32),
        np.array([groups.setdefault(one.group or f"r{one.id}", len(groups)) for one in entries], dtype=np.int64),
        tuple(encode(one.text) for one in entries),
    )


def check_splits(entries: Sequence[ManifestEntry]) -> None:
    """Refuse a patient in two splits."""
    split_of: dict[str, str] = {}
    for entry in entries:
        if entry.group and split_of.setdefault(entry.group, entry.split) != entry.split:
            raise TrainingError(
                f"Recording {entry.id}: its patient is in the {split_of[entry.group]} split and in the {entry.split} "
                "split; one patient's recordings must stay in one"
            )


@dataclass(frozen=True)
class Batch:
    """One forward pass: crops and what is known of them; `text_BS` is padded with 0 and lacks BOS."""

    waveform_BLT: np.ndarray
    sample_count_B: np.ndarray
    abnormal_B: np.ndarray
    labels_BC: np.ndarray
    weight_B: np.ndarray
    group_B: np.ndarray
    text_BS: np.ndarray


def batch_of(
    cache: Cache, targets: Targets, rows: np.ndarray, config: Config, random: np.random.Generator | None
) -> Batch:
    """Cut one crop a recording: at a random place with a random gain, or from its middle where `random` is None."""
    waveform_BLT = np.zeros((len(rows), len(STANDARD_LEADS), config.crop_samples), dtype=np.float32)
    counts, texts = np.empty(len(rows), dtype=np.int64), [targets.text_ids[row] for row in rows]
    for place, row in enumerate(rows):
        samples = cache.samples(row)
        spare = max(0, samples.shape[1] - config.crop_samples)
        start = spare // 2 if random is None else int(random.integers(spare + 1))
        crop = samples[:, start : start + config.crop_samples]
        gain = 1.0 if random is None else (1 + config.gain_range) ** random.uniform(-1, 1)
        counts[place] = crop.shape[1]
        np.multiply(crop, np.float32(STEP_MV * gain), out=waveform_BLT[place, :, : crop.shape[1]])
    text_BS = np.zeros((len(rows), max(len(ids) for ids in texts)), dtype=np.int64)
    for place, ids in enumerate(texts):
        text_BS[place, : len(ids)] = ids
    return Batch(
        waveform_BLT, counts, targets.abnormal_N[rows], targets.labels_NC[rows], targets.weight_N[rows],
        targets.group_N[rows], text_BS,
    )  # fmt: skip


def window_starts(sample_count: int, window_samples: int, windows_max: int) -> list[int]:
    """Say where to cut a recording for scoring: side by side, the last one ending with it, at most `windows_max`."""
    last = max(0, sample_count - window_samples)
    count = min(windows_max, -(-sample_count // window_samples))
    return [round(place) for place in np.linspace(0, last, max(1, count))]
