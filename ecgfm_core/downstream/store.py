"""A public set, read once: waveforms under their sha256 and one line a recording; reading goes on where it stopped."""

import base64
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from hashlib import sha256
from pathlib import Path

import numpy as np

from ecgfm_core import datasets, waveform
from ecgfm_core.downstream.duplicates import describe
from ecgfm_core.errors import EcgfmError, FormatError
from ecgfm_core.recording import Recording

_LINES, _UNREAD, _WAVEFORMS = "recordings.jsonl", "unread.jsonl", "waveforms"
_FLUSH_EVERY = 100


@dataclass(frozen=True)
class Stored:
    """One recording of a set as stored; `patient` is a hash, empty if unknown; `codes` are (system, code)."""

    name: str
    sha256: str
    lead_names: tuple[str, ...]
    sampling_rate_hz: float
    sample_count: int
    scale_mv: float
    calibrated: bool
    patient: str
    fold: int | None
    centre: str
    sex: str
    age_years: float | None
    codes: tuple[tuple[str, str], ...]
    text: str
    outline: str

    @property
    def outline_values(self) -> np.ndarray:
        """The outline as int8; see `duplicates.describe`."""
        return np.frombuffer(base64.b64decode(self.outline), dtype=np.int8)


@dataclass(frozen=True)
class StoredSet:
    """All that could be read of a set, and what could not: name -> reason."""

    source: Path
    layout: str
    recordings: tuple[Stored, ...]
    unread: dict[str, str]
    waveforms: Path


def store_set(source: Path, folder: Path, progress: Callable[[int, int], None]) -> StoredSet:
    """Read every recording of an official layout and store it in `folder`; what is there already is not read again.

    Parameters
    ----------
    source : the folder as published
    folder : where to store; one folder a set
    progress : called with recordings done and in all; may raise to stop, and the next call goes on

    Raises
    ------
    FormatError
        If `source` holds no recordings of a known layout, or `folder` belongs to another source.
    """
    layout = datasets.recognise(source)
    entries = list(datasets.iterate(source))
    folder.mkdir(parents=True, exist_ok=True)
    _claim(folder, source)
    known, unread = _lines(folder / _LINES), {one["name"]: one["reason"] for one in _lines(folder / _UNREAD)}
    done = {one["name"] for one in known} | set(unread)
    with (folder / _LINES).open("a", encoding="utf-8") as lines, (folder / _UNREAD).open("a", encoding="utf-8") as bad:
        for index, entry in enumerate(entries):
            progress(index, len(entries))
            if entry.name in done:
                continue
            try:
                line = asdict(_store(entry.load(), folder / _WAVEFORMS))
            except EcgfmError as error:
                unread[entry.name] = str(error)
                bad.write(json.dumps({"name": entry.name, "reason": str(error)}, ensure_ascii=False) + "\n")
                continue
            # The set's own list may name an entry otherwise than its file does.
            known.append({**line, "name": entry.name})
            lines.write(json.dumps(known[-1], ensure_ascii=False) + "\n")
            if index % _FLUSH_EVERY == 0:
                lines.flush()
    place = {entry.name: index for index, entry in enumerate(entries)}
    recordings = sorted((_stored(one) for one in known if one["name"] in place), key=lambda one: place[one.name])
    progress(len(entries), len(entries))
    return StoredSet(source, layout.key if layout else "", tuple(recordings), unread, folder / _WAVEFORMS)


def _claim(folder: Path, source: Path) -> None:
    path, asked = folder / "source.txt", str(source.resolve())
    if path.exists() and (known := path.read_text(encoding="utf-8").strip()) != asked:
        raise FormatError(f"{folder} stores {known}, not {asked}; name a new folder")
    path.write_text(asked + "\n", encoding="utf-8")


def _lines(path: Path) -> list[dict]:
    """Read the lines of an earlier call; one that was cut short goes."""
    if not path.exists():
        return []
    text = path.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        path.write_text(whole, encoding="utf-8")
    return [json.loads(line) for line in whole.splitlines()]


def _store(recording: Recording, waveforms: Path) -> Stored:
    packed = waveform.pack(recording)
    waveform.store(packed, waveforms)
    patient = sha256(f"{recording.centre}\0{recording.patient_key}".encode()).hexdigest()[:16]
    outline = describe(recording.lead_names, recording.waveform_mv, recording.sampling_rate_hz)
    return Stored(
        recording.name, packed.sha256, packed.lead_names, packed.sampling_rate_hz, packed.samples.shape[1],
        packed.scale_mv, packed.calibrated, patient if recording.patient_key else "", recording.fold, recording.centre,
        recording.sex, recording.age_years, tuple((one.system, one.code) for one in recording.source_codes),
        recording.report_text, base64.b64encode(outline.tobytes()).decode(),
    )  # fmt: skip


def _stored(values: dict) -> Stored:
    plain = {one.name: values[one.name] for one in fields(Stored)}
    codes = tuple((system, code) for system, code in values["codes"])
    return Stored(**{**plain, "lead_names": tuple(values["lead_names"]), "codes": codes})
