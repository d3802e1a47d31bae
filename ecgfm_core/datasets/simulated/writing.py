"""A folder of simulated WFDB records with headers in the form of CinC 2020, and `truth.json` beside them."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ecgfm_core.active import errors
from ecgfm_core.datasets.simulated import conditions
from ecgfm_core.datasets.simulated.conditions import NAMES, NORMAL
from ecgfm_core.datasets.simulated.heart import Patient, draw_patient
from ecgfm_core.datasets.simulated.reports import write_report
from ecgfm_core.datasets.simulated.synthesis import Simulated, simulate
from ecgfm_core.errors import ConfigError

GAIN_PER_MV = 1000
COUNT_MAX = 1_000_000
OWN_FILES = ("RECORDS", "truth.json")
# What a hurried reader takes one condition for: the column of each row with its weight.
CONFUSIONS: dict[str, dict[str, float]] = {
    NORMAL: {"sinus_bradycardia": 1, "t_inversion": 1, "first_degree_block": 1, "lvh": 1, "st_depression": 1, "pac": 1},
    "sinus_bradycardia": {NORMAL: 4},
    "sinus_tachycardia": {NORMAL: 3, "atrial_flutter": 1},
    "atrial_fibrillation": {NORMAL: 3, "pac": 2, "atrial_flutter": 3},
    "atrial_flutter": {"sinus_tachycardia": 3, "atrial_fibrillation": 4, NORMAL: 1},
    "pac": {NORMAL: 4, "pvc": 2, "atrial_fibrillation": 2},
    "pvc": {NORMAL: 3, "pac": 3},
    "first_degree_block": {NORMAL: 5},
    "lbbb": {"lvh": 2, "anterior_infarction": 2, "pvc": 1, NORMAL: 1},
    "rbbb": {NORMAL: 3, "t_inversion": 1},
    "lvh": {NORMAL: 4, "st_depression": 2},
    "anterior_infarction": {NORMAL: 2, "t_inversion": 3},
    "inferior_infarction": {NORMAL: 4, "t_inversion": 1},
    "st_depression": {NORMAL: 3, "t_inversion": 3},
    "t_inversion": {NORMAL: 3, "st_depression": 3},
    "long_qt": {NORMAL: 5},
    "low_voltage": {NORMAL: 5},
}


def write_dataset(
    folder: Path | str,
    count: int,
    seed: int,
    sampling_rate_hz: float = 500.0,
    *,
    label_error_rate: float = 0.0,
    label_error_kind: str = "uniform",
    normal_share: float = 0.4,
    duration_s: float = 10.0,
    recordings_per_patient: float = 1.3,
    centres: Sequence[str] = ("North", "Harbour", "Hill"),
    progress: Callable[[int, int], None] | None = None,
) -> list[dict[str, Any]]:
    """Write `count` records ``sim00000.hea/.dat`` (format 16, 1 uV a unit), RECORDS and truth.json; return the truth.

    Header comments give #Age, #Sex, #Dx (the given codes, wrong ones included), #Report, #Patient and #Centre;
    truth.json gives both the true and the given codes of every record, its conditions, patient, centre, loose
    electrodes and wave boundaries in samples. The same arguments write the same bytes.

    Raises
    ------
    ConfigError
        If a count, rate, share or kind is out of bounds, or the folder holds other files.
    """
    folder = Path(folder)
    _check_arguments(folder, count, normal_share, recordings_per_patient, centres)
    people = _people(count, recordings_per_patient, centres, seed)
    written = []
    for index, simulated in enumerate(_recordings(people, seed, normal_share, sampling_rate_hz, duration_s)):
        written.append(_write_samples(folder, simulated))
        if progress:
            progress(index + 1, count)
    given = _given(written, label_error_rate, label_error_kind, seed)
    for index, (one, names) in enumerate(zip(written, given, strict=True)):
        _write_header(folder, one, names, label_error_kind, np.random.default_rng([seed, 2, index]))
    truth = [one.truth for one in written]
    (folder / "RECORDS").write_text("".join(f"{entry['name']}\n" for entry in truth), encoding="utf-8")
    content = {"seed": seed, "label_error_rate": label_error_rate, "label_error_kind": label_error_kind}
    (folder / "truth.json").write_text(json.dumps(content | {"recordings": truth}, indent=1), encoding="utf-8")
    return truth


@dataclass
class _Written:
    """A record whose samples lie on disk: the rest of its header, its truth, and features for a weak model."""

    simulated: Simulated
    header_lines: list[str]
    features: np.ndarray
    truth: dict[str, Any]


def _check_arguments(
    folder: Path, count: int, normal_share: float, recordings_per_patient: float, centres: Sequence[str]
) -> None:
    if not 1 <= count <= COUNT_MAX:
        raise ConfigError(f"{count:,} simulated recordings; 1 to {COUNT_MAX:,} are allowed")
    if not 0 <= normal_share <= 1:
        raise ConfigError(f"share of normal recordings {normal_share:g}; 0 to 1 are allowed")
    if not 1 <= recordings_per_patient <= 10:
        raise ConfigError(f"{recordings_per_patient:g} recordings a patient; 1 to 10 are allowed")
    if not centres:
        raise ConfigError("no centre is named; name at least one")
    folder.mkdir(parents=True, exist_ok=True)
    foreign = [path.name for path in folder.iterdir() if not path.name.startswith("sim") and path.name not in OWN_FILES]
    if foreign:
        raise ConfigError(f"{folder} holds other files ({foreign[0]}); name an empty folder for simulated recordings")


def _people(count: int, per_patient: float, centres: Sequence[str], seed: int) -> list[tuple[Patient, str]]:
    """Patient and centre of each record: everybody has one recording, some have more."""
    rng = np.random.default_rng([seed, 0])
    patient_count = max(1, round(count / per_patient))
    persons = [
        (draw_patient(rng, key=f"P{seed}-{number:05d}"), str(rng.choice(list(centres))))
        for number in range(patient_count)
    ]
    again = rng.integers(0, patient_count, max(0, count - patient_count)).tolist()
    return [persons[number] for number in [*range(min(count, patient_count)), *again]]


def _recordings(
    people: list[tuple[Patient, str]], seed: int, normal_share: float, sampling_rate_hz: float, duration_s: float
) -> Iterator[Simulated]:
    """One recording after the other; a patient's later ones mostly show the same as the one before."""
    rng, before = np.random.default_rng([seed, 1]), dict[str, tuple[str, ...]]()
    for index, (person, centre) in enumerate(people):
        names = before.get(person.key)
        if names is None or rng.random() < 0.4:
            names = conditions.draw(rng, normal_share)
        before[person.key] = names
        yield simulate(
            names,
            seed=seed * 1_000_003 + index,
            sampling_rate_hz=sampling_rate_hz,
            duration_s=duration_s,
            patient=person,
            name=f"sim{index:05d}",
            centre=centre,
        )


def _write_samples(folder: Path, simulated: Simulated) -> _Written:
    """Write the .dat file, interleaved little-endian int16, and keep what its header will say."""
    recording = simulated.recording
    limit = 32767
    samples_lt = np.clip(np.rint(recording.waveform_mv * GAIN_PER_MV), -limit, limit).astype("<i2")
    (folder / f"{recording.name}.dat").write_bytes(samples_lt.T.tobytes())
    checksums = samples_lt.astype(np.int64).sum(axis=1).astype(np.int16)
    lines = [
        f"{recording.name}.dat 16 {GAIN_PER_MV}/mV 16 0 {row[0]} {checksum} 0 {lead}"
        for row, checksum, lead in zip(samples_lt, checksums, recording.lead_names, strict=True)
    ]
    truth = {
        "name": recording.name,
        "patient": recording.patient_key,
        "centre": recording.centre,
        "conditions": list(simulated.conditions),
        "codes": list(simulated.codes),
        "rate_bpm": round(simulated.rate_bpm, 1),
        "intervals_ms": simulated.intervals_ms,
        "loose_electrodes": list(simulated.loose),
        "beats": [beat.samples(recording.sampling_rate_hz) for beat in simulated.beats],
    }
    features = _features(recording.waveform_mv, simulated)
    bare = replace(simulated, recording=replace(recording, waveform_mv=recording.waveform_mv[:, :1].copy()))
    return _Written(
        bare, [f"{recording.name} 12 {recording.sampling_rate_hz:g} {samples_lt.shape[1]}", *lines], features, truth
    )


def _features(waveform_mv: np.ndarray, simulated: Simulated) -> np.ndarray:
    """Coarse figures, what a weak model would look at: voltages, slopes and skewness a lead, rate and its scatter."""
    centred = waveform_mv - np.median(waveform_mv, axis=1, keepdims=True)
    onsets = np.array([beat.qrs_on_s for beat in simulated.beats])
    intervals = np.diff(onsets) if onsets.size > 2 else np.array([1.0])
    return np.concatenate(
        [
            centred.max(axis=1),
            centred.min(axis=1),
            centred.std(axis=1),
            np.abs(np.diff(centred, axis=1)).mean(axis=1),
            [intervals.mean(), intervals.std()] * 6,
        ]
    )


def _given(written: list[_Written], rate: float, kind: str, seed: int) -> list[tuple[str, ...]]:
    """The conditions that each header will state, `rate` of them wrong."""
    classes = np.array([NAMES.index(conditions.primary(one.simulated.conditions)) for one in written])
    confusion = np.array([[CONFUSIONS[true].get(other, 0.0) for other in NAMES] for true in NAMES])
    weak = None
    if kind == "instance_dependent":
        weak = errors.weak_probabilities(np.array([one.features for one in written]), classes, len(NAMES))
    given = errors.inject(
        classes,
        len(NAMES),
        rate=rate,
        kind=kind,
        seed=seed,
        confusion_CC=confusion,
        probability_NC=weak,
        centres_N=[one.simulated.recording.centre for one in written],
    )
    return [
        one.simulated.conditions if now == true else conditions.relabel(one.simulated.conditions, NAMES[now])
        for one, true, now in zip(written, classes.tolist(), given.tolist(), strict=True)
    ]


def _write_header(folder: Path, one: _Written, names: tuple[str, ...], kind: str, rng: np.random.Generator) -> None:
    simulated, recording, codes = one.simulated, one.simulated.recording, conditions.codes_of(names)
    wrong = codes != simulated.codes
    intervals = (
        simulated.intervals_ms
        if names[0] in conditions.SINUS
        else {words: value for words, value in simulated.intervals_ms.items() if words != "PR"}
    )
    report = write_report(names, simulated.rate_bpm, intervals, rng) if wrong else recording.report_text
    one.truth |= {
        "given_conditions": list(names),
        "given_codes": list(codes),
        "wrong": wrong,
        "label_error_kind": kind if wrong else None,
        "report": report,
    }
    comments = {
        "Age": f"{recording.age_years:.0f}",
        "Sex": {"F": "Female", "M": "Male"}[recording.sex],
        "Dx": ",".join(codes),
        "Report": report,
        "Patient": recording.patient_key,
        "Centre": recording.centre,
    }
    lines = [*one.header_lines, *(f"#{key}: {value}" for key, value in comments.items())]
    (folder / f"{recording.name}.hea").write_text("\n".join(lines) + "\n", encoding="utf-8")
