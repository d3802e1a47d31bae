"""How many of the first 50 recordings of a queue carry a wrong label: by label error, by uncertainty, by chance.

Simulated recordings with injected errors; the embedding is a fixed random projection of averaged beats and of the
rhythm, no trained model. `relabel` doubts normal against abnormal alone, `relabel, set` that and every single label
(soft minimum). Prints mean and standard deviation over the seeds: `python benchmarks/label_errors.py`.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from ecgfm_core import datasets
from ecgfm_core.active import errors, scores
from ecgfm_core.active.crossfit import crossfit_label_probabilities, crossfit_probabilities
from ecgfm_core.active.selection import Candidate, select
from ecgfm_core.datasets.simulated import write_dataset
from ecgfm_core.datasets.simulated.conditions import NAMES, NORMAL, primary, relabel
from ecgfm_core.datasets.simulated.writing import CONFUSIONS

FIRST = 50
WIDTH = 96
COLUMNS = ("changes normal", "relabel", "relabel, set", "uncertainty", "random")
FINDINGS = [name for name in NAMES if name != NORMAL]


def main() -> None:
    """Print one row a kind of error: precision of the first recordings of each strategy."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=600)
    parser.add_argument("--rate", type=float, default=0.1)
    parser.add_argument("--seeds", type=int, default=5)
    parsed = parser.parse_args()
    found: dict[str, list[list[float]]] = {kind: [] for kind in errors.KINDS}
    for seed in range(parsed.seeds):
        with tempfile.TemporaryDirectory() as folder:
            truth = write_dataset(folder, parsed.count, seed, 100, normal_share=0.45)
            waveforms = np.stack([entry.load().waveform_mv for entry in datasets.iterate(Path(folder))])
        embedding_ND = embed(waveforms, seed)
        for kind, rows in found.items():
            rows.append(measure(truth, embedding_ND, kind, parsed.rate, seed))
    print(f"{parsed.count} recordings, {parsed.rate:.0%} wrong, precision of the first {FIRST}, {parsed.seeds} seeds")
    print(f"{'error kind':20s}" + "".join(f"{name:>16s}" for name in COLUMNS))
    for kind, rows in found.items():
        means, spreads = np.mean(rows, axis=0), np.std(rows, axis=0)
        cells = [f"{mean:.2f} +- {spread:.2f}" for mean, spread in zip(means, spreads, strict=True)]
        print(f"{kind:20s}" + "".join(f"{cell:>16s}" for cell in cells))


def measure(truth: list[dict], embedding_ND: np.ndarray, kind: str, rate: float, seed: int) -> list[float]:
    """Share of errors that change normal to abnormal or back, then the precision of each strategy."""
    true = [tuple(entry["conditions"]) for entry in truth]
    patients = np.array([entry["patient"] for entry in truth])
    classes = np.array([NAMES.index(primary(names)) for names in true])
    given_classes = errors.inject(
        classes,
        len(NAMES),
        rate=rate,
        kind=kind,
        seed=seed,
        confusion_CC=np.array([[CONFUSIONS[name].get(other, 0.0) for other in NAMES] for name in NAMES]),
        probability_NC=errors.weak_probabilities(embedding_ND, classes, len(NAMES)),
        centres_N=[entry["centre"] for entry in truth],
    )
    wrong_N = given_classes != classes
    answers = zip(true, given_classes.tolist(), wrong_N.tolist(), strict=True)
    given = [relabel(names, NAMES[now]) if bad else names for names, now, bad in answers]
    abnormal_N = np.array([names != (NORMAL,) for names in given]).astype(int)
    labels_NC = np.array([[int(name in names) for name in FINDINGS] for names in given])
    mean_N = crossfit_probabilities(embedding_ND, abnormal_N, patients).mean(axis=0)
    label_NC = crossfit_label_probabilities(embedding_ND, labels_NC, patients, seeds=(0,))[0]
    set_N = scores.label_set_scores(np.column_stack([abnormal_N, labels_NC]), np.column_stack([mean_N, label_NC]))
    changes = float(np.mean([(names != (NORMAL,)) != now for names, now in zip(true, abnormal_N, strict=True)])) / rate

    def precision(strategy: str, error_N: np.ndarray) -> float:
        unsure_N = scores.entropy(mean_N)
        rows = zip(abnormal_N.tolist(), mean_N.tolist(), error_N.tolist(), unsure_N.tolist(), strict=True)
        pool = [Candidate(i, bool(label), *numbers) for i, (label, *numbers) in enumerate(rows)]
        return float(np.mean([wrong_N[item.id] for item in select(pool, FIRST, strategy, audit_share=0, seed=seed)]))

    error_N = scores.label_error_scores(abnormal_N, mean_N)
    orders = (("relabel", error_N), ("relabel", set_N), ("uncertainty", error_N), ("random", error_N))
    return [changes, *(precision(strategy, score_N) for strategy, score_N in orders)]


def embed(waveform_BLT: np.ndarray, seed: int) -> np.ndarray:
    """Project each recording's median beat and rhythm at random: untrained, but it sees the shape."""
    parts = []
    for waveform_LT in waveform_BLT - np.median(waveform_BLT, axis=2, keepdims=True):
        steepness = np.convolve(np.abs(np.diff(waveform_LT, axis=1)).sum(axis=0), np.ones(5), "same")
        peaks = [i for i in range(30, 940) if steepness[i] == steepness[i - 20 : i + 21].max() > 0.3 * steepness.max()]
        beats = np.stack([waveform_LT[:, i - 30 : i + 50] for i in peaks or [500]])
        gaps = np.diff(peaks) if len(peaks) > 2 else np.array([100.0])
        rhythm = [gaps.mean(), gaps.std(), gaps.min() / gaps.max(), beats.std(axis=0).mean(), np.abs(beats).max()]
        parts.append(np.concatenate([np.median(beats, axis=0)[[0, 1, 6, 7, 9, 10, 11]].ravel(), rhythm]))
    features = np.stack(parts)
    features = (features - features.mean(axis=0)) / (features.std(axis=0) + 1e-6)
    projection = np.random.default_rng(seed).normal(size=(features.shape[1], WIDTH)) / np.sqrt(features.shape[1])
    return np.concatenate([features @ projection, features[:, -5:]], axis=1)


if __name__ == "__main__":
    start = time.perf_counter()
    main()
    print(f"{time.perf_counter() - start:.0f} s")
