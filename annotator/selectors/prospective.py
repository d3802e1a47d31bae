"""What a prospective test knows: arrivals, what readings said of them since, and the figures of both."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from functools import cached_property
from statistics import median
from typing import Any

import numpy as np
from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone

from annotator.models import (
    Arrival,
    Checkpoint,
    Consensus,
    Prediction,
    ProspectiveTest,
    QueueItem,
    Recording,
    Role,
    Round,
    User,
)
from annotator.models.annotations import Overall
from annotator.models.jobs import JobState
from annotator.selectors import schemes, training_pool
from ecgfm_core import prospective as arithmetic
from ecgfm_core.prospective import Drift, Judged

State = Arrival.State
FIRST_DAYS = 7  # the reference where the checkpoint's validation leaves none
QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
AGE_BANDS = ((0, 18), (18, 40), (40, 60), (60, 80), (80, 151))
LABEL_THRESHOLD = 0.5
UNKNOWN = "not stated"


def tests() -> QuerySet[ProspectiveTest]:
    """Return the tests, newest first."""
    return ProspectiveTest.objects.select_related("checkpoint", "dataset", "created_by").order_by("-pk")


def validation_scores(checkpoint: Checkpoint) -> list[tuple[float, bool | None]]:
    """Return what a checkpoint said of its validation split, with the truth that holds; None where none is known."""
    datasets = checkpoint.run.datasets.values("pk")
    rows = Recording.objects.filter(dataset__in=datasets, split=Recording.Split.VALIDATE)
    settled = {row.recording_id: row.overall for row in training_pool.newest_consensus(rows)}
    said = Prediction.objects.filter(checkpoint=checkpoint, recording__in=rows)
    found = []
    for pk, score, source in said.values_list("recording", "abnormal_probability", "recording__source_abnormal"):
        overall = settled.get(pk)
        if overall != Overall.UNREADABLE:
            found.append((score, source if overall is None else overall == Overall.ABNORMAL))
    return found


def counted(test: ProspectiveTest) -> QuerySet[Arrival]:
    """Return the arrivals that count: scored, in the order they came."""
    return test.arrivals.filter(state=State.SCORED).order_by("received_at", "pk")


def unread(test: ProspectiveTest) -> QuerySet[Arrival]:
    """Return the scored arrivals that nobody has settled and that wait in no round."""
    settled = Consensus.objects.filter(recording=OuterRef("recording"), created_at__gte=OuterRef("predicted_at"))
    planned = QueueItem.objects.filter(recording=OuterRef("recording")).exclude(round__state=Round.State.CLOSED)
    return counted(test).exclude(Exists(settled)).exclude(Exists(planned))


def visible(test_id: int, pk: int, user: User) -> Arrival | None:
    """Return an arrival to whoever may see it: an admin, or who sent it."""
    rows = Arrival.objects.filter(test=test_id, pk=pk)
    if user.role != Role.ADMIN:
        rows = rows.filter(sent_by=user)
    return rows.select_related("test__checkpoint", "batch", "duplicate_of").first()


def answer(arrival: Arrival) -> dict[str, Any]:
    """Return what became of an arrival: its prediction when there is one, the reason where it was refused."""
    test, told = arrival.test, arrival.duplicate_of or arrival
    done = told.state == State.SCORED
    return {
        "id": arrival.pk,
        "name": arrival.name,
        "state": arrival.state,
        "received_at": arrival.received_at,
        "duplicate_of": arrival.duplicate_of_id,
        "reason": told.reason,
        "recording": str(told.recording) if told.recording_id else "",
        "predicted_at": told.predicted_at,
        "abnormal_probability": told.abnormal_probability,
        "threshold": test.threshold,
        "abnormal": told.abnormal_probability >= test.threshold if told.abnormal_probability is not None else None,
        "labels": _labels(told) if done else [],
        "text": told.generated_text,
    }


def _labels(arrival: Arrival) -> list[dict[str, Any]]:
    """Return the labels over the threshold, the surest first."""
    scheme = schemes.current_scheme()
    pairs = zip(arrival.test.checkpoint.label_codes, arrival.label_probabilities or [], strict=True)
    over = sorted((pair for pair in pairs if pair[1] >= LABEL_THRESHOLD), key=lambda pair: -pair[1])
    return [
        {"code": code, "name": schemes.name_of(scheme.pk, code) if scheme else code, "probability": probability}
        for code, probability in over
    ]


@dataclass(frozen=True)
class Case:
    """One scored arrival; truth is None while nobody has read it, or nobody can."""

    day: date
    score: float
    said: bool
    truth: bool | None
    overall: str
    seen_model: bool
    centre: str
    sex: str
    age: str
    patient: str


@dataclass(frozen=True)
class Group:
    """Arrivals of one day, centre or kind of patient, and how the calls on them were."""

    name: str
    arrived: int
    judged: Judged


@dataclass(frozen=True)
class Day:
    """One day: its calls, all calls so far, its scores."""

    day: date
    group: Group
    so_far: Judged
    quantiles: dict[float, float]
    drift: Drift | None

    @property
    def median(self) -> float:
        """The middle score of the day."""
        return self.quantiles[0.5]


class Figures:
    """Everything a test shows, read from the rows once."""

    def __init__(self, test: ProspectiveTest) -> None:
        self.test, self.cases = test, _cases(test)

    def _group(self, name: str, cases: Sequence[Case]) -> Group:
        return Group(name, len(cases), self._judge(cases))

    def _judge(self, cases: Iterable[Case]) -> Judged:
        read = [(case.truth, case.said) for case in cases if case.truth is not None]
        return arithmetic.judge([truth for truth, _ in read], [said for _, said in read], self.test.pk)

    @cached_property
    def overall(self) -> Group:
        """All arrivals."""
        return self._group("All", self.cases)

    @cached_property
    def by(self) -> dict[str, list[Group]]:
        """Groups by centre, sex, age and whether the checkpoint knew the patient."""
        found = {
            title: [self._group(name, cases) for name, cases in sorted(_split(self.cases, of).items())]
            for title, of in (
                ("Centre", lambda case: case.centre),
                ("Sex", lambda case: case.sex),
                ("Age", lambda case: case.age),
                ("Patient", lambda case: case.patient),
            )
        }
        return {title: groups for title, groups in found.items() if len(groups) > 1 or title in ("Centre", "Sex")}

    @cached_property
    def reference(self) -> dict[str, Any]:
        """The scores that those of each day are compared with."""
        if self.test.reference:
            return self.test.reference
        scores = [case.score for case in self.cases if case.day in self.first_days]
        origin = f"the first {FIRST_DAYS} days with arrivals: the checkpoint's validation left too few scores"
        return {"origin": origin, "count": len(scores), "scores": arithmetic.thinned(scores)}

    @cached_property
    def first_days(self) -> set[date]:
        """The days that serve as the reference; none where the checkpoint's validation does."""
        return set() if self.test.reference else set(sorted({case.day for case in self.cases})[:FIRST_DAYS])

    @cached_property
    def days(self) -> list[Day]:
        """Each day with arrivals, the first one first."""
        found, so_far = [], []
        for day, cases in sorted(_split(self.cases, lambda case: case.day).items()):
            so_far += cases
            scores = [case.score for case in cases]
            quantiles = dict(zip(QUANTILES, np.quantile(scores, QUANTILES).tolist(), strict=True))
            group = self._group(day.isoformat(), cases)
            drift = None if day in self.first_days else self._drift(scores)
            found.append(Day(day, group, self._judge(so_far), quantiles, drift))
        return found

    def _drift(self, scores: Sequence[float]) -> Drift | None:
        return arithmetic.drift(self.reference["scores"], scores, self.reference["count"])

    @cached_property
    def drift(self) -> Drift | None:
        """All arrivals against the reference; none where the first of them are the reference."""
        return self._drift([case.score for case in self.cases]) if self.test.reference else None

    @cached_property
    def week(self) -> Drift | None:
        """The last seven days with arrivals against the reference; none while they are the reference."""
        last = {day.day for day in self.days[-7:]} - self.first_days
        return self._drift([case.score for case in self.cases if case.day in last])

    @cached_property
    def reference_quantiles(self) -> dict[str, float]:
        """The quantiles of the reference; empty while there is none."""
        scores = self.reference["scores"]
        return dict(zip(map(str, QUANTILES), np.quantile(scores, QUANTILES).tolist(), strict=True)) if scores else {}

    @property
    def alarms(self) -> list[Day]:
        """Days whose scores have drifted."""
        return [day for day in self.days if day.drift and day.drift.alarm]

    @property
    def unreadable(self) -> int:
        """Arrivals that readers found unreadable; they count in no figure."""
        return sum(case.overall == Overall.UNREADABLE for case in self.cases)

    @property
    def seen_model(self) -> int:
        """Arrivals whose readers saw the model before their final answer."""
        return sum(case.seen_model for case in self.cases)

    @property
    def known_patients(self) -> int:
        """Arrivals of patients whom the checkpoint was trained on."""
        return sum(case.patient == KNOWN[True] for case in self.cases)


KNOWN = {True: "the model was trained on", False: "new to the model", None: "identity unknown"}
SEX = {"F": "Female", "M": "Male", "": UNKNOWN}


def _cases(test: ProspectiveTest) -> list[Case]:
    rows = list(counted(test).select_related("recording"))
    read = Consensus.objects.filter(recording__arrivals__test=test).order_by("recording_id", "-pk")
    newest = read.distinct("recording_id").values_list("recording_id", "overall", "created_at", "round__reveal")
    said = {pk: (overall, at, reveal) for pk, overall, at, reveal in newest}
    return [_case(row, test, said.get(row.recording_id or 0)) for row in rows]


def _case(row: Arrival, test: ProspectiveTest, read: tuple[str, datetime, str] | None) -> Case:
    recording = row.recording
    assert recording is not None
    assert row.abnormal_probability is not None
    assert row.predicted_at is not None
    overall, at, reveal = read or ("", row.predicted_at, "")
    if at < row.predicted_at:  # only a reading after the prediction judges it
        overall = ""
    return Case(
        day=timezone.localtime(row.received_at).date(),
        score=row.abnormal_probability,
        said=row.abnormal_probability >= test.threshold,
        truth=None if overall in ("", Overall.UNREADABLE) else overall == Overall.ABNORMAL,
        overall=overall,
        seen_model=bool(overall) and reveal != Round.Reveal.NEVER,
        centre=recording.centre or UNKNOWN,
        sex=SEX[recording.sex],
        age=age_band(recording.age_years),
        patient=KNOWN[row.known_patient if recording.patient_hash or row.known_patient else None],
    )


def age_band(age_years: float | None) -> str:
    """Say in which band of ages someone is."""
    if age_years is None:
        return UNKNOWN
    low, high = next(band for band in AGE_BANDS if age_years < band[1])
    return f"{low} to {high - 1} years" if high <= 100 else f"{low} years and older"


def _split(cases: Iterable[Case], of: Callable[[Case], Any]) -> dict[Any, list[Case]]:
    found: defaultdict[Any, list[Case]] = defaultdict(list)
    for case in cases:
        found[of(case)].append(case)
    return found


def counts(test: ProspectiveTest) -> dict[str, int]:
    """Return how many arrivals there are of each state, and how many could not be scored."""
    found = Counter(test.arrivals.values_list("state", flat=True))
    stuck = test.arrivals.filter(state=State.WAITING, batch__state=JobState.FAILED).count()
    return {state: found[state] for state in State.values} | {"stuck": stuck}


def refused(test: ProspectiveTest) -> QuerySet[Arrival]:
    """Return what was refused or could not be scored, newest first."""
    stuck = test.arrivals.filter(state=State.WAITING, batch__state=JobState.FAILED)
    return (test.arrivals.filter(state=State.REFUSED) | stuck).select_related("batch").order_by("-pk")


def waits(test: ProspectiveTest) -> dict[str, float | None]:
    """Return the seconds from arrival to prediction: the median, and what 95 of 100 stay under."""
    times = counted(test).values_list("received_at", "predicted_at")
    spans = sorted((at - came).total_seconds() for came, at in times if at is not None)
    if not spans:
        return {"median_s": None, "p95_s": None}
    return {"median_s": median(spans), "p95_s": float(np.percentile(spans, 95))}


def as_json(figures: Figures) -> dict[str, Any]:
    """Return the figures for programs."""
    test = figures.test
    return {
        "test": test.pk,
        "name": test.name,
        "state": test.state,
        "checkpoint": test.checkpoint_id,
        "threshold": test.threshold,
        "counts": counts(test),
        "unreadable": figures.unreadable,
        "seconds_to_prediction": waits(test),
        "to_beat": arithmetic.PAPER,
        "overall": _group_json(figures.overall),
        "groups": {title.lower(): [_group_json(group) for group in groups] for title, groups in figures.by.items()},
        "days": [
            _group_json(day.group)
            | {"so_far": asdict(day.so_far), "drift": _drift_json(day.drift), "quantiles": day.quantiles}
            for day in figures.days
        ],
        "drift": _drift_json(figures.drift),
        "reference": {"origin": figures.reference["origin"], "count": figures.reference["count"]},
    }


def _group_json(group: Group) -> dict[str, Any]:
    return {"name": group.name, "arrived": group.arrived, "enough": group.judged.enough, **asdict(group.judged)}


def _drift_json(drift: Drift | None) -> dict[str, Any] | None:
    return asdict(drift) | {"alarm": drift.alarm} if drift else None
