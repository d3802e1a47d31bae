"""One attempt at a scoring run: what the model says of every recording, and which given labels it doubts.

N recording, D embedding feature.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from django.conf import settings
from django.db import connection, transaction

from annotator.models import ScoringRun
from annotator.selectors import scores as selectors
from annotator.selectors import training_pool
from annotator.services import job_state, measuring, scoring
from annotator.services.heartbeat import Pulse, beating
from annotator.services.prediction_copy import PredictionBatch
from ecgfm_core import manifest, predict
from ecgfm_core.active import scores
from ecgfm_core.active.doubt import PoolScores, known
from ecgfm_core.manifest import ManifestEntry
from workers import embedding_files, processes, views


def score(run: ScoringRun, attempt: int) -> None:
    """Score, or go on scoring, and end the run's row one way or another."""
    folder = settings.CHECKPOINT_DIR / f"scoring-{run.pk}"
    freeze(run, attempt, folder)
    ended = processes.run(
        run, attempt, folder, _arguments(run, folder), lambda: processes.progress(folder, "recordings")
    )
    if ended.exit_code == 0:
        with beating(run, attempt, {"message": "Doubting the given labels"}) as pulse:
            stored = _store(run, attempt, folder, pulse)
            pulse.progress = {"message": "Comparing on the test split"}
            measuring.judge(checkpoint=run.checkpoint)
            if stored:
                pulse.progress = {"message": "Writing the embeddings as files"}
                embedding_files.write(run.checkpoint_id, ending=run)
        job_state.finish(run, attempt)
        shutil.rmtree(folder, ignore_errors=True)
    else:
        processes.end(run, attempt, ended)


def freeze(run: ScoringRun, attempt: int, folder: Path) -> None:
    """Write down once which recordings are scored and the labels that hold, so that every attempt goes on with them."""
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / "manifest.jsonl").exists():
        return
    job_state.beat(run, attempt, {"message": "Collecting recordings"})
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        dataset_ids = list(run.datasets.values_list("pk", flat=True))
        manifest.write(folder / "manifest.jsonl", training_pool.manifest_entries(dataset_ids))


def _arguments(run: ScoringRun, folder: Path) -> list[str]:
    return [
        "predict", "--checkpoint", str(settings.CHECKPOINT_DIR / run.checkpoint.path),
        "--manifest", str(folder / "manifest.jsonl"), "--waveforms", str(settings.WAVEFORM_DIR), "--out", str(folder),
        "--threads", str(settings.TRAINING_THREADS), "--parent", str(os.getpid()), "--text",
    ]  # fmt: skip


def _store(run: ScoringRun, attempt: int, folder: Path, pulse: Pulse) -> int:
    """Write the predictions with the doubt that the labels deserve; return how many: none where all were refused."""
    refused, count = predict.refused(folder), predict.done(folder)["count"]
    if not count:
        return 0

    def entries() -> Iterator[ManifestEntry]:
        return (entry for entry in manifest.stream(folder / "manifest.jsonl") if entry.id not in refused)

    def told(words: str) -> None:
        pulse.check()
        pulse.progress = {"message": words}

    embedding_ND = _embeddings(folder, count)[:, views.untaught(run.checkpoint)]
    doubt, first = PoolScores(known(entries), embedding_ND, told), 0
    for part in predict.read_parts(folder):
        pulse.check()
        span = slice(first, first + len(part.ids))
        first = span.stop
        scoring.store_predictions(run=run, attempt=attempt, rows=_batch(doubt, part, span))
        pulse.progress = {"message": "Storing predictions", "done": first, "total": count, "unit": "recordings"}
    return first


def _embeddings(folder: Path, count: int) -> np.ndarray:
    """Return the embeddings ``[N, D]`` of all parts, in a file of the run: a million of them need not fit memory."""
    embedding_ND, first = np.empty((0, 0), dtype=np.float16), 0
    for part in predict.read_parts(folder):
        if not first:
            shape = (count, part.embedding.shape[1])
            embedding_ND = np.lib.format.open_memmap(folder / "embeddings.npy", "w+", np.float16, shape)
        embedding_ND[first : first + len(part.ids)] = part.embedding
        first += len(part.ids)
    return embedding_ND


def _batch(doubt: PoolScores, part: predict.Part, span: slice) -> PredictionBatch:
    return PredictionBatch(
        recording_ids=part.ids,
        abnormal_probability_N=part.abnormal_probability,
        label_probabilities_NC=part.label_probabilities,
        embedding_ND=part.embedding,
        details=doubt.details(span),
        texts=part.texts,
        scores={**doubt.scores(span, part.abnormal_probability), "quality": signal_quality(part.ids)},
    )


def signal_quality(ids_N: np.ndarray) -> np.ndarray:
    """Return the signal-quality score of each recording, 0 to 1, as the gate found; NaN where it did not look."""
    found = selectors.quality_findings(ids_N.tolist())
    return np.array([scores.quality_score(*found.get(pk, ({}, []))) for pk in ids_N.tolist()])
