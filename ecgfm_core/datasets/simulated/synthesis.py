"""From conditions to a recording: beats, heart vector, leads, artefacts, and all that is known of them."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from ecgfm_core.datasets.simulated import artefacts, conditions, heart, rhythms
from ecgfm_core.datasets.simulated.artefacts import Artefacts
from ecgfm_core.datasets.simulated.heart import Morphology, Patient
from ecgfm_core.datasets.simulated.reports import write_report
from ecgfm_core.errors import ConfigError
from ecgfm_core.recording import Recording, SourceCode

LEAD_NAMES = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
SAMPLING_RATE_HZ_RANGE = (50.0, 5000.0)
DURATION_S_RANGE = (2.0, 3600.0)
_F_DIRECTION = np.array([-0.025, 0.050, -0.075])
_FLUTTER_DIRECTION = np.array([-0.01, 0.115, 0.075])


@dataclass(frozen=True)
class Beat:
    """Wave boundaries of one beat in seconds from the first sample; P is None where no P leads the beat."""

    kind: str
    p_on_s: float | None
    p_off_s: float | None
    qrs_on_s: float
    qrs_off_s: float
    t_on_s: float
    t_off_s: float

    def samples(self, sampling_rate_hz: float) -> dict[str, str | int | None]:
        """The boundaries as sample numbers at `sampling_rate_hz`."""
        marks = asdict(self)
        kind = str(marks.pop("kind"))
        return {"kind": kind} | {
            name.removesuffix("_s"): None if value is None else round(value * sampling_rate_hz)
            for name, value in marks.items()
        }


@dataclass(frozen=True)
class Simulated:
    """A simulated recording and the truth about it: conditions, codes, beats, patient and loose electrodes."""

    recording: Recording
    conditions: tuple[str, ...]
    codes: tuple[str, ...]
    beats: tuple[Beat, ...]
    patient: Patient
    rate_bpm: float
    intervals_ms: dict[str, int]
    loose: tuple[str, ...]


def simulate(
    names: Sequence[str] | str = conditions.NORMAL,
    *,
    seed: int,
    sampling_rate_hz: float = 500.0,
    duration_s: float = 10.0,
    patient: Patient | None = None,
    strengths: Artefacts | None = None,
    rate_bpm: float | None = None,
    name: str = "simulated",
    centre: str = "",
) -> Simulated:
    """Simulate one 12-lead recording that shows the named conditions.

    The same seed gives the same heart at any sampling rate; only the artefacts' noise depends on the rate.

    Parameters
    ----------
    names : one rhythm (sinus rhythm if none is named) and any findings, see `conditions.CONDITIONS`
    seed : decides the patient (unless given), the beats and the artefacts
    patient : the person recorded; drawn from the seed if None
    strengths : artefacts; drawn as they occur on a ward if None, `artefacts.CLEAN` for none
    rate_bpm : mean ventricular rate; within the rhythm's range if None

    Raises
    ------
    ConfigError
        If a condition is unknown, two exclude each other, or rate or duration are out of bounds.
    """
    shown = conditions.check([names] if isinstance(names, str) else names)
    _check_bounds(sampling_rate_hz, duration_s)
    of_patient, of_heart, of_noise, of_words = (np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(4))
    person = patient or heart.draw_patient(of_patient, key=f"P{seed}")
    rate = rate_bpm or _draw_rate(shown, person, of_heart)
    time_s = np.arange(round(duration_s * sampling_rate_hz)) / sampling_rate_hz
    leads, beats = _leads(time_s, duration_s, rate, shown, person, of_heart)
    strengths = strengths if strengths is not None else artefacts.draw(of_noise)
    leads += artefacts.electrode_noise(time_s, sampling_rate_hz, strengths, of_noise)
    artefacts.detach(leads, strengths.loose, of_noise)
    rate = _mean_rate(beats, rate)
    codes, intervals = conditions.codes_of(shown), _intervals(beats, rate)
    recording = Recording(
        name=name,
        lead_names=LEAD_NAMES,
        waveform_mv=_twelve_leads(leads).astype(np.float32),
        sampling_rate_hz=float(sampling_rate_hz),
        age_years=float(person.age_years),
        sex=person.sex,
        centre=centre,
        patient_key=person.key,
        report_text=write_report(shown, rate, intervals, of_words),
        source_codes=tuple(SourceCode("snomed", code) for code in codes),
    )
    return Simulated(recording, shown, codes, beats, person, rate, intervals, strengths.loose)


def _leads(
    time_s: np.ndarray,
    duration_s: float,
    rate_bpm: float,
    shown: tuple[str, ...],
    person: Patient,
    rng: np.random.Generator,
) -> tuple[np.ndarray, tuple[Beat, ...]]:
    """Leads I, II, V1..V6 without artefacts, ``[8, sample]``, and the beats that reach into the recording."""
    planned, atria = rhythms.plan(
        shown[0],
        shown[1:],
        duration_s=duration_s,
        rate_bpm=rate_bpm,
        variability=person.variability,
        breath_hz=person.breath_hz,
        rng=rng,
    )
    vector, beats = _heart_vector(time_s, planned, shown, person, rng)
    leads = person.lead_matrix @ (vector + _atrial_activity(time_s, atria, rng))
    if "low_voltage" in shown:
        leads *= _low_voltage_factor(leads, rng)
    return leads, tuple(beat for beat in beats if beat.t_off_s > 0 and (beat.p_on_s or beat.qrs_on_s) < duration_s)


def _check_bounds(sampling_rate_hz: float, duration_s: float) -> None:
    for value, (low, high), words in (
        (sampling_rate_hz, SAMPLING_RATE_HZ_RANGE, "Hz of sampling rate"),
        (duration_s, DURATION_S_RANGE, "s of duration"),
    ):
        if not low <= value <= high:
            raise ConfigError(f"{value:g} {words} can't be simulated; {low:g} to {high:g} are allowed")


def _draw_rate(shown: tuple[str, ...], person: Patient, rng: np.random.Generator) -> float:
    low, high = rhythms.RATE_RANGES_BPM[shown[0]]
    if shown[0] == conditions.NORMAL:
        return float(np.clip(person.rate_bpm + rng.normal(0, 4), low, high))
    return float(rng.uniform(low, min(high, 118.0) if "first_degree_block" in shown else high))


def _heart_vector(
    time_s: np.ndarray,
    planned: list[rhythms.PlannedBeat],
    shown: tuple[str, ...],
    person: Patient,
    rng: np.random.Generator,
) -> tuple[np.ndarray, list[Beat]]:
    """The dipole ``[3, sample]`` of all beats and their boundaries."""
    conducted, ectopic = heart.morphology(person, shown[1:], rng), heart.pvc_morphology(person, rng)
    ectopic_p = heart.rotation(0, 0, rng.uniform(35, 90))
    mean_rr_s = float(np.mean([beat.rr_s for beat in planned]))
    vector, beats, breath = np.zeros((3, time_s.size)), [], rng.uniform(0, 2 * np.pi)
    for index, beat in enumerate(planned):
        shape = ectopic if beat.kind == "pvc" else conducted
        next_s = planned[index + 1].qrs_on_s if index + 1 < len(planned) else beat.qrs_on_s + 2.0
        marks = _boundaries(beat, shape, mean_rr_s, next_s)
        beats.append(marks)
        first = int(np.searchsorted(time_s, marks.p_on_s if marks.p_on_s is not None else marks.qrs_on_s))
        last = int(np.searchsorted(time_s, marks.t_off_s + 0.25))
        if first == last:
            continue
        swing = np.sin(2 * np.pi * person.breath_hz * beat.qrs_on_s + breath)
        axis = heart.rotation(0, 1.5 * swing, 3.5 * swing) @ person.axis * (1 + 0.03 * swing)
        window = time_s[first:last]
        vector[:, first:last] += axis @ _beat_vector(window, marks, shape, person)
        if marks.p_on_s is not None and marks.p_off_s is not None:
            turn = ectopic_p if beat.kind == "pac" else np.eye(3)
            vector[:, first:last] += axis @ turn @ _p_wave(window, marks.p_on_s, marks.p_off_s, person.p_gain)
    return vector, beats


def _boundaries(beat: rhythms.PlannedBeat, shape: Morphology, mean_rr_s: float, next_s: float) -> Beat:
    """QT follows the rate (Bazett), mostly the mean one; T ends before the next QRS begins."""
    on_s, qrs_off_s = beat.qrs_on_s, beat.qrs_on_s + shape.qrs_s
    rr_s = 0.8 * mean_rr_s + 0.2 * beat.rr_s
    qt_s = min(shape.qtc_s * np.sqrt(rr_s), next_s - on_s - 0.03)
    pr_s = shape.pr_s * min(1.0, (rr_s / 0.8) ** 0.25) if shape.pr_s < 0.2 else shape.pr_s
    p_on_s = on_s - pr_s if beat.has_p else None
    p_off_s = on_s - pr_s + min(0.105, pr_s - 0.025) if beat.has_p else None
    t_on_s = qrs_off_s + shape.st_share * (qt_s - shape.qrs_s)
    return Beat(beat.kind, p_on_s, p_off_s, on_s, qrs_off_s, float(t_on_s), float(on_s + qt_s))


def _beat_vector(time_s: np.ndarray, marks: Beat, shape: Morphology, person: Patient) -> np.ndarray:
    qrs = heart.qrs(time_s, marks.qrs_on_s, shape) * person.gain * shape.scale
    peak_s = marks.t_on_s + 0.58 * (marks.t_off_s - marks.t_on_s)
    st = shape.st_vector[:, None] * heart.st_shape(time_s, marks.qrs_off_s, peak_s, marks.t_off_s)
    t_vector = person.t_axis @ shape.t_vector * person.t_gain
    t_wave = t_vector[:, None] * heart.bump(time_s, marks.t_on_s, marks.t_off_s, 0.58)
    u_wave = np.zeros((3, time_s.size))
    if person.u_mv and marks.kind == "normal":
        u_on_s = marks.t_off_s + 0.02
        u_wave = (
            (t_vector / np.linalg.norm(t_vector))[:, None] * heart.bump(time_s, u_on_s, u_on_s + 0.18) * person.u_mv
        )
    return np.asarray(qrs + st + t_wave + u_wave)


def _p_wave(time_s: np.ndarray, on_s: float, off_s: float, gain: float) -> np.ndarray:
    """The right atrium first, the left a third of the wave later."""
    length_s = off_s - on_s
    right = heart.bump(time_s, on_s, on_s + 0.72 * length_s)
    left = heart.bump(time_s, on_s + 0.30 * length_s, off_s)
    return gain * (np.outer(heart.P_RIGHT, right) + np.outer(heart.P_LEFT, left))


def _atrial_activity(time_s: np.ndarray, atria: rhythms.Atria, rng: np.random.Generator) -> np.ndarray:
    if atria.kind == "fibrillation":
        strength, turn = rng.uniform(0.55, 1.3), heart.rotation(*rng.normal(0, 12, 3))
        total = np.zeros_like(time_s)
        for part, share in ((1.0, 0.62), (1.13, 0.45), (0.86, 0.40), (2.05, 0.22)):
            wobble = rng.uniform(0.8, 2.2) * np.sin(2 * np.pi * rng.uniform(0.3, 0.9) * time_s + rng.uniform(0, 6))
            fading = 1 + 0.5 * np.sin(2 * np.pi * rng.uniform(0.15, 0.5) * time_s + rng.uniform(0, 6))
            total += (
                share * fading * np.sin(2 * np.pi * part * atria.frequency_hz * time_s + wobble + rng.uniform(0, 6))
            )
        return np.outer(turn @ _F_DIRECTION * strength, total)
    if atria.kind == "flutter":
        angle = 2 * np.pi * atria.frequency_hz * time_s
        saw = sum(np.sin(k * angle) / k * 0.86**k for k in range(1, 7))
        return np.outer(heart.rotation(*rng.normal(0, 6, 3)) @ _FLUTTER_DIRECTION * rng.uniform(0.8, 1.25), saw)
    return np.zeros((3, time_s.size))


def _low_voltage_factor(leads_8t: np.ndarray, rng: np.random.Generator) -> float:
    """Shrink until every limb lead stays under 0.5 mV and every chest lead under 1 mV, peak to peak."""
    limb = np.ptp(_twelve_leads(leads_8t)[:6], axis=1).max()
    chest = np.ptp(leads_8t[2:], axis=1).max()
    return float(rng.uniform(0.72, 0.95) * min(0.5 / limb, 1.0 / chest))


def _twelve_leads(leads_8t: np.ndarray) -> np.ndarray:
    """Einthoven and Goldberger: III = II - I, aVR = -(I + II) / 2, aVL = I - II / 2, aVF = II - I / 2."""
    one, two = leads_8t[0], leads_8t[1]
    limb = np.stack([one, two, two - one, -(one + two) / 2, one - two / 2, two - one / 2])
    return np.concatenate([limb, leads_8t[2:]])


def _mean_rate(beats: tuple[Beat, ...], otherwise_bpm: float) -> float:
    if len(beats) < 2:
        return otherwise_bpm
    return float(60.0 * (len(beats) - 1) / (beats[-1].qrs_on_s - beats[0].qrs_on_s))


def _intervals(beats: tuple[Beat, ...], rate_bpm: float) -> dict[str, int]:
    """Median PR, QRS and QT of the normal beats in ms, with QTc after Bazett; PR only where P waves lead."""
    normal = [beat for beat in beats if beat.kind == "normal"] or list(beats)
    if not normal:
        return {}
    found = {
        "QRS": float(np.median([beat.qrs_off_s - beat.qrs_on_s for beat in normal])),
        "QT": float(np.median([beat.t_off_s - beat.qrs_on_s for beat in normal])),
    }
    leading = [beat.qrs_on_s - beat.p_on_s for beat in normal if beat.p_on_s is not None]
    if leading:
        found = {"PR": float(np.median(leading))} | found
    found["QTc"] = found["QT"] / np.sqrt(60.0 / rate_bpm)
    return {words: round(1000 * value) for words, value in found.items()}
