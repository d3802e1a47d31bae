"""Predictions as PostgreSQL's binary COPY format, straight from arrays: no Python object a number.

N recording, C label, D embedding feature.
"""

import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ecgfm_core.active.meanings import NAMES

NUMBERS = ("abnormal_probability", *NAMES)
COLUMNS = (
    "checkpoint_id", "recording_id", *NUMBERS, "label_probabilities", "label_error_detail", "generated_text",
    "embedding",
)  # fmt: skip
HEADER = b"PGCOPY\n\xff\r\n\0" + struct.pack(">ii", 0, 0)
TRAILER = struct.pack(">h", -1)
FLOAT8_OID = 701
FLOAT8 = np.dtype([("length", ">i4"), ("value", ">f8")])
BLOCK_ROWS = 500


@dataclass(frozen=True)
class PredictionBatch:
    """Predictions of one checkpoint as arrays; `scores` are columns by name: one left out, or NaN, stands for none."""

    recording_ids: np.ndarray
    abnormal_probability_N: np.ndarray
    label_probabilities_NC: np.ndarray
    embedding_ND: np.ndarray
    details: Sequence[dict[str, Any]]
    texts: Sequence[str]
    scores: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if unknown := sorted(set(self.scores) - set(NAMES)):
            raise ValueError(f"no prediction has a column {', '.join(unknown)}; the columns are {', '.join(NAMES)}")

    def __len__(self) -> int:
        return len(self.recording_ids)


def encode(checkpoint_id: int, batch: PredictionBatch) -> Iterator[bytes]:
    """Yield the COPY stream of a batch in the order of COLUMNS."""
    yield HEADER
    none_N = np.full(len(batch), np.nan)
    columns = [batch.abnormal_probability_N, *(batch.scores.get(name, none_N) for name in NAMES)]
    numbers = _numbers(np.stack(columns, axis=1).astype(np.float64))
    arrays, vectors = _arrays(batch.label_probabilities_NC), _half_vectors(batch.embedding_ND)
    start, pack = struct.pack(">hiq", len(COLUMNS), 8, checkpoint_id), struct.Struct(">iq").pack
    rows: list[bytes] = []
    words = zip(batch.recording_ids.tolist(), batch.details, batch.texts, strict=True)
    for row, (pk, detail, text) in enumerate(words):
        said, written = b"\x01" + json.dumps(detail).encode(), text.replace("\0", "").encode()
        rows += (
            start, pack(8, pk), numbers[row], arrays[row], struct.pack(">i", len(said)), said,
            struct.pack(">i", len(written)), written, vectors[row],
        )  # fmt: skip
        if row % BLOCK_ROWS == BLOCK_ROWS - 1:
            yield b"".join(rows)
            rows = []
    yield b"".join(rows) + TRAILER


def _numbers(values_NK: np.ndarray) -> list[bytes]:
    """Encode each row as K float8 columns with their lengths; NaN is null, a length of -1 with nothing after it."""
    count, width = values_NK.shape
    none_NK = np.isnan(values_NK)
    elements = np.empty((count, width), dtype=FLOAT8)
    elements["length"], elements["value"] = np.where(none_NK, -1, 8), values_NK
    kept = np.ones((count, width, FLOAT8.itemsize), dtype=bool)
    kept[none_NK, 4:] = False
    data = elements.view(np.uint8).reshape(kept.shape)[kept].tobytes()
    ends = np.cumsum(kept.sum(axis=(1, 2))).tolist()
    return [data[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def _arrays(values_NC: np.ndarray) -> list[bytes]:
    """Encode each row as a float8[] with its length before it."""
    count, width = values_NC.shape
    elements = np.empty((count, width), dtype=FLOAT8)
    elements["length"], elements["value"] = 8, values_NC
    size = width * elements.itemsize
    head = struct.pack(">iiiiii", 20 + size, 1, 0, FLOAT8_OID, width, 1)
    if not width:  # an empty array has no dimension
        return [struct.pack(">iiii", 12, 0, 0, FLOAT8_OID)] * count
    return _rows(head, elements.tobytes(), size, count)


def _half_vectors(values_ND: np.ndarray) -> list[bytes]:
    """Encode each row as pgvector's halfvec with its length before it."""
    count, width = values_ND.shape
    size = 2 * width
    return _rows(struct.pack(">ihh", 4 + size, width, 0), values_ND.astype(">f2").tobytes(), size, count)


def _rows(head: bytes, data: bytes, size: int, count: int) -> list[bytes]:
    return [head + data[row * size : (row + 1) * size] for row in range(count)]
