"""The manifest refuses what training must not be given."""

import json
from pathlib import Path
from typing import Any

import pytest

from ecgfm_core import manifest
from ecgfm_core.errors import FormatError
from ecgfm_core.manifest import ManifestEntry


def entry(number: int = 1, **changes: Any) -> ManifestEntry:
    """Make a sound entry, with changes."""
    values: dict[str, Any] = {
        "id": number,
        "sha256": "a" * 64,
        "lead_names": ("I", "II"),
        "sampling_rate_hz": 500.0,
        "sample_count": 5000,
        "group": f"r{number}",
    }
    return ManifestEntry(**values | changes)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    entries = [
        entry(1, labels={"426783006": 1, "164889003": 0}, abnormal=0, text="Sinus rhythm, 60/min – normal"),
        entry(2, split="test", calibrated=False, scale_mv=0.5, label_source="consensus", weight=2.5),
    ]
    assert manifest.write(tmp_path / "m.jsonl", iter(entries)) == 2
    assert manifest.read(tmp_path / "m.jsonl") == entries
    assert entries[0].duration_s == 10.0
    assert [path.name for path in tmp_path.iterdir()] == ["m.jsonl"]


def test_optional_fields_may_be_left_out(tmp_path: Path) -> None:
    (tmp_path / "m.jsonl").write_text(
        json.dumps({"id": 1, "sha256": "a" * 64, "lead_names": ["I"], "sampling_rate_hz": 500, "sample_count": 10})
        + "\n\n"
    )
    (only,) = manifest.read(tmp_path / "m.jsonl")
    assert (only.labels, only.abnormal, only.weight, only.split) == ({}, None, 1.0, "train")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"id": True}, "id True"),
        ({"sha256": "../x"}, "64 hex"),
        ({"lead_names": ()}, "at least one name"),
        ({"sampling_rate_hz": 0}, "sampling rate"),
        ({"sampling_rate_hz": float("nan")}, "sampling rate"),
        ({"sample_count": 0}, "sample count"),
        ({"scale_mv": -1}, "scale"),
        ({"calibrated": "yes"}, "calibrated"),
        ({"split": "dev"}, "'dev'"),
        ({"labels": {"1": 2}}, "0 or 1"),
        ({"abnormal": 2}, "abnormal"),
        ({"label_source": "model"}, "label source"),
        ({"weight": 0}, "weight"),
        ({"weight": float("inf")}, "weight"),
        ({"text": None}, "text"),
    ],
)
def test_a_wrong_value_is_refused_by_name(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(FormatError) as caught:
        entry(**changes)
    assert words in str(caught.value)


def test_one_patient_in_two_splits_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    entries = [entry(1, group="p"), entry(2, group="p", split="test")]
    with pytest.raises(FormatError, match="recording 2: its group lies in the train split and in the test split"):
        manifest.write(tmp_path / "m.jsonl", entries)
    assert list(tmp_path.iterdir()) == []


def test_the_same_recording_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="comes twice"):
        manifest.write(tmp_path / "m.jsonl", [entry(1), entry(1)])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "line 1: not JSON"),
        ("[]", "an object is needed"),
        ('{"id": 1}', "missing fields"),
        ('{"id": 1, "colour": 2}', "unknown fields"),
    ],
)
def test_a_line_that_is_no_entry_is_named(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "m.jsonl").write_text(text)
    with pytest.raises(FormatError, match=words):
        manifest.read(tmp_path / "m.jsonl")


def test_a_missing_or_binary_file_is_an_error_with_words(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="No such file"):
        manifest.read(tmp_path / "none.jsonl")
    (tmp_path / "m.jsonl").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FormatError, match="not UTF-8"):
        manifest.read(tmp_path / "m.jsonl")
