"""The frozen test split: its recordings, what holds of them now, and what a checkpoint said of them.

It is every recording of split `test` in a dataset that some training has used. N recording, C label.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from django.db.models import QuerySet

from annotator.models import Checkpoint, Consensus, Dataset, Prediction, Recording, Round, ScoringRun
from annotator.models.jobs import JobState
from annotator.selectors import training_pool
from annotator.selectors.prospective import SEX, age_band

CHUNK = 2000
CENTRES_MAX = 30  # with more, the centres with the fewest recordings go without a figure
UNDERWAY_OR_DONE = (JobState.QUEUED, JobState.RUNNING, JobState.FINISHED)


@dataclass(frozen=True)
class Said:
    """What a checkpoint said of test recordings, in the order of their ids."""

    ids_N: np.ndarray
    abnormal_N: np.ndarray
    label_NC: np.ndarray


@dataclass(frozen=True)
class Truth:
    """What holds of test recordings: 0, 1, or NaN where unknown; `sources` counts where it is from."""

    abnormal_N: np.ndarray
    target_NC: np.ndarray
    patients_N: np.ndarray
    groups: dict[str, np.ndarray]
    sources: dict[str, int]


def recordings() -> QuerySet[Recording]:
    """Return the recordings of the test split."""
    trained = Dataset.objects.filter(training_runs__isnull=False)
    return Recording.objects.filter(split=Recording.Split.TEST, dataset__in=trained.values("pk"))


def newest_scoring(checkpoint: Checkpoint) -> ScoringRun | None:
    """Return the newest scoring run of a checkpoint that is under way or has finished."""
    return checkpoint.scoring_runs.filter(state__in=UNDERWAY_OR_DONE).order_by("-pk").first()


def readings() -> int:
    """Return how many consensus rows hold on the test split or held; it grows when its labels change."""
    return _counting().filter(recording__in=recordings()).count()


def _counting() -> QuerySet[Consensus]:
    """Return the consensus rows that count here: those of closed rounds, so that no open one moves what is judged."""
    return Consensus.objects.filter(round__state=Round.State.CLOSED)


def _newest(ids: Sequence[int]) -> QuerySet[Consensus]:
    return _counting().filter(recording__in=ids).order_by("recording_id", "-pk").distinct("recording_id")


def scored(checkpoint: Checkpoint) -> QuerySet[Prediction]:
    """Return what a checkpoint said of the test split."""
    return Prediction.objects.filter(checkpoint=checkpoint, recording__in=recordings())


def said(checkpoint: Checkpoint) -> Said:
    """Return what a checkpoint said of the test split, as arrays."""
    rows = (
        scored(checkpoint).order_by("recording").values_list("recording", "abnormal_probability", "label_probabilities")
    )
    ids: list[int] = []
    abnormal: list[float] = []
    labels: list[np.ndarray] = []
    for pk, probability, label_probabilities in rows.iterator(CHUNK):
        ids.append(pk)
        abnormal.append(probability)
        labels.append(np.array(label_probabilities, dtype=np.float32))
    label_NC = np.stack(labels) if labels else np.empty((0, len(checkpoint.label_codes)), dtype=np.float32)
    return Said(np.array(ids, dtype=np.int64), np.array(abnormal), label_NC)


def truth(ids_N: Sequence[int] | np.ndarray, codes: Sequence[str]) -> Truth:
    """Return what holds of these recordings, row by row in the order of their ids, a column a code."""
    vocabularies = {pk: training_pool.vocabulary(pk) for pk in Dataset.objects.values_list("pk", flat=True)}
    names = dict(Dataset.objects.values_list("pk", "name"))
    abnormal: list[float] = []
    targets: list[np.ndarray] = []
    kept: dict[str, list[str]] = {"patient": [], "Sex": [], "Age": [], "Centre": [], "Dataset": []}
    sources: Counter[str] = Counter()
    ordered = np.sort(np.asarray(ids_N, dtype=np.int64)).tolist()
    for ids in (ordered[start : start + CHUNK] for start in range(0, len(ordered), CHUNK)):
        rows = list(Recording.objects.filter(pk__in=ids).order_by("pk"))
        newest = _newest(ids)
        held = training_pool.holding(rows, vocabularies, newest)
        settled = {row.recording_id: row.source for row in newest}
        sources.update("unreadable" if held[pk].unreadable else settled.get(pk, "source") for pk in ids)
        for row in rows:
            abnormal.append(_number(held[row.pk].abnormal))
            kept["patient"].append(row.patient_hash or f"r{row.pk}")
            kept["Sex"].append(SEX[row.sex])
            kept["Age"].append(age_band(row.age_years))
            kept["Centre"].append(row.centre)
            kept["Dataset"].append(names[row.dataset_id])
        targets.append(np.array([[_number(held[pk].labels.get(code)) for code in codes] for pk in ids]))
    patients = np.array(kept.pop("patient"), dtype=str)
    groups = {way: np.array(parts, dtype=str) for way, parts in kept.items()}
    groups["Centre"] = _most_frequent(groups["Centre"])
    target_NC = np.concatenate(targets).reshape(-1, len(codes)) if targets else np.empty((0, len(codes)))
    return Truth(np.array(abnormal), target_NC, patients, groups, dict(sources))


def _number(value: int | None) -> float:
    return np.nan if value is None else float(value)


def _most_frequent(names_N: np.ndarray) -> np.ndarray:
    """Return the names with those of rare centres blank."""
    kept = [name for name, _ in Counter(names_N.tolist()).most_common(CENTRES_MAX)]
    return np.where(np.isin(names_N, kept), names_N, "")
