"""MIT-BIH beat by beat: AAMI classes, the DS1/DS2 protocol, RR intervals and windows around each beat. No torch.

L lead, T time sample, M beat, F feature.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ecgfm_core import formats
from ecgfm_core.datasets import archive, mitdb
from ecgfm_core.datasets.layout import list_files
from ecgfm_core.errors import FormatError
from ecgfm_core.leads import STANDARD_LEADS, as_standard, derive
from ecgfm_core.recording import Recording
from ecgfm_core.signal.filters import bandpass
from ecgfm_core.signal.resample import resample

# ANSI/AAMI EC57:1998, table of beat classes; paced and unclassifiable beats are Q. A blocked P wave and a flutter wave
# are no beats.
CLASSES = ("N", "S", "V", "F", "Q")
_AAMI = {"N": "NLReBj", "S": "AaJS", "V": "VEr", "F": "F", "Q": "/fQ"}
_CLASS_OF = {symbol: CLASSES.index(name) for name, symbols in _AAMI.items() for symbol in symbols}

# de Chazal, O'Dwyer, Reilly: Automatic classification of heartbeats using ECG morphology and heartbeat interval
# features. IEEE Trans Biomed Eng 51:1196, 2004. No patient of DS1 is in DS2, but for 201 and 202.
DS1 = (
    *("101", "106", "108", "109", "112", "114", "115", "116", "118", "119", "122"),
    *("124", "201", "203", "205", "207", "208", "209", "215", "220", "223", "230"),
)
DS2 = (
    *("100", "103", "105", "111", "113", "117", "121", "123", "200", "202", "210"),
    *("212", "213", "214", "219", "221", "222", "228", "231", "232", "233", "234"),
)
SAME_PATIENT = {"202": "201"}

BEFORE_S, AFTER_S = 0.64, 0.48  # of the window that is cut around a beat: the T wave before it to its own
_BAND_HZ = (0.5, 40.0)

RR_FEATURES = (
    *("before / local", "after / local", "before / record", "after / record", "after / before"),
    *("second before / local", "second after / local", "before / local longest", "local / record"),
    *("local irregularity", "record irregularity", "before"),
)
_LOCAL_BEATS = 10  # to each side
_LOG_MAX = 1.5


@dataclass(frozen=True)
class BeatRecord:
    """One recording with its beats.

    Attributes
    ----------
    name, patient : as in the set; 201 and 202 are one patient
    lead_rows : places of the leads present among the twelve standard ones
    waveform_LT : float32 millivolt of those leads, 0.5 to 40 Hz, at the rate asked for
    sample_M : int64, place of each beat at that rate, rising
    class_M : int64, index into `CLASSES`
    rr_MF : float32 `RR_FEATURES` of each beat
    """

    name: str
    patient: str
    lead_rows: tuple[int, ...]
    waveform_LT: np.ndarray
    sample_M: np.ndarray
    class_M: np.ndarray
    rr_MF: np.ndarray


def open_set(data: Path, scratch: Path) -> Path:
    """Give the folder that holds the set's headers; a zip file is extracted into `scratch` once.

    Raises
    ------
    FormatError
        If a record of the protocol lacks its header, signals or annotations.
    """
    folder = data
    if data.suffix.lower() == ".zip":
        folder = scratch / "set"
        if not folder.exists():
            archive.extract(data, folder)
    found = list_files(folder).find(f"{DS1[0]}.hea")
    home = found.parent if found else folder
    missing = [
        f"{name}{suffix}"
        for name in (*DS1, *DS2)
        for suffix in (".hea", ".dat", ".atr")
        if not (home / f"{name}{suffix}").exists()
    ]
    if missing:
        raise FormatError(
            f"{data}: {len(missing)} files of MIT-BIH are missing, first {missing[0]}; DS1 and DS2 need all 44 "
            "records, fetch the set whole"
        )
    return home


def load_record(home: Path, name: str, sampling_rate_hz: float) -> BeatRecord:
    """Read one recording of the set at another rate, with its beats."""
    marks = mitdb.read_marks(home / f"{name}.atr")
    return make_record(formats.read(home / f"{name}.hea", name), marks, sampling_rate_hz)


def make_record(recording: Recording, marks: mitdb.BeatMarks, sampling_rate_hz: float) -> BeatRecord:
    """Join a recording and its marks; marks that are no AAMI beat are left out.

    Raises
    ------
    FormatError
        If no lead is one that the model knows, fewer than two beats are marked, or one lies outside the recording.
    """
    kept = [index for index, symbol in enumerate(marks.symbols) if symbol in _CLASS_OF]
    sample_M = marks.sample_M[kept]
    names = as_standard(recording.lead_names)
    known = [lead for lead in STANDARD_LEADS if lead in names]
    if not known:
        raise FormatError(f"{recording.name}: leads {', '.join(recording.lead_names)}; one of the twelve is needed")
    if len(kept) < 2 or sample_M[0] < 0 or sample_M[-1] >= recording.waveform_mv.shape[1]:
        raise FormatError(
            f"{recording.name}: {len(kept)} beats on {recording.waveform_mv.shape[1]:,} samples; at least two, all "
            "inside, are needed"
        )
    rate = recording.sampling_rate_hz
    waveform_LT = resample(bandpass(recording.waveform_mv, rate, *_BAND_HZ), rate, sampling_rate_hz)
    return BeatRecord(
        recording.name,
        SAME_PATIENT.get(recording.name, recording.name),
        tuple(STANDARD_LEADS.index(lead) for lead in known),
        np.nan_to_num(derive(names, waveform_LT, known)),
        np.rint(sample_M * (sampling_rate_hz / rate)).astype(np.int64),
        np.array([_CLASS_OF[marks.symbols[index]] for index in kept], dtype=np.int64),
        rr_features(sample_M / rate),
    )


def rr_features(time_s_M: np.ndarray) -> np.ndarray:
    """Describe each beat by the intervals around it, independent of leads.

    Ratios are natural logarithms within +-1.5, 0 where an interval is missing; local is the median of the ten
    intervals to each side (de Chazal 2004 takes their mean), longest their 90th percentile; irregularity is the median
    difference of successive intervals over the median interval; the last is the logarithm of the interval in seconds.

    Parameters
    ----------
    time_s_M : times of the beats, s, rising; two or more

    Returns
    -------
    float32 ``[M, len(RR_FEATURES)]``
    """
    interval = np.maximum(np.diff(time_s_M), 0.1)  # one more beat than intervals
    median = float(np.median(interval))
    before = np.concatenate(([np.nan], interval))
    after = np.concatenate((interval, [np.nan]))
    second_before = np.concatenate(([np.nan], before[:-1]))
    second_after = np.concatenate((after[1:], [np.nan]))
    change = np.abs(np.diff(interval, prepend=interval[0]))
    local, longest, irregular = np.empty((3, len(time_s_M)))
    for beat in range(len(time_s_M)):
        near = slice(max(0, beat - _LOCAL_BEATS), beat + _LOCAL_BEATS)
        local[beat] = np.median(interval[near])
        longest[beat] = np.percentile(interval[near], 90)
        irregular[beat] = np.median(change[near]) / local[beat]
    ratios = [
        before / local, after / local, before / median, after / median, after / before, second_before / local,
        second_after / local, before / longest, local / median,
    ]  # fmt: skip
    logs = [np.nan_to_num(np.log(ratio)).clip(-_LOG_MAX, _LOG_MAX) for ratio in (*ratios, before)]
    record_irregular = np.full(len(time_s_M), np.median(change) / median)
    return np.stack([*logs[:-1], irregular.clip(0, 1), record_irregular.clip(0, 1), logs[-1]], axis=1).astype("f4")


def window_samples(sampling_rate_hz: float, hop_samples: int) -> tuple[int, int]:
    """Say how many samples before and from the beat on are cut, each in whole hops."""
    return tuple(round(part * sampling_rate_hz / hop_samples) * hop_samples for part in (BEFORE_S, AFTER_S))  # type: ignore[return-value]


def cut(record: BeatRecord, beats_M: Sequence[int] | np.ndarray, before: int, after: int) -> np.ndarray:
    """Cut windows of twelve leads around beats: float32 ``[len(beats_M), 12, before + after]``.

    The beat lies on sample `before`. Missing leads, and what lies outside the recording, are 0.
    """
    windows = np.zeros((len(beats_M), len(STANDARD_LEADS), before + after), dtype=np.float32)
    places = record.sample_M[beats_M][:, None] + np.arange(-before, after)
    inside = (places >= 0) & (places < record.waveform_LT.shape[1])
    found = record.waveform_LT[:, places.clip(0, record.waveform_LT.shape[1] - 1)] * inside
    windows[:, record.lead_rows, :] = found.transpose(1, 0, 2)
    return windows


def usual_beat(record: BeatRecord, before: int, after: int) -> np.ndarray:
    """Give the record's own dominant beat ``[12, before + after]``: the median over all its beats, labels unseen."""
    return np.median(cut(record, np.arange(len(record.sample_M)), before, after), axis=0).astype(np.float32)
