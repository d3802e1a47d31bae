"""Recordings as the model takes them, 12 standard leads at one rate in a packed cache, and batches of crops. No torch.

B batch, L lead, T time sample, N recording, C label, S text token.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np

from ecgfm_core import waveform
from ecgfm_core.configs import Config
from ecgfm_core.errors import TrainingError
from ecgfm_core.leads import STANDARD_LEADS, as_standard, derive
from ecgfm_core.manifest import ManifestEntry
from ecgfm_core.signal.resample import resample
from ecgfm_core.training.cache import Packed, Progress, find_or_make

STEP_MV = 0.001  # of the cache; its range is +-32.767 mV
_STEPS_MAX = 32767
_CACHE_VERSION = 2
_UNCALIBRATED_PEAK_MV = 1.0


def no_known_lead(entry: ManifestEntry) -> str:
    """Say why a recording can't be taken by the model; nothing if it can."""
    if any(as_standard(entry.lead_names)):
        return ""
    return (
        f"Recording {entry.id}: leads {', '.join(entry.lead_names)}; at least one of {', '.join(STANDARD_LEADS)}, or a "
        "monitor's lead near one (MLII, MV1, CM5), is needed; name its leads and import it again"
    )


def prepare(entry: ManifestEntry, waveform_folder: Path, sampling_rate_hz: float) -> np.ndarray:
    """Give one recording as the model takes it: float32 millivolt `[12, T]`, missing leads and samples 0.

    A lead that is none of the twelve stands for the one it comes nearest to (MLII for II). Each lead's median is taken
    off. A recording that is not calibrated is scaled as a whole, so that half the range from its 0.5th to its 99.5th
    percentile is 1 mV in the mean of its leads: the leads keep their proportions.
    """
    samples = waveform.load(waveform_folder, entry.sha256, len(entry.lead_names), entry.sample_count)
    leads_LT = derive(as_standard(entry.lead_names), waveform.to_millivolt(samples, entry.scale_mv), STANDARD_LEADS)
    gone_L = np.isnan(leads_LT).all(axis=1)
    leads_LT[gone_L] = 0
    gaps = bool(np.isnan(leads_LT).any())
    leads_LT -= (np.nanmedian if gaps else np.median)(leads_LT, axis=1, keepdims=True)
    if not entry.calibrated and not gone_L.all():
        leads_LT *= uncalibrated_gain(leads_LT[~gone_L])
    return np.nan_to_num(resample(leads_LT, entry.sampling_rate_hz, sampling_rate_hz), copy=False)


def uncalibrated_gain(leads_LT: np.ndarray) -> float:
    """Factor that brings a recording without a known unit to the usual size; NaN where samples are missing."""
    percentile = np.nanpercentile if np.isnan(leads_LT).any() else np.percentile
    low_L, high_L = percentile(leads_LT, (0.5, 99.5), axis=1)
    peak = float(np.mean(high_L - low_L)) / 2
    return _UNCALIBRATED_PEAK_MV / peak if peak > 0 else 1.0


class Cache(Packed):
    """Every recording of a manifest, prepared once, as int16 in steps of `STEP_MV`."""

    @classmethod
    def open(
        cls,
        folder: Path,
        entries: Sequence[ManifestEntry],
        waveform_folder: Path,
        sampling_rate_hz: float,
        progress: Progress,
        threads: int = 1,
    ) -> "Cache":
        """Find the cache of these recordings at this rate in `folder`, or make it with a number of threads."""
        identity = [_CACHE_VERSION, sampling_rate_hz, [(one.sha256, one.calibrated) for one in entries]]
        key = sha256(json.dumps(identity).encode()).hexdigest()[:24]

        def steps(index: int) -> np.ndarray:
            steps_LT = prepare(entries[index], waveform_folder, sampling_rate_hz) / STEP_MV
            return np.rint(steps_LT).clip(-_STEPS_MAX, _STEPS_MAX).astype("<i2").ravel()

        return cls(find_or_make(folder, key, len(entries), steps, progress, threads=threads))

    def samples(self, index: int) -> np.ndarray:
        """Give int16 `[12, T]` of one recording, steps of `STEP_MV`."""
        return self.row(index).reshape(len(STANDARD_LEADS), -1)


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
    cache: Cache,
    targets: Targets,
    rows: np.ndarray,
    config: Config,
    random: np.random.Generator | None,
    room_BLT: np.ndarray | None = None,
) -> Batch:
    """Cut one crop a recording: at a random place with a random gain, or from its middle where `random` is None.

    The waveforms are written into `room_BLT`, float32 with at least as many rows, by a caller that is done with what
    it held: new memory costs the system as much as filling it.
    """
    size = config.crop_samples
    if room_BLT is None:
        room_BLT = np.empty((len(rows), len(STANDARD_LEADS), size), dtype=np.float32)
    waveform_BLT = room_BLT[: len(rows)]
    counts, texts = np.empty(len(rows), dtype=np.int64), [targets.text_ids[row] for row in rows]
    for place, row in enumerate(rows.tolist()):
        samples = cache.samples(row)
        length = samples.shape[1]
        start, gain = max(0, length - size) // 2, 1.0
        if random is not None:
            start = int(random.integers(length - size + 1)) if length > size else 0
            gain = (1 + config.gain_range) ** (2 * random.random() - 1)
        counts[place] = count = min(size, length)
        # Converted, then multiplied while in the processor's cache: at once, numpy goes through a buffer, half as fast.
        crop_LT = waveform_BLT[place, :, :count]
        crop_LT[...] = samples if count == length else samples[:, start : start + count]
        crop_LT *= np.float32(STEP_MV * gain)
        if count < size:
            waveform_BLT[place, :, count:] = 0
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
