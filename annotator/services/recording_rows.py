"""Records that were read, turned into rows: what an import and an arrival have in common."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import connection

from annotator.models import Dataset, Recording, SourceLabel, Waveform
from annotator.services import quality
from annotator.services.splits import Splits, hash_patient
from ecgfm_core import labels
from ecgfm_core import waveform as waveforms
from ecgfm_core.datasets import Entry
from ecgfm_core.errors import FormatError
from ecgfm_core.recording import Recording as Source

NAME_MAX = 500
SPLIT_LOCK = 0x5311  # any number; splits are decided one batch at a time


@dataclass(frozen=True)
class Prepared:
    """A record that was read, checked and whose waveform is stored."""

    source: Source
    packed: waveforms.PackedWaveform
    quality: dict[str, Any]

    @property
    def size(self) -> int:
        """Bytes of samples that it keeps in memory until it is written."""
        return self.packed.samples.nbytes + self.source.waveform_mv.nbytes


@dataclass(frozen=True)
class Place:
    """Where records go, and what their folder says of all of them."""

    dataset: Dataset
    layout: str
    own_folds: bool = False


def printable(text: str) -> str:
    """Return a text that the database can hold."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "")


def check_name(name: str) -> None:
    """Refuse a name that can't be stored: bytes of a file name that are no UTF-8, or a path that is too long."""
    if printable(name) != name:
        raise FormatError(f"{name}: its file name is not UTF-8; rename the file")
    if len(name) > NAME_MAX:
        raise FormatError(f"{name}: a path of {len(name)} characters; at most {NAME_MAX} are kept, move it further up")


def prepare(entry: Entry) -> Prepared:
    """Read a record, store its waveform, judge and measure it; raises what the reader refuses it for."""
    check_name(entry.name)
    source = entry.load()
    packed = waveforms.pack(source)
    waveforms.store(packed, settings.WAVEFORM_DIR)
    found = quality.judge(source.waveform_mv, source.sampling_rate_hz, source.lead_names, source.calibrated)
    return Prepared(source, packed, found)


def lock_splits() -> None:
    """Put those who decide splits in line, until the transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [SPLIT_LOCK])


def write(place: Place, fresh: Sequence[Prepared]) -> list[tuple[Recording, list[str]]]:
    """Write the rows of records, each with its remarks; the caller holds a transaction and `lock_splits`."""
    Waveform.objects.bulk_create([_waveform_row(entry.packed) for entry in fresh], ignore_conflicts=True)
    splits = Splits(own_folds=place.own_folds)
    splits.load([_patient(place, entry.source) for entry in fresh], [entry.packed.sha256 for entry in fresh])
    rows = [_recording_row(place, entry, splits) for entry in fresh]
    Recording.objects.bulk_create(rows)
    pairs = list(zip(rows, fresh, strict=True))
    SourceLabel.objects.bulk_create(
        [label for row, entry in pairs for label in _label_rows(row, entry.source)], ignore_conflicts=True
    )
    return [(row, list(_remarks(row, entry, splits))) for row, entry in pairs]


def _patient(place: Place, source: Source) -> str:
    """Return the patient's hash; a key such as 1 means another person in another set or centre."""
    return hash_patient(f"{place.layout}/{source.centre}/{source.patient_key}" if source.patient_key else "")


def _recording_row(place: Place, entry: Prepared, splits: Splits) -> Recording:
    source, patient_hash = entry.source, _patient(place, entry.source)
    return Recording(
        dataset=place.dataset,
        name=source.name,
        waveform_id=entry.packed.sha256,
        patient_hash=patient_hash,
        split=splits.decide(patient_hash=patient_hash, waveform=entry.packed.sha256, fold=source.fold),
        age_years=source.age_years,
        sex=source.sex,
        acquired_at=source.acquired_at,
        centre=source.centre[:60],
        report_text=source.report_text.replace("\0", ""),
        quality=entry.quality,
        source_abnormal=labels.abnormal_source(source.source_codes),
    )


def _waveform_row(packed: waveforms.PackedWaveform) -> Waveform:
    return Waveform(
        sha256=packed.sha256,
        lead_names=list(packed.lead_names),
        sampling_rate_hz=packed.sampling_rate_hz,
        sample_count=packed.samples.shape[1],
        scale_mv=packed.scale_mv,
        calibrated=packed.calibrated,
        scale_note=packed.note[:300],
    )


def _label_rows(row: Recording, source: Source) -> Iterator[SourceLabel]:
    """Yield a row a statement; one mapped to several codes names the first, one without a code stays as it came."""
    for code in source.source_codes:
        mapped = labels.map_code(code.system, code.code)
        yield SourceLabel(
            recording=row,
            system=code.system,
            source_code=code.code[:60],
            code=mapped[0] if mapped else "",
            likelihood=code.likelihood,
        )


def _remarks(row: Recording, entry: Prepared, splits: Splits) -> Iterator[str]:
    yield from entry.source.remarks
    if splits.clash(waveform=entry.packed.sha256, split=row.split):
        yield (
            f"{row.name}: the same samples lie in another split under another patient; the patient stays there. "
            "Check whether both are one person."
        )
