"""One attempt at a scoring run: what the model says of every recording, and which given labels it doubts.

N recording, D embedding feature, S seed.
"""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from django.conf import settings
from django.db import connection, transaction

from annotator.models import ScoringRun
from annotator.selectors import training_pool
from annotator.services import job_state, scoring
from annotator.services.heartbeat import Pulse, beating
from annotator.services.prediction_copy import PredictionBatch
from ecgfm_core import manifest, predict
from ecgfm_core.active.crossfit import crossfit_probabilities
from ecgfm_core.manifest import ManifestEntry
from workers import processes

STORE_ROWS = 5_000
FOLDS, SEEDS = 5, 3
CLASS_MIN = 2 * FOLDS  # with fewer recordings of a class there is nothing to doubt a label with
CERTAIN = 1e-6


def score(run: ScoringRun, attempt: int) -> None:
    """Score, or go on scoring, and end the run's row one way or another."""
    folder = settings.CHECKPOINT_DIR / f"scoring-{run.pk}"
    freeze(run, attempt, folder)
    ended = processes.run(
        run, attempt, folder, _arguments(run, folder), lambda: processes.progress(folder, "recordings")
    )
    if ended.exit_code == 0:
        with beating(run, attempt, {"message": "Doubting the given labels"}) as pulse:
            _store(run, attempt, folder, pulse)
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


def _store(run: ScoringRun, attempt: int, folder: Path, pulse: Pulse) -> None:
    """Write the predictions with the doubt that the labels deserve."""
    entries = manifest.read(folder / "manifest.jsonl")
    embedding_ND = np.concatenate([part.embedding for part in predict.read_parts(folder)])
    doubt = Doubt(entries, embedding_ND)
    first = 0
    for part in predict.read_parts(folder):
        pulse.check()
        span = slice(first, first + len(part.ids))
        first = span.stop
        scoring.store_predictions(run=run, attempt=attempt, rows=doubt.batch(part, span))
        pulse.progress = {"message": "Storing predictions", "done": first, "total": len(entries), "unit": "recordings"}


class Doubt:
    """How far heads that never saw a patient disagree with the normal/abnormal label that holds."""

    def __init__(self, entries: Sequence[ManifestEntry], embedding_ND: np.ndarray) -> None:
        self.given_N = np.array([-1 if entry.abnormal is None else entry.abnormal for entry in entries])
        self.votes_SN = np.full((0, len(entries)), np.nan)
        # The test split is never trained on, by these heads neither; its labels are not doubted.
        self.given_N[[entry.split == "test" for entry in entries]] = -1
        if min(np.sum(self.given_N == 0), np.sum(self.given_N == 1)) >= CLASS_MIN:
            groups_N = np.array([entry.group for entry in entries])
            seeds = tuple(range(SEEDS))
            self.votes_SN = crossfit_probabilities(
                embedding_ND.astype(np.float32), self.given_N, groups_N, FOLDS, seeds
            )

    def batch(self, part: predict.Part, span: slice) -> PredictionBatch:
        """Return the rows of one part of the manifest."""
        given_N, votes_SN = self.given_N[span], self.votes_SN[:, span]
        crossfit_N = np.full(len(given_N), np.nan)
        if len(votes_SN):
            crossfit_N = np.where(given_N >= 0, votes_SN.mean(axis=0), np.nan)
        of_given_N = np.where(given_N == 1, crossfit_N, 1 - crossfit_N)
        return PredictionBatch(
            recording_ids=part.ids,
            abnormal_probability_N=part.abnormal_probability,
            label_probabilities_NC=part.label_probabilities,
            embedding_ND=part.embedding,
            crossfit_N=crossfit_N,
            label_error_N=-np.log(np.clip(of_given_N, CERTAIN, 1)),
            entropy_N=entropy_bits(part.abnormal_probability),
            details=[_detail(given, votes_SN[:, row]) for row, given in enumerate(given_N.tolist())],
            texts=part.texts,
        )


def entropy_bits(probability_N: np.ndarray) -> np.ndarray:
    """Return the entropy of yes/no probabilities, in bits."""
    p = np.clip(probability_N.astype(np.float64), 1e-12, 1 - 1e-12)
    return -(p * np.log2(p) + (1 - p) * np.log2(1 - p))


def _detail(given: int, votes_S: np.ndarray) -> dict[str, Any]:
    """Say how many of the models vote against the given label."""
    if given < 0 or not len(votes_S):
        return {}
    return {"given": given, "votes_against": int(np.sum((votes_S >= 0.5) != bool(given))), "votes": len(votes_S)}
