"""Builders for tests of prospective tests: a checkpoint that validated, a test, a month of arrivals and readings."""

from collections.abc import Iterable
from datetime import datetime, timedelta

import numpy as np
from django.utils import timezone

from annotator.models import (
    Arrival,
    Checkpoint,
    Consensus,
    Dataset,
    Prediction,
    ProspectiveTest,
    Recording,
    Round,
    Waveform,
)
from annotator.services import prospective
from tests.annotator.manage_world import admin, checkpoint
from tests.annotator.reading_world import LEADS, recordings, scheme

WIDTH = 4


def validated(truths: Iterable[bool], scores: Iterable[float]) -> Checkpoint:
    """A checkpoint whose validation split has these truths and scores."""
    scheme()
    made = checkpoint(Checkpoint.State.CURRENT)
    for truth, score in zip(truths, scores, strict=True):
        [row] = recordings(1, abnormal=bool(truth), codes=())
        Recording.objects.filter(pk=row.pk).update(split="validate")
        predict(made, row, score)
    made.run.datasets.set(Dataset.objects.filter(name="made"))
    return made


def predict(made: Checkpoint, row: Recording, score: float) -> None:
    Prediction.objects.create(
        checkpoint=made, recording=row, abnormal_probability=score, label_probabilities=[score], entropy=0.5,
        embedding=[0.0] * WIDTH,
    )  # fmt: skip


def running(made: Checkpoint | None = None, **changes: object) -> ProspectiveTest:
    """A running test with threshold 0.5."""
    fields = {"name": "Online month", "dataset_name": "online", "threshold": 0.5, "by": admin(), **changes}
    return prospective.start(checkpoint=made or validated([], []), **fields)


def arrived(
    test: ProspectiveTest, score: float, at: datetime | None = None, seconds: float = 5.0, **kinds: object
) -> Arrival:
    """A scored arrival; `kinds` are fields of its recording."""
    at, number = at or timezone.now() - timedelta(minutes=5), Recording.objects.count()
    waveform = Waveform.objects.create(
        sha256=f"{10**9 + number:064x}", lead_names=LEADS, sampling_rate_hz=500, sample_count=5000, scale_mv=0.001,
        calibrated=True,
    )  # fmt: skip
    row = Recording.objects.create(dataset=test.dataset, name=f"arrival-{number}", waveform=waveform, **kinds)
    predict(test.checkpoint, row, score)
    return Arrival.objects.create(
        test=test, state=Arrival.State.SCORED, source=Arrival.Source.API, name=f"ecg{number}.zip",
        content_sha256=f"{number:064x}", recording=row, known_patient=False, abnormal_probability=score,
        label_probabilities=[score], generated_text="sinus rhythm", received_at=at,
        predicted_at=at + timedelta(seconds=seconds),
    )  # fmt: skip


def settled(arrival: Arrival, overall: str, reveal: str = "never") -> Consensus:
    """What readers said of an arrival, without their clicks."""
    turn, _ = Round.objects.get_or_create(
        number=900 + len(reveal), defaults={"scheme": scheme(), "budget": 1, "reveal": reveal, "created_by": admin()}
    )
    return Consensus.objects.create(
        recording=arrival.recording, round=turn, scheme=turn.scheme, source="single", overall=overall, corrects=False
    )


def month(
    test: ProspectiveTest, count: int = 300, read: int = 200, days: int = 30, drift_from: int = 24, seed: int = 1
) -> None:
    """A month of arrivals from three centres; the scores rise in the last week, and the first `read` are read."""
    rng = np.random.default_rng(seed)
    start = timezone.now() - timedelta(days=days)
    for number in range(count):
        day = number * days // count
        abnormal = bool(rng.random() < 0.45)
        score = rng.beta(9, 1.6) if abnormal else rng.beta(1.6, 9)
        if day >= drift_from:
            score = min(0.999, score + 0.3 * rng.random() + 0.1)
        arrival = arrived(
            test, float(score), start + timedelta(days=day, seconds=float(rng.uniform(0, 36_000))),
            seconds=float(rng.gamma(6, 1.1)), sex=rng.choice(["F", "M", "M", ""]),
            age_years=float(np.clip(rng.normal(62, 18), 1, 99)), patient_hash=f"p{number // 2}",
            centre=rng.choice(["Harbour", "Hillside", "Lakeside"], p=[0.5, 0.35, 0.15]),
        )  # fmt: skip
        if number < read:
            settled(arrival, "unreadable" if rng.random() < 0.01 else ["normal", "abnormal"][abnormal])
