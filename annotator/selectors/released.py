"""What goes into a curated release, read as a stream inside one transaction."""

import json
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from django.conf import settings
from django.db.models import QuerySet

from annotator.models import Annotation, Consensus, CuratedRelease, Label, Mark, Recording, SourceLabel
from annotator.models.annotations import Overall
from annotator.selectors import training_pool
from ecgfm_core import labels, waveform
from ecgfm_core.release_format import ReleasedRecording

CHUNK = 500
Row = dict[str, Any]


def recordings(dataset_ids: list[int], only_consensus: bool) -> QuerySet[Recording]:
    """Return the recordings a release of these datasets holds."""
    rows = Recording.objects.filter(dataset__in=dataset_ids)
    return rows.filter(consensus__isnull=False).distinct() if only_consensus else rows


class Content:
    """The recordings and tables of one release; people stand there under the names `pseudonym` gives."""

    def __init__(self, release: CuratedRelease, pseudonym: Callable[[str, object], str]) -> None:
        dataset_ids = list(release.datasets.values_list("pk", flat=True))
        self.pseudonym = pseudonym
        self.rows = recordings(dataset_ids, release.only_consensus)
        self.total = self.rows.count()
        self.inside = self.rows.order_by().values("pk")
        self.scheme_version = labels.load_scheme().version

    def recordings(self) -> Iterator[ReleasedRecording]:
        """Yield each recording with its samples and the labels that hold."""
        rows = self.rows.select_related("waveform", "dataset").order_by("pk").iterator(chunk_size=CHUNK)
        while chunk := list(islice(rows, CHUNK)):
            settled = {row.recording_id: row for row in training_pool.newest_consensus([row.pk for row in chunk])}
            stated = _stated([row for row in chunk if row.pk not in settled])
            for row in chunk:
                yield self._recording(row, settled.get(row.pk), stated.get(row.pk, ()))

    def _recording(self, row: Recording, settled: Consensus | None, stated: tuple[str, ...]) -> ReleasedRecording:
        stored = row.waveform
        samples = waveform.load(settings.WAVEFORM_DIR, stored.sha256, len(stored.lead_names), stored.sample_count)
        codes = tuple(one["code"] for one in settled.statements) if settled else stated
        return ReleasedRecording(row.pk, samples, codes, self._row(row, settled))

    def _row(self, row: Recording, settled: Consensus | None) -> Row:
        source = {None: None, True: Overall.ABNORMAL.value, False: Overall.NORMAL.value}[row.source_abnormal]
        stored = row.waveform
        return {
            "recording_id": row.pk,
            "dataset": row.dataset.name,
            "name": row.name,
            "sha256": stored.sha256,
            "lead_names": stored.lead_names,
            "sampling_rate_hz": stored.sampling_rate_hz,
            "sample_count": stored.sample_count,
            "scale_mv": stored.scale_mv,
            "calibrated": stored.calibrated,
            "patient": self.pseudonym("patient", row.patient_hash or f"r{row.pk}"),
            "split": row.split,
            "age_years": row.age_years,
            "sex": row.sex,
            "acquired_at": row.acquired_at,
            "centre": row.centre,
            "overall": settled.overall if settled else source,
            "label_source": "consensus" if settled else "source",
            "text": training_pool.text_of(row, settled),
            "quality": json.dumps(row.quality),
        }

    def tables(self) -> dict[str, Iterator[Row]]:
        """Return the rows of every other table."""
        return {
            "labels": self._labels(),
            "source_labels": self._source_labels(),
            "consensus": self._consensus(),
            "annotations": self._annotations(),
            "marks": self._marks(),
            "scheme": self._scheme(),
        }

    def _labels(self) -> Iterator[Row]:
        rows = self.rows.order_by("pk").iterator(chunk_size=CHUNK)
        while chunk := list(islice(rows, CHUNK)):
            settled = {row.recording_id: row for row in training_pool.newest_consensus([row.pk for row in chunk])}
            stated = _stated([row for row in chunk if row.pk not in settled])
            for row in chunk:
                if row.pk in settled:
                    for one in settled[row.pk].statements:
                        yield _label(row.pk, one["code"], one.get("qualifier", ""), "consensus")
                for code in stated.get(row.pk, ()):
                    yield _label(row.pk, code, "", "source")

    def _source_labels(self) -> Iterator[Row]:
        fields = ("recording_id", "system", "source_code", "code", "likelihood")
        rows = SourceLabel.objects.filter(recording__in=self.inside).order_by("recording_id", "pk")
        yield from rows.values(*fields).iterator(chunk_size=5000)

    def _consensus(self) -> Iterator[Row]:
        rows = Consensus.objects.filter(recording__in=self.inside).order_by("pk")
        for row in rows.select_related("round", "scheme", "adjudication").iterator(chunk_size=CHUNK):
            settled = row.adjudication
            yield {
                **_reading(row),
                "consensus_id": row.pk,
                "round": row.round.number,
                "source": row.source,
                "corrects": row.corrects,
                "adjudicator": self.pseudonym("reader", settled.claimed_by_id) if settled else None,
                "adjudication_reason": settled.reason if settled else None,
            }

    def _annotations(self) -> Iterator[Row]:
        rows = Annotation.objects.filter(recording__in=self.inside).order_by("pk")
        for row in rows.select_related("item__round", "scheme").iterator(chunk_size=CHUNK):
            yield {
                **_reading(row),
                "annotation_id": row.pk,
                "round": row.item.round.number,
                "checkpoint": row.item.round.checkpoint_id,
                "reader": self.pseudonym("reader", row.reader_id),
                "stage": row.stage,
                "override_reason": row.override_reason,
                "confidence": row.confidence,
                "display": json.dumps(row.display),
                "duration_ms": row.duration_ms,
                "queue_origin": row.item.origin,
                "queue_reason": row.item.reason,
                "revises": row.revises_id,
            }

    def _marks(self) -> Iterator[Row]:
        fields = ("annotation_id", "lead_names", "start_s", "end_s", "code", "note")
        rows = Mark.objects.filter(annotation__recording__in=self.inside).order_by("pk")
        yield from rows.values(*fields).iterator(chunk_size=5000)

    def _scheme(self) -> Iterator[Row]:
        fields = ("code", "abbreviation", "name", "group", "synonyms", "scored", "normal")
        for row in Label.objects.filter(scheme__version=self.scheme_version).order_by("pk").values(*fields):
            yield {"version": self.scheme_version, **row}


def _reading(row: Annotation | Consensus) -> Row:
    return {
        "recording_id": row.recording_id,
        "overall": row.overall,
        "statements": json.dumps(row.statements),
        "unreadable_reason": row.unreadable_reason,
        "text": row.text,
        "scheme_version": row.scheme.version,
        "created_at": row.created_at,
    }


def _label(recording_id: int, code: str, qualifier: str, source: str) -> Row:
    return {"recording_id": recording_id, "code": code, "qualifier": qualifier, "label_source": source}


def _stated(rows: list[Recording]) -> dict[int, tuple[str, ...]]:
    """Return the scheme's codes that came with each recording."""
    found: dict[int, dict[str, None]] = {row.pk: {} for row in rows}
    for label in SourceLabel.objects.filter(recording__in=list(found)).order_by("pk"):
        if not training_pool.doubtful(label):
            found[label.recording_id].update(dict.fromkeys(training_pool.map_code(label.system, label.source_code)))
    return {pk: tuple(codes) for pk, codes in found.items()}
