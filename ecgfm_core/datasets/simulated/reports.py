"""The report of a simulated recording: a few English sentences as a cardiologist would dictate them."""

from collections.abc import Mapping, Sequence

import numpy as np

from ecgfm_core.datasets.simulated.conditions import CONDITIONS, NORMAL


def write_report(
    names: Sequence[str], rate_bpm: float, intervals_ms: Mapping[str, int], rng: np.random.Generator
) -> str:
    """Rhythm with its rate, one sentence a finding, the intervals, and the conclusion."""
    phrases = [str(rng.choice(CONDITIONS[name].phrases)) for name in names]
    rate = str(rng.choice([f"{rate_bpm:.0f} beats per minute", f"rate {rate_bpm:.0f}/min"]))
    sentences = [f"{phrases[0]}, {rate}", *phrases[1:]]
    if intervals_ms and rng.random() < 0.7:
        sentences.append(", ".join(f"{words} {value} ms" for words, value in intervals_ms.items()))
    if tuple(names) == (NORMAL,):
        sentences.append(str(rng.choice(["Normal ECG", "No abnormality", "Within normal limits"])))
    elif rng.random() < 0.5:
        sentences.append("Abnormal ECG")
    return ". ".join(sentences) + "."
