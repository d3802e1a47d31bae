"""The public sets that can be benched: which layout they come in, their tasks, and a task made from what was stored.

N recording, C class.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ecgfm_core import labels
from ecgfm_core.downstream import ptbxl, splits
from ecgfm_core.downstream.challenge import SAME
from ecgfm_core.downstream.store import Stored, StoredSet
from ecgfm_core.downstream.task import Task
from ecgfm_core.errors import FormatError
from ecgfm_core.formats.files import read_text
from ecgfm_core.manifest import ManifestEntry

_AGES = ((0, "under 40"), (40, "40 to 64"), (65, "65 and over"))
_CLASS_LIST_BYTES_MAX = 1_000_000
NINE = tuple(str(number) for number in range(1, 10))  # CPSC 2018's classes


@dataclass(frozen=True)
class Protocol:
    """How a set is split: its own folds, where it has them, or a hash of this seed."""

    train_folds: str = ""
    validate_fold: int | None = None
    test_fold: int | None = None
    split_seed: int = 0


@dataclass(frozen=True)
class Classes:
    """The classes of a task, and those that hold for a recording; None where nothing is known of it."""

    names: tuple[str, ...]
    of: Callable[[Stored], set[str] | None]
    titles: dict[str, str]


@dataclass(frozen=True)
class PublicSet:
    """A set: its layouts, its tasks, the usual one first, and the centre its recordings bear (empty for any)."""

    key: str
    title: str
    layouts: tuple[str, ...]
    tasks: tuple[str, ...]
    classes: Callable[[StoredSet, Sequence[Stored], str], Classes]
    centre: str = ""


def _ptbxl(stored: StoredSet, recordings: Sequence[Stored], task: str) -> Classes:
    statements = ptbxl.read_statements(stored.source)
    of_code = ptbxl.class_of(task, statements)

    def of(one: Stored) -> set[str] | None:
        if unknown := [code for _, code in one.codes if code not in statements]:
            raise FormatError(
                f"{one.name}: statements {unknown} are not in {ptbxl.STATEMENTS}; take the official table"
            )
        return {of_code[code] for _, code in one.codes if code in of_code} or None

    return Classes(_held(recordings, of), of, ptbxl.titles(statements))


def _held(recordings: Sequence[Stored], of: Callable[[Stored], set[str] | None]) -> tuple[str, ...]:
    """Give the classes that any recording holds, sorted."""
    return tuple(sorted({name for one in recordings for name in of(one) or ()}))


def _mapped(one: Stored) -> set[str]:
    return {label for system, code in one.codes for label in labels.map_code(system, code)}


def _statements(_stored: StoredSet, recordings: Sequence[Stored], task: str) -> Classes:
    """CinC's two tasks: the statements that the challenge scores, as it merges them; or all that the set holds."""
    scheme = labels.load_scheme()
    titles = {label.code: label.name for label in scheme.labels}
    if task == "all":
        of = _known(_mapped)
        return Classes(_held(recordings, of), of, titles)
    scored = tuple(label.code for label in scheme.labels if label.scored)
    return Classes(scored, _known(lambda one: {SAME.get(code, code) for _, code in one.codes} & set(scored)), titles)


def _known(of: Callable[[Stored], set[str]]) -> Callable[[Stored], set[str] | None]:
    """Nothing is known of a recording without any code; with codes of which none is a class, all classes are absent."""
    return lambda one: of(one) if one.codes else None


def _nine(_stored: StoredSet, _recordings: Sequence[Stored], _task: str) -> Classes:
    """CPSC 2018's nine classes, in the order of its numbers, whichever form the set comes in."""
    names = tuple(labels.map_code("cpsc", number)[0] for number in NINE)
    by_code = labels.load_scheme().by_code
    return Classes(names, lambda one: _mapped(one) & set(names) or None, {name: by_code[name].name for name in names})


def _hefei(stored: StoredSet, recordings: Sequence[Stored], _task: str) -> Classes:
    of = _known(lambda one: {code for _, code in one.codes})
    lists = sorted(stored.source.rglob("hf_round*_arrythmia.txt"))
    listed = [name.strip() for path in lists for name in read_text(path, path.name, _CLASS_LIST_BYTES_MAX).splitlines()]
    names = tuple(dict.fromkeys(name for name in listed if name)) or _held(recordings, of)
    if unknown := sorted(set(_held(recordings, of)) - set(names)):
        raise FormatError(f"Classes {', '.join(unknown)} are not in {lists[0].name}; take the official list")
    return Classes(names, of, {})


_CINC_TASKS = ("scored", "all")
SETS: dict[str, PublicSet] = {
    one.key: one
    for one in (
        PublicSet("ptb-xl", "PTB-XL", ("ptb-xl",), ("super", *sorted({*ptbxl.TASKS} - {"super"})), _ptbxl),
        PublicSet("cpsc2018", "CPSC 2018", ("cpsc2018", "cinc2020"), ("nine",), _nine, "CPSC"),
        PublicSet("georgia", "Georgia", ("cinc2020",), _CINC_TASKS, _statements, "Georgia"),
        PublicSet("ptb", "PTB", ("cinc2020",), _CINC_TASKS, _statements, "PTB"),
        PublicSet("incart", "INCART", ("cinc2020",), _CINC_TASKS, _statements, "INCART"),
        PublicSet("cinc2020", "CinC 2020", ("cinc2020",), _CINC_TASKS, _statements),
        PublicSet("hefei", "Hefei", ("hefei",), ("all",), _hefei),
    )
}  # fmt: skip


def public_set(key: str, task: str) -> tuple[PublicSet, str]:
    """Look up a set and a task, the usual one for an empty name; refuses unknown ones."""
    if key not in SETS:
        raise FormatError(f"Set {key!r} is unknown; {', '.join(SETS)} are known")
    one = SETS[key]
    if task and task not in one.tasks:
        raise FormatError(f"{one.title} has no task {task!r}; {', '.join(one.tasks)} are its tasks")
    return one, task or one.tasks[0]


def task_of(key: str, task: str, stored: StoredSet, protocol: Protocol) -> Task:
    """Make a task of what was stored.

    Exact duplicates are left out but for the first. Folds of the set decide the split where there are any, else a hash
    of patient and near-duplicates.

    Raises
    ------
    FormatError
        If the set, its layout or the task is another, or a split is empty.
    """
    chosen, task = public_set(key, task)
    if stored.layout not in chosen.layouts:
        raise FormatError(f"{stored.source} is a folder of {stored.layout}; {chosen.title} needs {chosen.layouts}")
    remarks = [f"{len(stored.unread)} recordings can't be read and are left out"] if stored.unread else []
    ours = [one for one in stored.recordings if not chosen.centre or one.centre == chosen.centre]
    ours = _once(ours, remarks)
    if not ours:
        raise FormatError(f"{stored.source} holds no recording of {chosen.title}")
    groups = splits.group_recordings(ours)
    own = _split(ours, groups, protocol)
    kept = [row for row, split in enumerate(own) if split != splits.LEFT_OUT]
    if len(kept) < len(ours):
        remarks.append(
            f"{len(ours) - len(kept)} recordings are left out: of no fold that was asked for, or of a patient or "
            "near-duplicate in a fold that judges"
        )
    recordings = [ours[row] for row in kept]
    entries = tuple(_entry(row, ours[old], own[old], groups[old]) for row, old in enumerate(kept))
    classes = chosen.classes(stored, recordings, task)
    made = Task(
        task, chosen.key, classes.names, entries, _targets(recordings, classes), _subgroups(recordings),
        classes.titles, tuple(remarks),
    )  # fmt: skip
    for split in splits.SHARES:
        if not len(made.rows(split)):
            raise FormatError(f"{chosen.title}, task {task}: no recording to {split}; more recordings are needed")
    return made


def _once(recordings: Sequence[Stored], remarks: list[str]) -> list[Stored]:
    first: dict[str, Stored] = {}
    for one in recordings:
        first.setdefault(one.sha256, one)
    if len(first) < len(recordings):
        differing = sum(set(one.codes) != set(first[one.sha256].codes) for one in recordings)
        remarks.append(
            f"{len(recordings) - len(first)} recordings are left out that come twice, sample for sample; {differing} "
            "of them are labelled otherwise than the first"
        )
    return list(first.values())


def _split(recordings: Sequence[Stored], groups: Sequence[str], protocol: Protocol) -> list[str]:
    folds = [one.fold for one in recordings]
    if all(fold is None for fold in folds):
        return splits.by_hash(groups, protocol.split_seed)
    chosen = splits.choose_folds(folds, protocol.train_folds, protocol.validate_fold, protocol.test_fold)
    return splits.by_folds(recordings, groups, chosen)


def _entry(row: int, one: Stored, split: str, group: str) -> ManifestEntry:
    return ManifestEntry(
        row, one.sha256, one.lead_names, one.sampling_rate_hz, one.sample_count, one.scale_mv, one.calibrated, split,
        group,
    )  # fmt: skip


def _targets(recordings: Sequence[Stored], classes: Classes) -> np.ndarray:
    targets_NC = np.full((len(recordings), len(classes.names)), np.nan, dtype=np.float32)
    column = {name: index for index, name in enumerate(classes.names)}
    for row, one in enumerate(recordings):
        if (held := classes.of(one)) is not None:
            targets_NC[row] = 0
            targets_NC[row, [column[name] for name in held]] = 1
    return targets_NC


def _subgroups(recordings: Sequence[Stored]) -> dict[str, np.ndarray]:
    """Give sex, age and centre in words, where they differ within the set."""
    found = {
        "sex": [{"F": "women", "M": "men"}.get(one.sex, "") for one in recordings],
        "age": [_age(one.age_years) for one in recordings],
        "centre": [one.centre for one in recordings],
    }
    return {name: np.array(words) for name, words in found.items() if len(Counter(filter(None, words))) > 1}


def _age(age_years: float | None) -> str:
    if age_years is None:
        return ""
    return next(word for low, word in reversed(_AGES) if age_years >= low)
