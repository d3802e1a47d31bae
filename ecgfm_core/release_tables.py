"""Columns of the Parquet tables of a curated release."""

import pyarrow as pa

_TEXTS = pa.list_(pa.string())
_TIME = pa.timestamp("us", tz="UTC")


def _schema(**columns: pa.DataType) -> pa.Schema:
    return pa.schema(list(columns.items()))


TABLES: dict[str, pa.Schema] = {
    "recordings": _schema(
        recording_id=pa.int64(), dataset=pa.string(), name=pa.string(), record_path=pa.string(), sha256=pa.string(),
        lead_names=_TEXTS, sampling_rate_hz=pa.float64(), sample_count=pa.int64(), scale_mv=pa.float64(),
        calibrated=pa.bool_(), patient=pa.string(), split=pa.string(), age_years=pa.float64(), sex=pa.string(),
        acquired_at=_TIME, centre=pa.string(), overall=pa.string(), label_source=pa.string(), text=pa.string(),
        quality=pa.string(),
    ),
    "labels": _schema(
        recording_id=pa.int64(), code=pa.string(), qualifier=pa.string(), label_source=pa.string(),
    ),
    "source_labels": _schema(
        recording_id=pa.int64(), system=pa.string(), source_code=pa.string(), code=pa.string(), likelihood=pa.float64(),
    ),
    "consensus": _schema(
        consensus_id=pa.int64(), recording_id=pa.int64(), round=pa.int64(), source=pa.string(), corrects=pa.bool_(),
        overall=pa.string(), statements=pa.string(), unreadable_reason=pa.string(), text=pa.string(),
        adjudicator=pa.string(), adjudication_reason=pa.string(), scheme_version=pa.string(), created_at=_TIME,
    ),
    "annotations": _schema(
        annotation_id=pa.int64(), recording_id=pa.int64(), round=pa.int64(), checkpoint=pa.int64(), reader=pa.string(),
        stage=pa.string(), overall=pa.string(), statements=pa.string(), unreadable_reason=pa.string(),
        override_reason=pa.string(), confidence=pa.string(), text=pa.string(), display=pa.string(),
        duration_ms=pa.int64(), queue_origin=pa.string(), queue_reason=pa.string(), revises=pa.int64(),
        scheme_version=pa.string(), created_at=_TIME,
    ),
    "marks": _schema(
        annotation_id=pa.int64(), lead_names=_TEXTS, start_s=pa.float64(), end_s=pa.float64(), code=pa.string(),
        note=pa.string(),
    ),
    "scheme": _schema(
        version=pa.string(), code=pa.string(), abbreviation=pa.string(), name=pa.string(), group=pa.string(),
        synonyms=_TEXTS, scored=pa.bool_(), normal=pa.bool_(),
    ),
}  # fmt: skip
WAVEFORMS = _schema(
    recording_id=pa.int64(), lead_count=pa.int32(), sample_count=pa.int64(), scale_mv=pa.float64(), samples=pa.binary()
)
