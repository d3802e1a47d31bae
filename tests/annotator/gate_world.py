"""Builders for tests of the gate: a test split, and checkpoints that are as good on it as a test asks for."""

import numpy as np

from annotator.models import Checkpoint, Prediction, Recording, ScoringRun
from annotator.models.jobs import JobState
from annotator.selectors import gate as gates
from annotator.services import measuring
from tests.annotator.manage_world import job_fields, training_run
from tests.annotator.reading_world import AF, SINUS, recordings

WIDTH = 8  # of an embedding


def frozen_split(count: int = 60, abnormal_share: float = 0.5) -> list[Recording]:
    """Recordings of the test split: the first ones abnormal, with atrial fibrillation; two a patient."""
    few = int(count * abnormal_share)
    rows = recordings(few, abnormal=True, codes=(AF,)) + recordings(count - few)
    for n, row in enumerate(rows):
        row.split, row.patient_hash = Recording.Split.TEST, f"p{n // 2}"
        row.sex, row.age_years, row.centre = "FM"[n % 2], 30.0 + n % 50, "AB"[n % 3 == 0]
    Recording.objects.bulk_update(rows, ["split", "patient_hash", "sex", "age_years", "centre"])
    return rows


def checkpoint(state: str = Checkpoint.State.CANDIDATE, codes: tuple[str, ...] = (AF, SINUS)) -> Checkpoint:
    """A checkpoint of a training on the dataset `made`; it has scored nothing."""
    run = training_run(curves=False)
    promoted = None if state == Checkpoint.State.CANDIDATE else run.created_at
    return Checkpoint.objects.create(
        run=run, state=state, path="x", sha256="0", label_codes=list(codes), provenance={}, promoted_at=promoted
    )


def score(point: Checkpoint, rows: list[Recording], noise: float = 0.2, seed: int = 0) -> Checkpoint:
    """Have a checkpoint score recordings: all noise at 5, nearly none at 0.1; the same seed errs alike."""
    ScoringRun.objects.create(checkpoint=point, **job_fields(JobState.FINISHED))
    rng = np.random.default_rng(seed)
    fields = []
    for row in rows:
        said = float(1 / (1 + np.exp(-(4 * bool(row.source_abnormal) - 2 + 2 * noise * rng.normal()))))
        by_code = {AF: said, SINUS: 1 - said}
        fields.append(
            Prediction(
                checkpoint=point, recording=row, abnormal_probability=said, entropy=0.5,
                label_probabilities=[by_code.get(code, 0.0) for code in point.label_codes],
                embedding=np.zeros(WIDTH, dtype=np.float16),
            )
        )  # fmt: skip
    Prediction.objects.filter(checkpoint=point, recording__in=rows).delete()
    Prediction.objects.bulk_create(fields)
    return point


def judged(point: Checkpoint) -> gates.Gate:
    """Have a checkpoint judged; return its gate."""
    measuring.judge(checkpoint=point)
    point.refresh_from_db()
    return gates.gate(point, gates.current_checkpoint())
