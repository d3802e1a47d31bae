"""The quality gate on recordings that people judged (PhysioNet's CinC challenge 2011), beside the rule it replaced.

Run: python benchmarks/quality.py --data FOLDER [--good FOLDER ...] [--repeats 20]

FOLDER holds WFDB records and `labels.csv` (acceptable, unacceptable; others are left out). Printed: balanced accuracy
by stratified ten-fold cross-validation, repeated, (1) of the threshold alone, with the limits that stand in the code,
(2) with limits and threshold both chosen inside the folds, and (3) of the rule before this one, which learns nothing;
each with the interval over recordings (bootstrap, 2,000 draws). Then the confusion matrix of the constants in the code,
which recordings they miss, the constants fitted again, and the milliseconds a recording. `--good` folders hold
recordings of which none may be refused; their arms are exchanged to measure how often that is told.
"""

import argparse
import csv
import itertools
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold

from ecgfm_core import formats
from ecgfm_core.leads import STANDARD_LEADS
from ecgfm_core.recording import Recording
from ecgfm_core.signal import quality, quality_gate
from ecgfm_core.signal.quality_gate import LIMITS, Limits
from ecgfm_core.signal.quality_measures import INDEPENDENT, Measures, measure

FOLDS, DRAWS = 10, 2000
# What may be chosen inside the folds: factors of two about what a beat and an amplifier make plausible.
CHOICE = [Limits(*limits) for limits in itertools.product((3.0, 4.5, 6.0, 9.0), (1.5, 2.0, 3.0, 4.5), (0.2, 0.4, 0.8))]
SWAPPED = [STANDARD_LEADS.index(name) for name in ("I", "III", "II", "aVL", "aVR", *STANDARD_LEADS[5:])]

Predict = Callable[[np.ndarray, np.ndarray], np.ndarray]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--good", type=Path, nargs="*", default=[])
    parser.add_argument("--repeats", type=int, default=20)
    parsed = parser.parse_args()
    names, accepted = labels(parsed.data)
    recordings = [formats.read(parsed.data / f"{name}.hea", name) for name in names]
    measures = [measure(one.waveform_mv, one.sampling_rate_hz, one.lead_names) for one in recordings]
    print(
        f"{len(names)} recordings of {parsed.data.name}: {accepted.sum()} acceptable, {(~accepted).sum()} unacceptable"
    )
    lost = {
        limits: np.array([worst(one, rows, limits) for one, rows in paired(measures, recordings)]) for limits in CHOICE
    }
    fixed = [threshold_alone(lost[LIMITS], accepted, seed) for seed in range(parsed.repeats)]
    nested = [chosen_inside(lost, accepted, seed) for seed in range(parsed.repeats)]
    before = np.array([rule_before(one) for one in recordings])
    for title, predicted in (
        ("threshold in the folds", fixed), ("limits and threshold in the folds", nested), ("the rule before", [before]),
    ):  # fmt: skip
        print(line(title, accepted, predicted))
    now = np.array(
        [quality.assess(one.waveform_mv, one.sampling_rate_hz, one.lead_names)["readable"] for one in recordings]
    )
    print(line("the constants in the code", accepted, [now]))
    print_misses(names, accepted, now, lost[LIMITS])
    fitted = logistic(lost[LIMITS], accepted)
    print(f"fitted again: INTERCEPT, SLOPE = {fitted.intercept_[0]:.2f}, {fitted.coef_[0, 0]:.2f}", end="; ")
    print(f"in the code {quality_gate.INTERCEPT}, {quality_gate.SLOPE}")
    print_times(recordings)
    for folder in parsed.good:
        print_good(folder)


def labels(folder: Path) -> tuple[list[str], np.ndarray]:
    """Names of the judged recordings, and whether people accepted them."""
    with (folder / "labels.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["quality"] in ("acceptable", "unacceptable")]
    return [row["record"] for row in rows], np.array([row["quality"] == "acceptable" for row in rows])


def paired(measures: Sequence[Measures], recordings: Sequence[Recording]) -> list[tuple[Measures, list[int]]]:
    """Each recording's measures with the rows of its independent leads."""
    rows = [[one.lead_names.index(name) for name in INDEPENDENT] for one in recordings]
    return list(zip(measures, rows, strict=True))


def worst(measures: Measures, rows: Sequence[int], limits: Limits) -> float:
    """Lost share of the worst independent lead."""
    return float(quality_gate.lost_shares(measures, limits=limits)[rows].max())


def logistic(lost: np.ndarray, accepted: np.ndarray) -> LogisticRegression:
    """Fit the score; both classes weigh the same."""
    return LogisticRegression(C=10, class_weight="balanced").fit(lost[:, None], accepted)


def threshold_alone(lost: np.ndarray, accepted: np.ndarray, seed: int) -> np.ndarray:
    """Predict each recording by a threshold from the other folds."""
    predicted = np.zeros_like(accepted)
    for train, test in StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(lost, accepted):
        predicted[test] = logistic(lost[train], accepted[train]).predict(lost[test][:, None])
    return predicted


def chosen_inside(lost: dict[Limits, np.ndarray], accepted: np.ndarray, seed: int) -> np.ndarray:
    """Predict each recording by limits and a threshold from the other folds; of equally good limits the middle ones."""
    predicted = np.zeros_like(accepted)
    for train, test in StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(accepted, accepted):
        fits = {limits: logistic(values[train], accepted[train]) for limits, values in lost.items()}
        scores = {
            limits: balanced_accuracy(accepted[train], fit.predict(lost[limits][train][:, None]))
            for limits, fit in fits.items()
        }
        best = [limits for limits, score in scores.items() if score >= max(scores.values()) - 1e-9]
        logs = np.log([[one.unexplained_mv, one.wander_mv, one.fast_mv] for one in best])
        middle = best[int(np.argmin(((logs - np.median(logs, axis=0)) ** 2).sum(axis=1)))]
        predicted[test] = fits[middle].predict(lost[middle][test][:, None])
    return predicted


def rule_before(recording: Recording) -> bool:
    """Version 1 of the gate: at least half of the leads neither flat, nor missing, nor clipped."""
    waveform_mv, width = recording.waveform_mv, round(recording.sampling_rate_hz)
    seconds = waveform_mv.shape[1] // width
    windows = waveform_mv[:, : seconds * width].reshape(len(waveform_mv), seconds, width)
    flat = (np.nan_to_num(np.ptp(windows, axis=2)) <= 0.01).mean(axis=1) > 0.5
    edges = np.stack([np.fmax.reduce(waveform_mv, axis=1), np.fmin.reduce(waveform_mv, axis=1)])
    clipped = (waveform_mv == edges[:, :, None]).mean(axis=2).max(axis=0) > 0.01
    missing = np.isnan(waveform_mv).mean(axis=1) > 0.5
    return bool((~(flat | clipped | missing)).mean() >= 0.5)


def balanced_accuracy(accepted: np.ndarray, predicted: np.ndarray) -> float:
    """Mean of the shares of each class that are told right."""
    return float((predicted[accepted].mean() + (~predicted[~accepted]).mean()) / 2)


def line(title: str, accepted: np.ndarray, predicted: Sequence[np.ndarray]) -> str:
    """One row: balanced accuracy over the repeats, its interval over recordings, both classes' shares."""
    values = [balanced_accuracy(accepted, one) for one in predicted]
    rng, draws = np.random.default_rng(0), []
    groups = np.flatnonzero(accepted), np.flatnonzero(~accepted)
    for draw in range(DRAWS):
        drawn = np.concatenate([rng.choice(group, group.size) for group in groups])
        draws.append(balanced_accuracy(accepted[drawn], predicted[draw % len(predicted)][drawn]))
    low, high = np.quantile(draws, (0.025, 0.975))
    found = np.mean([[(~one[~accepted]).mean(), one[accepted].mean()] for one in predicted], axis=0)
    spread = f"{min(values):.3f}-{max(values):.3f}" if len(values) > 1 else ""
    return (
        f"{title:<34} balanced accuracy {np.mean(values):.4f} (95 % {low:.3f} to {high:.3f}) repeats {spread:<12}"
        f" unacceptable found {found[0]:.3f}, acceptable kept {found[1]:.3f}"
    )


def print_misses(names: list[str], accepted: np.ndarray, now: np.ndarray, lost: np.ndarray) -> None:
    """Print the confusion matrix and what is missed."""
    for said, rows in (("acceptable", accepted), ("unacceptable", ~accepted)):
        print(f"  people: {said:<13} gate: readable {(now & rows).sum():>3}, unreadable {(~now & rows).sum():>3}")
    for row in np.flatnonzero(now != accepted).tolist():
        said = "acceptable" if accepted[row] else "unacceptable"
        print(f"  missed {names[row]}: people {said}, worst lead lost {lost[row]:.2f}")


def print_times(recordings: Sequence[Recording]) -> None:
    """Print the CPU time a recording of both rules, the best of five rounds."""
    ways: dict[str, Callable[[Recording], object]] = {
        "now": lambda one: quality.assess(one.waveform_mv, one.sampling_rate_hz, one.lead_names),
        "before": rule_before,
    }
    best = dict.fromkeys(ways, float("inf"))
    for _, (name, way) in itertools.product(range(5), ways.items()):
        start = time.process_time()
        for one in recordings:
            way(one)
        best[name] = min(best[name], (time.process_time() - start) / len(recordings))
    print("ms a recording: " + ", ".join(f"{name} {1000 * taken:.1f}" for name, taken in best.items()))


def print_good(folder: Path) -> None:
    """Print how many good recordings are refused, and how often exchanged arms are told."""
    recordings = [formats.read(path, path.stem) for path in sorted(folder.rglob("*.hea"))]
    found = [
        quality.assess(one.waveform_mv, one.sampling_rate_hz, one.lead_names, one.calibrated) for one in recordings
    ]
    swapped = []
    for one in recordings:
        waveform_mv = one.waveform_mv[[one.lead_names.index(STANDARD_LEADS[row]) for row in SWAPPED]]
        waveform_mv[0] *= -1
        told = quality.assess(waveform_mv, one.sampling_rate_hz, STANDARD_LEADS, one.calibrated)["arms_swapped"]
        swapped.append(bool(told))
    refused = [one.name for one, said in zip(recordings, found, strict=True) if not said["readable"]]
    false = [one.name for one, said in zip(recordings, found, strict=True) if said["arms_swapped"]]
    scores = [said["score"] for said in found]
    print(
        f"{folder.name:<16} {len(recordings):>4} recordings, {len(refused)} refused {refused or ''}, lowest score "
        f"{min(scores):.2f}, median {np.median(scores):.2f}; arms: exchanged told {sum(swapped)} of {len(swapped)}, "
        f"as recorded {len(false)} {false or ''}"
    )


if __name__ == "__main__":
    main()
