"""Predictions as PostgreSQL's binary COPY format, straight from arrays: no Python object a number.

N recording, C label, D embedding feature.
"""

import json
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

COLUMNS = (
    "checkpoint_id", "recording_id", "abnormal_probability", "label_probabilities", "crossfit_abnormal_probability",
    "label_error", "label_error_detail", "entropy", "generated_text", "embedding",
)  # fmt: skip
HEADER = b"PGCOPY\n\xff\r\n\0" + struct.pack(">ii", 0, 0)
TRAILER = struct.pack(">h", -1)
FLOAT8_OID = 701
NULL = struct.pack(">i", -1)
BLOCK_ROWS = 500


@dataclass(frozen=True)
class PredictionBatch:
    """Predictions of one checkpoint as arrays; NaN in `crossfit_N` and `label_error_N` stands for none."""

    recording_ids: np.ndarray
    abnormal_probability_N: np.ndarray
    label_probabilities_NC: np.ndarray
    embedding_ND: np.ndarray
    crossfit_N: np.ndarray
    label_error_N: np.ndarray
    entropy_N: np.ndarray
    details: Sequence[dict[str, Any]]
    texts: Sequence[str]

    def __len__(self) -> int:
        return len(self.recording_ids)


def encode(checkpoint_id: int, batch: PredictionBatch) -> Iterator[bytes]:
    """Yield the COPY stream of a batch in the order of COLUMNS."""
    yield HEADER
    arrays, vectors = _arrays(batch.label_probabilities_NC), _half_vectors(batch.embedding_ND)
    start = struct.pack(">hiq", len(COLUMNS), 8, checkpoint_id)
    pack, doubt = struct.Struct(">iqid").pack, struct.Struct(">id").pack
    rows: list[bytes] = []
    numbers = zip(
        batch.recording_ids.tolist(), batch.abnormal_probability_N.tolist(), batch.crossfit_N.tolist(),
        batch.label_error_N.tolist(), batch.entropy_N.tolist(), batch.details, batch.texts, strict=True,
    )  # fmt: skip
    for row, (pk, abnormal, crossfit, error, entropy, detail, text) in enumerate(numbers):
        said, words = b"\x01" + json.dumps(detail).encode(), text.replace("\0", "").encode()
        rows += (
            start, pack(8, pk, 8, abnormal), arrays[row],
            NULL if crossfit != crossfit else doubt(8, crossfit), NULL if error != error else doubt(8, error),
            struct.pack(">i", len(said)), said, doubt(8, entropy), struct.pack(">i", len(words)), words, vectors[row],
        )  # fmt: skip
        if row % BLOCK_ROWS == BLOCK_ROWS - 1:
            yield b"".join(rows)
            rows = []
    yield b"".join(rows) + TRAILER


def _arrays(values_NC: np.ndarray) -> list[bytes]:
    """Encode each row as a float8[] with its length before it."""
    count, width = values_NC.shape
    elements = np.empty((count, width), dtype=[("length", ">i4"), ("value", ">f8")])
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
