"""What a simulated recording can show: rhythms and findings, their SNOMED CT codes (CinC 2020) and their words."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ecgfm_core.errors import ConfigError


@dataclass(frozen=True)
class Condition:
    """A rhythm (exactly one a recording) or a finding (none, one or more), with its codes and the phrases of a report.

    `weight` is its share among the recordings of a data set that show something; `needs_sinus` findings are only drawn
    with sinus P waves; `conflicts` are findings that hide or contradict it.
    """

    name: str
    is_rhythm: bool
    codes: tuple[str, ...]
    phrases: tuple[str, ...]
    weight: float
    needs_sinus: bool = False
    conflicts: frozenset[str] = frozenset()


NORMAL = "sinus_rhythm"
SINUS = frozenset({"sinus_rhythm", "sinus_bradycardia", "sinus_tachycardia"})
_BLOCKS = frozenset({"lbbb", "rbbb"})
_REPOLARISATION = frozenset({"st_depression", "t_inversion", "anterior_infarction", "inferior_infarction"})

_TABLE = (
    Condition(NORMAL, True, ("426783006",), ("Sinus rhythm", "Normal sinus rhythm", "Regular sinus rhythm"), 0.0),
    Condition("sinus_bradycardia", True, ("426177001",), ("Sinus bradycardia", "Slow sinus rhythm"), 1.0),
    Condition("sinus_tachycardia", True, ("427084000",), ("Sinus tachycardia", "Fast sinus rhythm"), 1.0),
    Condition(
        "atrial_fibrillation",
        True,
        ("164889003",),
        ("Atrial fibrillation", "Atrial fibrillation with irregular ventricular response"),
        1.6,
    ),
    Condition("atrial_flutter", True, ("164890007",), ("Atrial flutter", "Atrial flutter with sawtooth waves"), 0.7),
    Condition(
        "pac",
        False,
        ("284470004",),
        ("Premature atrial complexes", "Supraventricular extrasystoles"),
        1.0,
        needs_sinus=True,
    ),
    Condition(
        "pvc",
        False,
        ("427172004",),
        ("Premature ventricular complexes", "Ventricular extrasystoles"),
        1.2,
        needs_sinus=True,
    ),
    Condition(
        "first_degree_block",
        False,
        ("270492004",),
        ("First degree AV block", "Prolonged PR interval, first degree AV block"),
        1.0,
        needs_sinus=True,
    ),
    Condition(
        "lbbb",
        False,
        ("164909002",),
        ("Left bundle branch block", "Complete left bundle branch block"),
        1.0,
        conflicts=_BLOCKS | _REPOLARISATION | {"lvh", "low_voltage", "long_qt"},
    ),
    Condition(
        "rbbb",
        False,
        ("713427006",),
        ("Right bundle branch block", "Complete right bundle branch block"),
        1.0,
        conflicts=_BLOCKS | {"lvh", "t_inversion", "low_voltage"},
    ),
    Condition(
        "lvh",
        False,
        ("164873001",),
        ("Left ventricular hypertrophy", "Voltage criteria for left ventricular hypertrophy"),
        1.0,
        conflicts=_BLOCKS | _REPOLARISATION | {"low_voltage"},
    ),
    Condition(
        "anterior_infarction",
        False,
        ("54329005",),
        ("Anterior myocardial infarction", "Q waves V1 to V4, anterior infarction"),
        1.0,
        conflicts=_REPOLARISATION | {"lbbb", "lvh", "low_voltage"},
    ),
    Condition(
        "inferior_infarction",
        False,
        ("73795002",),
        ("Inferior myocardial infarction", "Q waves II, III and aVF, inferior infarction"),
        1.0,
        conflicts=_REPOLARISATION | {"lbbb", "lvh", "low_voltage"},
    ),
    Condition(
        "st_depression",
        False,
        ("429622005",),
        ("ST depression, consider ischaemia", "Lateral ST segment depression"),
        0.9,
        conflicts=_REPOLARISATION | {"lbbb", "lvh"},
    ),
    Condition(
        "t_inversion",
        False,
        ("59931005",),
        ("T wave inversion in the lateral leads", "Inverted T waves"),
        0.9,
        conflicts=_REPOLARISATION | _BLOCKS | {"lvh"},
    ),
    Condition(
        "long_qt", False, ("111975006",), ("Prolonged QT interval", "Long QT"), 0.7, True, frozenset({"lbbb", "rbbb"})
    ),
    Condition(
        "low_voltage",
        False,
        ("251146004",),
        ("Low QRS voltages", "Low voltage in the limb leads"),
        0.7,
        conflicts=_BLOCKS | {"lvh", "anterior_infarction", "inferior_infarction"},
    ),
)
CONDITIONS: dict[str, Condition] = {condition.name: condition for condition in _TABLE}
NAMES: tuple[str, ...] = tuple(CONDITIONS)


def check(names: Sequence[str]) -> tuple[str, ...]:
    """Return `names` as a rhythm followed by findings; sinus rhythm is added where no rhythm is named.

    Raises
    ------
    ConfigError
        If a name is unknown, two rhythms are named, or two of them can't be seen together.
    """
    for name in names:
        if name not in CONDITIONS:
            raise ConfigError(f"simulated condition {name!r} is unknown; known are {', '.join(NAMES)}")
    rhythms = [name for name in names if CONDITIONS[name].is_rhythm]
    findings = [name for name in dict.fromkeys(names) if not CONDITIONS[name].is_rhythm]
    if len(rhythms) > 1:
        raise ConfigError(f"simulated rhythms {' and '.join(rhythms)} exclude each other; name one")
    rhythm = rhythms[0] if rhythms else NORMAL
    for index, name in enumerate(findings):
        if CONDITIONS[name].needs_sinus and rhythm not in SINUS:
            raise ConfigError(f"{name} can't be simulated in {rhythm}; it needs one of {', '.join(sorted(SINUS))}")
        for other in findings[:index]:
            if other in CONDITIONS[name].conflicts or name in CONDITIONS[other].conflicts:
                raise ConfigError(f"{other} and {name} can't be simulated in one recording; leave one out")
    return (rhythm, *findings)


def codes_of(names: Sequence[str]) -> tuple[str, ...]:
    """SNOMED CT codes of the named conditions, each once, in order."""
    return tuple(dict.fromkeys(code for name in names for code in CONDITIONS[name].codes))


def primary(names: Sequence[str]) -> str:
    """The one condition that stands for the set: the first finding, else the rhythm."""
    findings = [name for name in names if not CONDITIONS[name].is_rhythm]
    return findings[0] if findings else names[0]


def relabel(names: Sequence[str], wrong: str) -> tuple[str, ...]:
    """The set as somebody would write it who took its primary condition for `wrong`."""
    if wrong == NORMAL:
        return (NORMAL,)
    kept = check([wrong])
    for name in names:
        if name != primary(names):
            with contextlib.suppress(ConfigError):
                kept = check([*(other for other in kept if other != NORMAL), name])
    return kept


def draw(rng: np.random.Generator, normal_share: float) -> tuple[str, ...]:
    """Draw a believable set: plain sinus rhythm with `normal_share`, else a rhythm or a finding, at times two."""
    if rng.random() < normal_share:
        return (NORMAL,)
    weights = np.array([CONDITIONS[name].weight for name in NAMES])
    first = NAMES[int(rng.choice(len(NAMES), p=weights / weights.sum()))]
    names = check([first])
    if rng.random() < 0.25:
        second = NAMES[int(rng.choice(len(NAMES), p=weights / weights.sum()))]
        try:
            return check([*[name for name in names if name != NORMAL], second])
        except ConfigError:
            return names
    return names
