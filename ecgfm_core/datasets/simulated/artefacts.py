"""What electrodes add: muscle noise, drift, mains, movement, loose leads. All of it arises at the nine electrodes, so
that the limb leads keep Einthoven's law."""

from dataclasses import dataclass

import numpy as np

# Electrodes RA, LA, LL, V1..V6 -> leads I, II, V1..V6 (against Wilson's terminal).
ELECTRODES = ("RA", "LA", "LL", "V1", "V2", "V3", "V4", "V5", "V6")
_TO_LEADS = np.zeros((8, 9))
_TO_LEADS[0, [0, 1]] = (-1, 1)
_TO_LEADS[1, [0, 2]] = (-1, 1)
_TO_LEADS[2:, :3] = -1 / 3
_TO_LEADS[2:, 3:] = np.eye(6)


@dataclass(frozen=True)
class Artefacts:
    """Strengths in mV (0 switches one off); `loose` names electrodes that come off."""

    muscle_mv: float = 0.0
    drift_mv: float = 0.0
    mains_mv: float = 0.0
    mains_hz: float = 50.0
    loose: tuple[str, ...] = ()


CLEAN = Artefacts()


def draw(rng: np.random.Generator) -> Artefacts:
    """Artefacts as they occur on a ward: mostly little, at times much, a loose electrode in one of 40."""
    bad = rng.random() < 0.1
    return Artefacts(
        muscle_mv=float(rng.uniform(0.003, 0.012) * (3.0 if bad else 1.0)),
        drift_mv=float(rng.uniform(0.01, 0.06) * (3.0 if bad else 1.0)),
        mains_mv=float(rng.uniform(0.005, 0.03)) if rng.random() < 0.15 else 0.0,
        mains_hz=float(rng.choice([50.0, 60.0])),
        loose=(str(rng.choice(ELECTRODES)),) if rng.random() < 0.025 else (),
    )


def electrode_noise(
    time_s: np.ndarray, sampling_rate_hz: float, strengths: Artefacts, rng: np.random.Generator
) -> np.ndarray:
    """Artefacts in leads I, II, V1..V6, ``[8, sample]`` mV."""
    electrodes = np.zeros((9, time_s.size))
    for electrode in electrodes:
        for frequency_hz in (rng.uniform(0.04, 0.12), rng.uniform(0.15, 0.35), rng.uniform(0.3, 0.6)):
            strength = strengths.drift_mv * rng.normal() * 0.08 / (0.08 + frequency_hz / 3)
            electrode += strength * np.sin(2 * np.pi * (frequency_hz * time_s + rng.random()))
        mains_mv, mains_phase = strengths.mains_mv * rng.uniform(0.3, 1.0), rng.random()
        if 2.2 * strengths.mains_hz < sampling_rate_hz:  # below that, the recorder's own filter has taken it out
            electrode += mains_mv * np.sin(2 * np.pi * (strengths.mains_hz * time_s + mains_phase))
    electrodes += _muscle(time_s.size, sampling_rate_hz, strengths.muscle_mv, rng)
    for name in strengths.loose:
        row = electrodes[ELECTRODES.index(name)]
        for _ in range(6):
            start_s = rng.uniform(time_s[0], time_s[-1])
            row += rng.normal(0, 0.9) * (time_s > start_s) * np.exp(-(time_s - start_s).clip(0) / rng.uniform(0.3, 1.2))
    leads: np.ndarray = _TO_LEADS @ electrodes
    return leads


def _muscle(sample_count: int, sampling_rate_hz: float, strength_mv: float, rng: np.random.Generator) -> np.ndarray:
    """Noise of 15 to 120 Hz, waxing and waning."""
    spectrum = np.fft.rfft(rng.normal(0, 1, (9, sample_count)))
    frequency_hz = np.fft.rfftfreq(sample_count, 1 / sampling_rate_hz)
    spectrum *= 1 / (1 + (15 / np.maximum(frequency_hz, 0.1)) ** 2) / np.sqrt(1 + (frequency_hz / 120) ** 4)
    noise = np.fft.irfft(spectrum, sample_count)
    waxing = 1 + 0.5 * np.sin(np.linspace(0, rng.uniform(2, 9), sample_count) + rng.uniform(0, 6))
    return strength_mv * noise * waxing


def detach(leads_8t: np.ndarray, loose: tuple[str, ...], rng: np.random.Generator) -> None:
    """Make the chest leads of loose electrodes flat from some moment on, in place."""
    for name in loose:
        if name.startswith("V"):
            start = int(rng.uniform(0, 0.5) * leads_8t.shape[1]) if rng.random() < 0.5 else 0
            leads_8t[1 + int(name[1:]), start:] = 0.0
