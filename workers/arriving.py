"""One batch of what has arrived in a prospective test: read, score in one process, freeze.

N recording, C label, D embedding feature.
"""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from django.conf import settings

from annotator.models import ArrivalBatch, Recording
from annotator.selectors import training_pool
from annotator.services import arrivals, job_state
from annotator.services.heartbeat import beating
from annotator.services.prediction_copy import PredictionBatch
from ecgfm_core import manifest, predict
from ecgfm_core.active import scores
from workers import processes
from workers.scoring import signal_quality


def score(batch: ArrivalBatch, attempt: int) -> None:
    """Score what waits, and end the batch's row one way or another."""
    arrivals.gather(batch=batch, attempt=attempt)
    with beating(batch, attempt):
        arrivals.read(batch=batch, attempt=attempt)
    rows = arrivals.waiting_recordings(batch)
    if not rows:
        job_state.finish(batch, attempt)
        return
    # A folder of this attempt alone: an earlier process may not know yet that its worker is gone.
    folder = settings.CHECKPOINT_DIR / f"arrivals-{batch.pk}-{attempt}"
    try:
        _score(batch, attempt, rows, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _score(batch: ArrivalBatch, attempt: int, rows: Sequence[Recording], folder: Path) -> None:
    folder.mkdir(parents=True)
    manifest.write(folder / "manifest.jsonl", training_pool.unlabelled(rows))
    ended = processes.run(batch, attempt, folder, _arguments(batch, folder), lambda: _progress(folder, len(rows)))
    if ended.exit_code == 0:
        for part in predict.read_parts(folder):
            if len(part.ids):
                arrivals.freeze(batch=batch, attempt=attempt, rows=_predictions(part))
            for arrival in batch.arrivals.filter(recording__in=list(part.refused)):
                arrivals.refuse(arrival=arrival, reason=part.refused[arrival.recording_id or 0])
        job_state.finish(batch, attempt)
    elif ended.cancelled:
        processes.end(batch, attempt, ended)
    else:
        arrivals.part(batch=batch, attempt=attempt, words=processes.words(ended))


def _arguments(batch: ArrivalBatch, folder: Path) -> list[str]:
    test = batch.test
    text = ["--text"] if test.with_text else []
    return [
        "predict", "--checkpoint", str(settings.CHECKPOINT_DIR / test.checkpoint.path),
        "--manifest", str(folder / "manifest.jsonl"), "--waveforms", str(settings.WAVEFORM_DIR), "--out", str(folder),
        "--threads", str(settings.TRAINING_THREADS), "--parent", str(os.getpid()), *text,
    ]  # fmt: skip


def _progress(folder: Path, count: int) -> dict[str, Any]:
    return processes.progress(folder, "recordings") or {"total": count, "unit": "recordings", "message": "Scoring"}


def _predictions(part: predict.Part) -> PredictionBatch:
    probability_N = part.abnormal_probability.astype(np.float64)
    return PredictionBatch(
        recording_ids=part.ids,
        abnormal_probability_N=probability_N,
        label_probabilities_NC=part.label_probabilities,
        embedding_ND=part.embedding,
        details=[{}] * len(part.ids),
        texts=part.texts,
        scores={
            "entropy": scores.entropy(probability_N),
            "margin": scores.margin(probability_N),
            "quality": signal_quality(part.ids),
        },
    )
