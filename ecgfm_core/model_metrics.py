"""How good a model is on recordings it never saw: areas, sensitivity, specificity and F1, each with its interval.

Intervals are from a bootstrap of patients. Plain numpy, no torch. N recording, C label, R resample.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ecgfm_core import resampling
from ecgfm_core.errors import LabelError
from ecgfm_core.resampling import Ranked

LABEL_MIN = 10  # positives and negatives that a label's area needs to say anything
GROUP_MIN = 10  # the same of a subgroup
Figure = list[float] | None  # value, low and high end of the 95 % interval


@dataclass(frozen=True)
class Split:
    """What holds for some recordings and what a model said of them.

    Attributes
    ----------
    abnormal_N : 0, 1, or NaN where unknown
    probability_N : of abnormal
    target_NC : 0, 1, or NaN where unknown, of each label
    label_probability_NC : of each label
    codes : of the labels
    patients : of each recording
    groups : a way to part the recordings ("Sex") -> the part of each recording ("Female")
    """

    abnormal_N: np.ndarray
    probability_N: np.ndarray
    target_NC: np.ndarray
    label_probability_NC: np.ndarray
    codes: Sequence[str]
    patients: np.ndarray
    groups: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Called:
    """How well normal and abnormal are told apart; no figure where either class has fewer than `GROUP_MIN`."""

    recordings: int
    positives: int
    negatives: int
    auroc: Figure = None
    sensitivity: Figure = None
    specificity: Figure = None
    f1: Figure = None


def figures(split: Split, threshold: float, *, seed: int = 0, count: int = resampling.COUNT) -> dict[str, Any]:
    """Give a model's figures as JSON holds them.

    Parameters
    ----------
    threshold : abnormal is called at this probability or above

    Returns
    -------
    dict
        ``abnormal`` (see `Called`), ``groups`` (way -> list of the same with ``name``; parts named "" are left out),
        ``labels`` (list of ``code``, ``positives``, ``negatives``, ``auroc``) and ``macro_auroc``, the mean over the
        labels with at least `LABEL_MIN` positives and negatives, in each resample that holds both classes.

    Raises
    ------
    LabelError
        If the arrays do not belong together.
    """
    _check(split)
    parts = [(way, name, names == name) for way, names in split.groups.items() for name in np.unique(names) if name]
    callers = [_Caller(split, threshold, np.ones(len(split.abnormal_N), dtype=bool))]
    callers += [_Caller(split, threshold, inside) for _, _, inside in parts]
    ranked = {c: Ranked(split.target_NC[:, c], split.label_probability_NC[:, c]) for c in _enough(split.target_NC)}
    areas: dict[int, list[np.ndarray]] = {c: [] for c in ranked}
    for counts_rN in resampling.drawn(split.patients, seed, count) if len(split.patients) else ():
        for caller in callers:
            caller.draw(counts_rN)
        for c, label in ranked.items():
            areas[c].append(label.auroc(counts_rN))
    groups: dict[str, list[dict[str, Any]]] = {}
    for (way, name, _), caller in zip(parts, callers[1:], strict=True):
        groups.setdefault(way, []).append({"name": str(name), **asdict(caller.called())})
    return {
        "abnormal": asdict(callers[0].called()),
        "groups": groups,
        "labels": [_label(split, c, areas.get(c), ranked.get(c)) for c in range(len(split.codes))],
        "macro_auroc": _macro(ranked, areas),
    }


class _Caller:
    """Calls of abnormal among some of the recordings, resample after resample."""

    def __init__(self, split: Split, threshold: float, inside_N: np.ndarray) -> None:
        target_N = np.where(inside_N, split.abnormal_N, np.nan)
        self.recordings = int(inside_N.sum())
        self.positives, self.negatives = int((target_N == 1).sum()), int((target_N == 0).sum())
        self.enough = min(self.positives, self.negatives) >= GROUP_MIN
        said_N = split.probability_N >= threshold
        hit, alarm = (target_N == 1) & said_N, (target_N == 0) & said_N
        kinds = (hit, (target_N == 1) & ~said_N, alarm, (target_N == 0) & ~said_N)
        self.kinds_N4 = np.stack(kinds, axis=1).astype(np.float32)
        self.ranked = Ranked(target_N, split.probability_N)
        self.areas: list[np.ndarray] = []
        self.counts: list[np.ndarray] = []

    def draw(self, counts_rN: np.ndarray) -> None:
        if self.enough:
            self.areas.append(self.ranked.auroc(counts_rN))
            self.counts.append(counts_rN.astype(np.float32) @ self.kinds_N4)

    def called(self) -> Called:
        if not self.enough:
            return Called(self.recordings, self.positives, self.negatives)
        hit, missed, alarm, passed = np.concatenate([self.kinds_N4.sum(axis=0)[None], *self.counts]).T
        return Called(
            self.recordings,
            self.positives,
            self.negatives,
            auroc=_figure(np.concatenate([[self.ranked.area], *self.areas])),
            sensitivity=_figure(_ratio(hit, hit + missed)),
            specificity=_figure(_ratio(passed, passed + alarm)),
            f1=_figure(_ratio(2 * hit, 2 * hit + missed + alarm)),
        )


def _ratio(part_R: np.ndarray, whole_R: np.ndarray) -> np.ndarray:
    return np.divide(part_R, whole_R, out=np.full(len(part_R), np.nan), where=whole_R > 0)


def _figure(values_R: np.ndarray) -> Figure:
    """The first value with the interval of the others."""
    low, high = resampling.interval(values_R[1:])
    found = [float(values_R[0]), low, high]
    return None if np.isnan(found).any() else found


def _enough(target_NC: np.ndarray) -> list[int]:
    fewest_C = np.minimum((target_NC == 1).sum(axis=0), (target_NC == 0).sum(axis=0))
    return np.flatnonzero(fewest_C >= LABEL_MIN).tolist()


def _label(split: Split, c: int, areas: list[np.ndarray] | None, ranked: Ranked | None) -> dict[str, Any]:
    return {
        "code": split.codes[c],
        "positives": int((split.target_NC[:, c] == 1).sum()),
        "negatives": int((split.target_NC[:, c] == 0).sum()),
        "auroc": _figure(np.concatenate([[ranked.area], *areas])) if ranked and areas else None,
    }


def _macro(ranked: Mapping[int, Ranked], areas: Mapping[int, list[np.ndarray]]) -> Figure:
    if not ranked:
        return None
    values_CR = np.stack([np.concatenate([[ranked[c].area], *areas[c]]) for c in ranked])
    return _figure(values_CR.mean(axis=0))


def _check(split: Split) -> None:
    count, width = len(split.abnormal_N), len(split.codes)
    lengths = {len(split.probability_N), len(split.patients), *map(len, split.groups.values())}
    shapes = {split.target_NC.shape, split.label_probability_NC.shape}
    if lengths != {count} or shapes != {(count, width)}:
        raise LabelError(
            f"{count} recordings, but arrays of {sorted(lengths)} and labels of {sorted(shapes)}; "
            f"one row a recording and {width} columns are needed"
        )
