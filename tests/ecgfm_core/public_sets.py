"""Small public sets in their official forms, made of beats whose classes a tiny network can tell apart."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.io import savemat

from ecgfm_core.leads import STANDARD_LEADS
from tests.ecgfm_core.tiny_data import beats
from tests.ecgfm_core.wfdb_files import write_record

STATEMENT_ROWS = (
    ("NORM", "normal ECG", "1.0", "", "", "NORM", "NORM"),
    ("INVT", "inverted T-waves", "", "1.0", "", "", ""),
    ("NDT", "non-diagnostic T abnormalities", "1.0", "1.0", "", "STTC", "STTC"),
    ("ISC_", "non-specific ischemic", "1.0", "", "", "STTC", "ISC_"),
    ("SR", "sinus rhythm", "", "", "1.0", "", ""),
)  # fmt: skip
HEFEI_LEADS = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")


def recording_mv(index: int, seconds: float = 4.0, rate_hz: float = 100.0) -> np.ndarray:
    """Give recording `index`, its T waves inverted where it is odd."""
    random = np.random.default_rng([index, 8])
    # A heart rate and an arrhythmia of its own, or two short recordings could pass for near-duplicates.
    time_s = np.arange(round(seconds * rate_hz)) / rate_hz
    swing = 0.3 * np.sin(2 * np.pi * time_s / random.uniform(1.5, 4) + random.uniform(0, 6))
    places = np.cumsum(random.uniform(0.75, 1.15) * (1 + swing))
    long_LT = beats(bool(index % 2), random, seconds * 1.6, rate_hz)
    gains_L1 = random.uniform(0.2, 1.8, (12, 1))
    leads_LT = np.stack([np.interp(places, np.arange(long_LT.shape[1]), lead_T) for lead_T in long_LT])
    return (gains_L1 * leads_LT).astype(np.float32)


def _steps(waveform_mv: np.ndarray) -> np.ndarray:
    return np.rint(1000 * waveform_mv).astype(np.int16)


def write_ptbxl(folder: Path, count: int = 60, folds: int = 6, waveforms: Sequence[np.ndarray] | None = None) -> Path:
    """Write PTB-XL's form: patient ``i // 2`` has two recordings, both in fold ``1 + patient % folds``."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "scp_statements.csv").open("w", newline="") as file:
        head = ("", "description", "diagnostic", "form", "rhythm", "diagnostic_class", "diagnostic_subclass")
        csv.writer(file).writerows([head, *STATEMENT_ROWS])
    with (folder / "ptbxl_database.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(("ecg_id", "patient_id", "age", "sex", "scp_codes", "strat_fold", "filename_lr", "filename_hr"))
        for index in range(count):
            codes = {"NDT": 50.0, "INVT": 0.0, "SR": 0.0} if index % 2 else {"NORM": 100.0, "SR": 0.0}
            name, patient = f"records100/00000/{index + 1:05d}_lr", index // 2
            found = recording_mv(index) if waveforms is None else waveforms[index]
            write_record(folder / "records100/00000", f"{index + 1:05d}_lr", _steps(found), rate=100)
            table.writerow((index + 1, f"{patient}.0", 30 + index, index % 2, codes, 1 + patient % folds, name, ""))
    return folder


def write_cinc(folder: Path, names: Sequence[str], codes: Sequence[str], seconds: float = 4.0) -> Path:
    """Write CinC's form: a header with ``#Dx``, samples in a MATLAB file after its first 24 bytes."""
    for index, (name, code) in enumerate(zip(names, codes, strict=True)):
        comments = ("Age: 60", "Sex: Male", f"Dx: {code}")
        steps = _steps(recording_mv(index, seconds))
        write_record(folder, name, steps, rate=100, comments=comments, file_name=f"{name}.mat", offset=24)
    return folder


def write_hefei(
    folder: Path, classes: Sequence[Sequence[str]], listed: Sequence[str], twin_of: int | None = None
) -> Path:
    """Write Hefei's form; `twin_of` adds a last recording that is sample for sample an earlier one."""
    folder.mkdir(parents=True, exist_ok=True)
    waveforms = [recording_mv(index, 10.0, 500.0) for index in range(len(classes))]
    if twin_of is not None:
        waveforms[-1] = waveforms[twin_of]
    lines = []
    for index, held in enumerate(classes):
        chosen = waveforms[index][[STANDARD_LEADS.index(name) for name in HEFEI_LEADS]]
        steps = np.rint(chosen.T / 0.00488).astype(int)
        rows = "\n".join(" ".join(map(str, row)) for row in steps)
        (folder / f"{index + 1}.txt").write_text(" ".join(HEFEI_LEADS) + f"\n{rows}\n")
        lines.append("\t".join((f"{index + 1}.txt", "50", "FEMALE", *held)))
    (folder / "hf_round2_train.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "hf_round2_arrythmia.txt").write_text("\n".join(listed) + "\n", encoding="utf-8")
    return folder


def write_native_cpsc(folder: Path, numbers: Sequence[str]) -> Path:
    """Write CPSC 2018's native form: MATLAB structs and ``REFERENCE.csv`` with up to three classes a recording."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["Recording,First_label,Second_label,Third_label"]
    for index, classes in enumerate(numbers):
        found = {"sex": "Male", "age": 60.0, "data": recording_mv(index, 4.0, 500.0).astype(np.float64)}
        savemat(folder / f"A{index:04d}.mat", {"ECG": found})
        lines.append(",".join([f"A{index:04d}", *[*classes.split(","), "", ""][:3]]))
    (folder / "REFERENCE.csv").write_text("\n".join(lines) + "\n")
    return folder
