"""What may be trained on and scored: every recording with the labels that hold for it now."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import islice

from django.db.models import QuerySet

from annotator.models import Consensus, Recording, SourceLabel
from annotator.models.annotations import Overall
from annotator.selectors import source_weights
from ecgfm_core import labels, reports
from ecgfm_core.manifest import ManifestEntry

CHUNK = 2000
LIKELIHOOD_MIN = 0.5  # a statement that its source holds for less likely than this is unknown, not present

map_code = cache(labels.map_code)
Vocabulary = frozenset[str]


@dataclass(frozen=True)
class Holds:
    """The labels that hold for one recording; a code that is in neither list of `labels` is unknown."""

    labels: dict[str, int]
    abnormal: int | None
    source: str
    text: str
    unreadable: bool = False


def newest_consensus(recordings: QuerySet[Recording] | Iterable[int]) -> QuerySet[Consensus]:
    """Return the consensus that counts, one a recording that has any."""
    return Consensus.objects.filter(recording__in=recordings).order_by("recording_id", "-pk").distinct("recording_id")


def corrections(dataset_ids: Iterable[int]) -> QuerySet[Consensus]:
    """Return the consensus rows that correct a label of the train split of these datasets."""
    trained = Recording.objects.filter(dataset__in=list(dataset_ids), split=Recording.Split.TRAIN)
    return Consensus.objects.filter(pk__in=newest_consensus(trained).values("pk"), corrects=True)


def manifest_entries(dataset_ids: Iterable[int], *, training: bool = False) -> Iterator[ManifestEntry]:
    """Yield an entry a recording, in order; for training, those settled as unreadable are left out."""
    rows = Recording.objects.filter(dataset__in=list(dataset_ids)).select_related("waveform").order_by("pk")
    vocabularies = {pk: vocabulary(pk) for pk in dataset_ids}
    weights, unaudited = source_weights.weights(dataset_ids), source_weights.weight(0, 0)
    for chunk in _chunks(rows.iterator(chunk_size=CHUNK)):
        held = holding(chunk, vocabularies)
        for row in chunk:
            if not (training and held[row.pk].unreadable):
                yield _entry(row, held[row.pk], weights.get((row.dataset_id, row.centre), unaudited))


def unlabelled(recordings: Iterable[Recording]) -> Iterator[ManifestEntry]:
    """Yield an entry a recording without its labels: to be scored, not to be trained on."""
    nothing = Holds({}, None, "source", "")
    return (_entry(row, nothing, 1.0) for row in recordings)


@cache
def _scheme_codes() -> frozenset[str]:
    return frozenset(label.code for label in labels.load_scheme().labels)


def vocabulary(dataset_id: int) -> Vocabulary:
    """Return the codes a dataset uses: one of them not stated is absent, any other is unknown."""
    used = SourceLabel.objects.filter(recording__dataset=dataset_id).values_list("system", "source_code").distinct()
    return frozenset(code for system, source_code in used for code in map_code(system, source_code))


def holding(
    recordings: list[Recording], vocabularies: dict[int, Vocabulary], consensus: QuerySet[Consensus] | None = None
) -> dict[int, Holds]:
    """Return what holds for each recording: its newest consensus (`consensus` where given), else what came with it."""
    pks = [row.pk for row in recordings]
    settled = {row.recording_id: row for row in (newest_consensus(pks) if consensus is None else consensus)}
    stated: defaultdict[int, list[SourceLabel]] = defaultdict(list)
    for label in SourceLabel.objects.filter(recording__in=[pk for pk in pks if pk not in settled]):
        stated[label.recording_id].append(label)
    return {
        row.pk: _from_consensus(row, settled[row.pk], vocabularies[row.dataset_id])
        if row.pk in settled
        else _from_source(row, stated[row.pk], vocabularies[row.dataset_id])
        for row in recordings
    }


def _from_source(row: Recording, stated: list[SourceLabel], known: Vocabulary) -> Holds:
    present: set[str] = set()
    unsure: set[str] = set()
    for label in stated:
        (unsure if doubtful(label) else present).update(map_code(label.system, label.source_code))
    found = _closed(present, unsure, known) if present else {}
    abnormal = None if row.source_abnormal is None else int(row.source_abnormal)
    stated_all = dict.fromkeys(present, "") | dict.fromkeys(unsure - present, reports.POSSIBLE)
    return Holds(found, abnormal, "source", row.report_text or _sentence(stated_all))


def _from_consensus(row: Recording, settled: Consensus, known: Vocabulary) -> Holds:
    if settled.overall == Overall.UNREADABLE:
        return Holds({}, None, "consensus", "", unreadable=True)
    unsure = {one["code"] for one in settled.statements if one.get("qualifier") == reports.POSSIBLE}
    present = {one["code"] for one in settled.statements} - unsure
    found = _closed(present, unsure, known) if settled.statements else {}
    qualified = {one["code"]: one.get("qualifier") or "" for one in settled.statements}
    if not qualified and settled.overall == Overall.NORMAL:
        qualified = {labels.NORMAL_ECG: ""}
    text = text_of(row, settled) or _sentence(qualified)
    return Holds(found, int(settled.overall == Overall.ABNORMAL), "consensus", text)


def doubtful(label: SourceLabel) -> bool:
    """Whether the source itself holds a statement for less likely than not."""
    return label.likelihood is not None and label.likelihood < LIKELIHOOD_MIN


def text_of(row: Recording, settled: Consensus | None) -> str:
    """Return the text that somebody wrote and that holds.

    A corrected label with the old sentence beside it would teach the error back.
    """
    if settled is None:
        return row.report_text
    return settled.text or ("" if settled.corrects else row.report_text)


def _sentence(statements: dict[str, str]) -> str:
    """Write the training text of a recording that nobody wrote of; codes of an older scheme are left out."""
    return reports.sentence({code: how for code, how in statements.items() if code in _scheme_codes()})


def _closed(present: set[str], unsure: set[str], known: Vocabulary) -> dict[str, int]:
    scheme = _scheme_codes()
    return {code: int(code in present) for code in sorted((known | present) - (unsure - present)) if code in scheme}


def _entry(row: Recording, held: Holds, source_weight: float) -> ManifestEntry:
    waveform = row.waveform
    return ManifestEntry(
        id=row.pk,
        sha256=waveform.sha256,
        lead_names=tuple(waveform.lead_names),
        sampling_rate_hz=waveform.sampling_rate_hz,
        sample_count=waveform.sample_count,
        scale_mv=waveform.scale_mv,
        calibrated=waveform.calibrated,
        split=row.split,
        group=row.patient_hash or f"r{row.pk}",
        labels=held.labels,
        abnormal=held.abnormal,
        label_source=held.source,
        weight=1.0 if held.source == "consensus" else source_weight,
        text=held.text,
    )


def _chunks(rows: Iterator[Recording]) -> Iterator[list[Recording]]:
    while chunk := list(islice(rows, CHUNK)):
        yield chunk
