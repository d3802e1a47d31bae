"""When the ventricles beat: beat times of each rhythm, with what precedes each beat."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

LEAD_IN_S = 2.5
RATE_RANGES_BPM = {
    "sinus_rhythm": (61.0, 95.0),
    "sinus_bradycardia": (40.0, 56.0),
    "sinus_tachycardia": (104.0, 140.0),
    "atrial_fibrillation": (65.0, 135.0),
    "atrial_flutter": (65.0, 160.0),
}


@dataclass(frozen=True)
class PlannedBeat:
    """One ventricular beat: QRS onset, the interval before it, its kind (normal, pac, pvc) and whether a P leads it."""

    qrs_on_s: float
    rr_s: float
    kind: str
    has_p: bool


@dataclass(frozen=True)
class Atria:
    """What the atria do without P waves: fibrillate, flutter, or nothing (an empty kind)."""

    kind: str = ""
    frequency_hz: float = 0.0
    phase: float = 0.0


def plan(
    rhythm: str,
    findings: Sequence[str],
    *,
    duration_s: float,
    rate_bpm: float,
    variability: float,
    breath_hz: float,
    rng: np.random.Generator,
) -> tuple[list[PlannedBeat], Atria]:
    """Beats from `LEAD_IN_S` before the recording to past its end, and the activity of the atria."""
    end_s = duration_s + 1.5
    if rhythm == "atrial_fibrillation":
        return _fibrillation(end_s, rate_bpm, rng), Atria("fibrillation", rng.uniform(5.5, 8.0), rng.uniform(0, 2))
    if rhythm == "atrial_flutter":
        return _flutter(end_s, rate_bpm, rng)
    beats = _sinus(end_s, 60.0 / rate_bpm, variability, breath_hz, rng)
    for kind in ("pac", "pvc"):
        if kind in findings:
            beats = _with_premature(beats, kind, duration_s, rng)
    return beats, Atria()


def _sinus(
    end_s: float, mean_rr_s: float, variability: float, breath_hz: float, rng: np.random.Generator
) -> list[PlannedBeat]:
    time_s, rr_s, beats = -LEAD_IN_S - rng.uniform(0, mean_rr_s), mean_rr_s, []
    phase, slow_phase = rng.uniform(0, 2 * np.pi, 2).tolist()
    slow_hz = rng.uniform(0.07, 0.12)
    while time_s < end_s:
        beats.append(PlannedBeat(time_s, rr_s, "normal", True))
        wave = np.sin(2 * np.pi * breath_hz * time_s + phase) + 0.6 * np.sin(2 * np.pi * slow_hz * time_s + slow_phase)
        rr_s = mean_rr_s * (1 + variability * (wave + 0.3 * float(np.clip(rng.normal(), -2, 2))))
        time_s += rr_s
    return beats


def _fibrillation(end_s: float, rate_bpm: float, rng: np.random.Generator) -> list[PlannedBeat]:
    mean_rr_s, time_s, beats = 60.0 / rate_bpm, -LEAD_IN_S, []
    spread = rng.uniform(0.17, 0.26)
    while time_s < end_s:
        rr_s = max(0.32, mean_rr_s * float(np.exp(rng.normal(0.0, spread) - spread**2 / 2)))
        time_s += rr_s
        beats.append(PlannedBeat(time_s, rr_s, "normal", False))
    return beats


def _flutter(end_s: float, rate_bpm: float, rng: np.random.Generator) -> tuple[list[PlannedBeat], Atria]:
    """Conduct every second, third or fourth wave, steadily in most patients and changing in some."""
    wave_hz = rng.uniform(4.4, 5.3)
    ratio = int(np.clip(round(wave_hz * 60.0 / rate_bpm), 2, 4))
    changing = rng.random() < 0.35
    delay_s, wave = rng.uniform(0.12, 0.2), -int(LEAD_IN_S * wave_hz)
    beats: list[PlannedBeat] = []
    while wave / wave_hz < end_s:
        step = int(rng.choice([2, 3, 4], p=[0.35, 0.2, 0.45])) if changing else ratio
        wave += step
        beats.append(PlannedBeat(wave / wave_hz + delay_s, step / wave_hz, "normal", False))
    return beats, Atria("flutter", wave_hz, 0.0)


def _with_premature(
    beats: list[PlannedBeat], kind: str, duration_s: float, rng: np.random.Generator
) -> list[PlannedBeat]:
    """Bring some beats forward: a PVC leaves the sinus clock alone (full pause), a PAC sets it back."""
    inside = [
        i for i in range(1, len(beats) - 1) if beats[i].kind == "normal" and 0.4 < beats[i].qrs_on_s < duration_s - 0.8
    ]
    wanted = max(1, min(round(len(inside) * rng.uniform(0.1, 0.3)), 5))
    chosen: list[int] = []
    for index in rng.permutation(inside).tolist():
        if (
            all(abs(index - other) > 1 for other in chosen)
            and beats[index - 1].kind == beats[index + 1].kind == "normal"
        ):
            chosen.append(index)
        if len(chosen) == wanted:
            break
    result: list[PlannedBeat] = []
    shift_s = 0.0
    for index, beat in enumerate(beats):
        time_s, rr_s = beat.qrs_on_s + shift_s, beat.rr_s
        if index - 1 in chosen:
            rr_s = time_s - result[-1].qrs_on_s
        if index in chosen:
            early_s = rr_s * (1 - (rng.uniform(0.5, 0.66) if kind == "pvc" else rng.uniform(0.55, 0.72)))
            result.append(PlannedBeat(time_s - early_s, rr_s - early_s, kind, kind == "pac"))
            shift_s -= 0.75 * early_s if kind == "pac" else 0.0
        else:
            result.append(PlannedBeat(time_s, rr_s, beat.kind, beat.has_p))
    return result
