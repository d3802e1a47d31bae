"""A scoring run: a checkpoint over a manifest in chunks, each written once, so that the same command goes on."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ecgfm_core import manifest
from ecgfm_core.manifest import ManifestEntry
from ecgfm_core.model.device import choose_device, in_words
from ecgfm_core.model.score import score
from ecgfm_core.predict import DONE, Part, part_path, read_part, write_part
from ecgfm_core.training.checkpoint import Checkpoint, file_sha256, load_checkpoint
from ecgfm_core.training.dataset import prepare
from ecgfm_core.training.run_folder import RunFolder, write_json

PART_RECORDINGS = 256


@dataclass(frozen=True)
class ScoringOptions:
    """Where and how to run; `parent` is the process whose end stops this one."""

    threads: int | None = None
    device: str = "auto"
    with_text: bool = False
    parent: int | None = None


def predict(
    *, checkpoint_folder: Path, manifest_path: Path, waveform_folder: Path, out: Path, options: ScoringOptions
) -> int:
    """Score every recording of a manifest into `out`; returns how many; refuses an `out` of another checkpoint."""
    with RunFolder(out).held(options.parent) as folder, in_words("score fewer recordings at once"):
        device = choose_device(options.device, options.threads)
        checkpoint = load_checkpoint(checkpoint_folder, device)
        entries = manifest.read(manifest_path)
        identity = {"checkpoint": checkpoint.sha256, "manifest": file_sha256(manifest_path), "text": options.with_text}
        folder.bind({"command": "predict", **identity})
        folder.progress("scoring", total_steps=len(entries), force=True)
        clock = _Clock(folder, len(entries))
        parts = [entries[first : first + PART_RECORDINGS] for first in range(0, len(entries), PART_RECORDINGS)]
        for index, part in enumerate(parts):
            path = part_path(out, index)
            if not path.exists() or read_part(path).ids.tolist() != [entry.id for entry in part]:
                write_part(path, score_part(checkpoint, part, waveform_folder, options.with_text, folder.check_stop))
            clock.advance(len(part))
        write_json(
            out / DONE,
            {"count": len(entries), "parts": len(parts), "label_codes": list(checkpoint.label_codes), **identity},
        )
        return len(entries)


def score_part(
    checkpoint: Checkpoint,
    entries: list[ManifestEntry],
    waveform_folder: Path,
    with_text: bool,
    check_stop: Callable[[], None] = lambda: None,
) -> Part:
    """Prepare and score some recordings; `check_stop` is asked before each."""
    waveforms = []
    for entry in entries:
        check_stop()
        waveforms.append(prepare(entry, waveform_folder, checkpoint.config.sampling_rate_hz))
    scores = score(checkpoint.model, waveforms, checkpoint.tokenizer if with_text else None)
    ids = np.array([entry.id for entry in entries], dtype=np.int64)
    return Part(ids, scores.abnormal_N, scores.labels_NC, scores.embedding_ND, scores.texts)


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
