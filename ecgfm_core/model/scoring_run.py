"""A scoring run: a checkpoint over a manifest in chunks, each written once, so that the same command goes on."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ecgfm_core import manifest
from ecgfm_core.errors import TrainingError
from ecgfm_core.leads import STANDARD_LEADS, as_standard, canonical_name
from ecgfm_core.manifest import ManifestEntry
from ecgfm_core.model.device import choose_device, in_words
from ecgfm_core.model.score import score
from ecgfm_core.predict import DONE, Part, part_path, read_part, write_part
from ecgfm_core.signal import random_kernels
from ecgfm_core.training.checkpoint import Checkpoint, file_sha256, load_checkpoint
from ecgfm_core.training.dataset import no_known_lead, prepare
from ecgfm_core.training.run_folder import RunFolder, write_json

PART_RECORDINGS = 256


@dataclass(frozen=True)
class ScoringOptions:
    """Where and how to run; `parent` is the process whose end stops this one.

    Text is greedy at `temperature` 0, else sampled from `seed`.
    """

    threads: int | None = None
    device: str = "auto"
    with_text: bool = False
    parent: int | None = None
    temperature: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.temperature) and self.temperature >= 0):
            raise TrainingError(f"Temperature {self.temperature}; 0 (greedy) or more is allowed, 0.7 is usual")
        if self.seed < 0:
            raise TrainingError(f"Seed {self.seed}; a whole number from 0 is allowed")

    @property
    def identity(self) -> dict[str, Any]:
        """What changes the answer."""
        sampled = {"temperature": self.temperature, "seed": self.seed} if self.with_text and self.temperature else {}
        return {"text": self.with_text, **sampled}


def predict(
    *, checkpoint_folder: Path, manifest_path: Path, waveform_folder: Path, out: Path, options: ScoringOptions
) -> int:
    """Score every recording of a manifest into `out`; returns how many; refuses an `out` of another checkpoint.

    A recording with no lead that the model knows is refused by name, and the others go on: see `predict.refused`.
    """
    with RunFolder(out).held(options.parent) as folder, in_words("score fewer recordings at once"):
        device = choose_device(options.device, options.threads)
        checkpoint = load_checkpoint(checkpoint_folder, device)
        entries = manifest.read(manifest_path)
        identity = {"checkpoint": checkpoint.sha256, "manifest": file_sha256(manifest_path), **options.identity}
        folder.bind({"command": "predict", **identity})
        folder.progress("scoring", total_steps=len(entries), force=True)
        clock = _Clock(folder, len(entries))
        scored = 0
        parts = [entries[first : first + PART_RECORDINGS] for first in range(0, len(entries), PART_RECORDINGS)]
        for index, part in enumerate(parts):
            path = part_path(out, index)
            if not path.exists() or not _is_of(done := read_part(path), part):
                done = score_part(checkpoint, part, waveform_folder, options, folder.check_stop)
                write_part(path, done)
            scored += len(done.ids)
            clock.advance(len(part))
        found = {"count": scored, "refused": len(entries) - scored, "parts": len(parts), "taken_as": _taken_as(entries)}
        write_json(out / DONE, {**found, "label_codes": list(checkpoint.label_codes), **identity})
        return scored


def _is_of(part: Part, entries: list[ManifestEntry]) -> bool:
    """Whether a part that lies there is of these recordings."""
    return [entry.id for entry in entries if entry.id not in part.refused] == part.ids.tolist()


def _taken_as(entries: list[ManifestEntry]) -> dict[str, str]:
    """Say which leads stood for a standard lead that they only come near to: MLII for II."""
    pairs = {pair for one in entries for pair in zip(one.lead_names, as_standard(one.lead_names), strict=True)}
    return {name: standard for name, standard in sorted(pairs) if standard and canonical_name(name) != standard}


def score_part(
    checkpoint: Checkpoint,
    entries: list[ManifestEntry],
    waveform_folder: Path,
    options: ScoringOptions,
    check_stop: Callable[[], None] = lambda: None,
) -> Part:
    """Prepare and score some recordings; `check_stop` is asked before each.

    The stored embedding is the network's, then that of the random kernels: two views find more wrong labels than one.
    """
    refused = {entry.id: words for entry in entries if (words := no_known_lead(entry))}
    usable, rate_hz = [entry for entry in entries if entry.id not in refused], checkpoint.config.sampling_rate_hz
    waveforms, untrained = [], []
    for entry in usable:
        check_stop()
        waveforms.append(prepare(entry, waveform_folder, rate_hz))
        untrained.append(random_kernels.features(waveforms[-1], rate_hz))
    if not usable:
        width, labels = checkpoint.config.embedding_width + random_kernels.WIDTH, len(checkpoint.label_codes)
        empty = np.empty((0, len(STANDARD_LEADS)), dtype=bool)
        nothing = np.empty(0, dtype=np.int64)
        return Part(nothing, np.empty(0), np.empty((0, labels)), np.empty((0, width)), [], empty, refused)
    tokenizer = checkpoint.tokenizer if options.with_text else None
    # Each part samples from its own seed, so that a run that goes on writes what one without a stop would.
    seed = int(np.random.default_rng([options.seed, abs(entries[0].id)]).integers(2**31))
    scores = score(checkpoint.model, waveforms, tokenizer, temperature=options.temperature, seed=seed)
    ids = np.array([entry.id for entry in usable], dtype=np.int64)
    used = np.stack([waveform_LT.any(axis=1) for waveform_LT in waveforms])
    embedding_ND = np.concatenate((scores.embedding_ND, np.stack(untrained)), axis=1)
    return Part(ids, scores.abnormal_N, scores.labels_NC, embedding_ND, scores.texts, used, refused)


class _Clock:
    """Progress of a scoring run with its rate."""

    def __init__(self, folder: RunFolder, total: int) -> None:
        self.folder, self.total, self.done, self.started = folder, total, 0, time.monotonic()

    def advance(self, count: int) -> None:
        self.done += count
        rate = self.done / max(1e-9, time.monotonic() - self.started)
        self.folder.progress(
            f"{self.done:,} of {self.total:,} recordings scored", step=self.done, total_steps=self.total,
            records_per_s=rate, eta_s=(self.total - self.done) / rate, force=True,
        )  # fmt: skip
