"""One attempt at a scoring run: what the model says of every recording, and which given labels it doubts.

N recording, C label, D embedding feature, S seed.
"""

import os
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from django.conf import settings
from django.db import connection, transaction

from annotator.models import ScoringRun
from annotator.selectors import training_pool
from annotator.services import gate, job_state, scoring
from annotator.services.heartbeat import Pulse, beating
from annotator.services.prediction_copy import PredictionBatch
from ecgfm_core import manifest, predict
from ecgfm_core.active import scores
from ecgfm_core.active.crossfit import Heads
from ecgfm_core.manifest import ManifestEntry
from workers import processes

STORE_ROWS = 5_000
FOLDS, SEEDS = 5, (0, 1, 2)
CLASS_MIN = 2 * FOLDS  # with fewer recordings of a class there is nothing to doubt a label with
CODES_MAX, CODE_MIN = 12, 20  # labels looked at one by one, and how often each must be present and absent


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
            pulse.progress = {"message": "Comparing on the test split"}
            gate.judge(checkpoint=run.checkpoint)
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
    refused = predict.refused(folder)
    entries = [entry for entry in manifest.read(folder / "manifest.jsonl") if entry.id not in refused]
    if not entries:
        return
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
    """How far heads that never saw a patient disagree with the labels that hold for them."""

    def __init__(self, entries: Sequence[ManifestEntry], embedding_ND: np.ndarray) -> None:
        # The test split is never trained on, by these heads neither; its labels are not doubted.
        held = [entry if entry.split != "test" else replace(entry, abnormal=None, labels={}) for entry in entries]
        self.embedding_ND, self.groups = embedding_ND, [entry.group for entry in held]
        self.given_N = np.array([scores.UNKNOWN if entry.abnormal is None else entry.abnormal for entry in held])
        self.votes_SN = self._crossfit(self.given_N, SEEDS, "normal or abnormal")
        self.codes, self.given_NC = _frequent(held)
        columns = [self._crossfit(self.given_NC[:, c], SEEDS[:1], code)[0] for c, code in enumerate(self.codes)]
        self.probability_NC = np.stack(columns, axis=1) if columns else np.empty((len(held), 0))

    def _crossfit(self, given_N: np.ndarray, seeds: Sequence[int], name: str) -> np.ndarray:
        """Return probabilities ``[S, N]``; NaN where a class is too rare to say anything."""
        if min(np.sum(given_N == 0), np.sum(given_N == 1)) < CLASS_MIN:
            return np.full((len(seeds), len(given_N)), np.nan)
        return self.heads.probabilities(given_N, seeds, name)

    @cached_property
    def heads(self) -> Heads:
        """The heads, made when the first label has enough recordings to doubt it."""
        return Heads(self.embedding_ND, self.groups, FOLDS)

    def batch(self, part: predict.Part, span: slice) -> PredictionBatch:
        """Return the rows of one part of the manifest."""
        given_N, votes_SN = self.given_N[span], self.votes_SN[:, span]
        crossfit_N = np.where(given_N == scores.UNKNOWN, np.nan, votes_SN.mean(axis=0))
        return PredictionBatch(
            recording_ids=part.ids,
            abnormal_probability_N=part.abnormal_probability,
            label_probabilities_NC=part.label_probabilities,
            embedding_ND=part.embedding,
            details=self._details(span),
            texts=part.texts,
            scores={
                "crossfit_abnormal_probability": crossfit_N,
                "label_error": scores.label_error_scores(given_N, crossfit_N),
                "entropy": scores.entropy(part.abnormal_probability.astype(np.float64)),
            },
        )

    def _details(self, span: slice) -> list[dict[str, Any]]:
        """Say how many of the models vote abnormal, and which label is most in doubt."""
        given_NC, probability_NC = self.given_NC[span], self.probability_NC[span]
        worst_N = scores.most_doubtful(given_NC, probability_NC) if self.codes else np.full(len(given_NC), -1)
        details: list[dict[str, Any]] = []
        for row, worst in enumerate(worst_N.tolist()):
            votes_S = self.votes_SN[:, span.start + row]
            known = self.given_N[span.start + row] != scores.UNKNOWN and not np.isnan(votes_S).any()
            detail: dict[str, Any] = {"votes": int((votes_S > 0.5).sum()), "models": len(votes_S)} if known else {}
            if worst >= 0:
                probability, given = float(probability_NC[row, worst]), int(given_NC[row, worst])
                if (probability > 0.5) != bool(given):
                    detail["doubt"] = {"code": self.codes[worst], "probability": round(probability, 4), "given": given}
            details.append(detail)
        return details


def _frequent(entries: Sequence[ManifestEntry]) -> tuple[list[str], np.ndarray]:
    """Return the most frequent codes and what is known of each, ``[N, C]``: 0, 1, -1 unknown."""
    present = Counter(code for entry in entries for code, value in entry.labels.items() if value)
    absent = Counter(code for entry in entries for code, value in entry.labels.items() if not value)
    codes = [code for code, count in present.most_common(CODES_MAX) if min(count, absent[code]) >= CODE_MIN]
    given = [[entry.labels.get(code, scores.UNKNOWN) for code in codes] for entry in entries]
    return codes, np.array(given, dtype=np.int64).reshape(len(entries), len(codes))
