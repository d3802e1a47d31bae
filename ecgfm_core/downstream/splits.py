"""Splits by patient with near-duplicates together: by a set's own folds, or by a seeded hash.

N recording.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

import numpy as np

from ecgfm_core.downstream.duplicates import near_duplicates
from ecgfm_core.downstream.store import Stored
from ecgfm_core.errors import FormatError

SHARES = {"train": 0.7, "validate": 0.1, "test": 0.2}
LEFT_OUT = ""


@dataclass(frozen=True)
class Folds:
    """Folds of each split, as a set numbers them."""

    train: frozenset[int]
    validate: int
    test: int


def choose_folds(
    folds: Sequence[int | None], train: str = "", validate: int | None = None, test: int | None = None
) -> Folds:
    """Take the folds that were asked for; the last one that exists tests, the one before validates, all others train.

    Parameters
    ----------
    folds : of each recording
    train : ``1-6`` or ``1,2,5``; empty for every fold that neither validates nor tests

    Raises
    ------
    FormatError
        If fewer than 3 folds exist, a fold asked for does not, or one is asked for twice.
    """
    known = sorted({fold for fold in folds if fold is not None})
    if len(known) < 3:
        raise FormatError(f"Folds {known}: 3 or more are needed, to train, to validate and to test")
    test = known[-1] if test is None else test
    validate = next(fold for fold in reversed(known) if fold != test) if validate is None else validate
    trained = _numbers(train) if train else frozenset(known) - {validate, test}
    if missing := sorted({*trained, validate, test} - set(known)):
        raise FormatError(f"Folds {missing} are not in the set; {known} are")
    if not trained or validate == test or {validate, test} & trained:
        raise FormatError(
            f"Folds {sorted(trained)}, {validate} and {test}: each may be in one split, and one must train"
        )
    return Folds(trained, validate, test)


def _numbers(text: str) -> frozenset[int]:
    try:
        parts = [part.split("-") for part in text.split(",")]
        return frozenset(number for part in parts for number in range(int(part[0]), int(part[-1]) + 1))
    except ValueError:
        raise FormatError(f"Folds {text!r}: numbers such as 1-6 or 1,2,5 are needed") from None


def group_recordings(recordings: Sequence[Stored]) -> list[str]:
    """Name the group of each recording: its patient's recordings, their near-duplicates, these ones' patients, and on.

    A group is named by the smallest waveform hash in it, so that the name does not hang on the order.
    """
    leader = list(range(len(recordings)))

    def lead(row: int) -> int:
        while leader[row] != row:
            leader[row] = row = leader[leader[row]]
        return row

    first_of: dict[str, int] = {}
    pairs = near_duplicates(np.stack([one.outline_values for one in recordings])) if recordings else []
    for row, one in enumerate(recordings):
        for key in (f"s{one.sha256}", f"p{one.patient}" if one.patient else ""):
            if key:
                pairs.append((first_of.setdefault(key, row), row))
    for first, second in pairs:
        leader[lead(second)] = lead(first)
    names: dict[int, str] = {}
    for row, one in enumerate(recordings):
        names[lead(row)] = min(names.get(lead(row), one.sha256), one.sha256)
    return [names[lead(row)][:16] for row in range(len(recordings))]


def by_folds(recordings: Sequence[Stored], groups: Sequence[str], folds: Folds) -> list[str]:
    """Split by the set's own folds; `LEFT_OUT` for other folds and for what would leak.

    The folds that judge stay as published. A recording of the training folds whose group (patient or near-duplicate) is
    in the validation or test fold is left out, and so is one of the validation fold whose group is in the test fold.
    """
    own = ["test" if one.fold == folds.test else "validate" if one.fold == folds.validate else
           "train" if one.fold in folds.train else LEFT_OUT for one in recordings]  # fmt: skip
    tested = {group for group, split in zip(groups, own, strict=True) if split == "test"}
    validated = {group for group, split in zip(groups, own, strict=True) if split == "validate"} - tested
    barred = {"train": tested | validated, "validate": tested, "test": set(), LEFT_OUT: set()}
    return [LEFT_OUT if group in barred[split] else split for group, split in zip(groups, own, strict=True)]


def by_hash(groups: Sequence[str], seed: int) -> list[str]:
    """Split groups 70 : 10 : 20 in the order of a seeded hash, counted in recordings."""
    sizes: dict[str, int] = {}
    for group in groups:
        sizes[group] = sizes.get(group, 0) + 1
    order = sorted(sizes, key=lambda group: sha256(f"{seed} {group}".encode()).hexdigest())
    ends, split_of, placed = np.cumsum(list(SHARES.values())) * len(groups), {}, 0
    for group in order:
        middle = placed + sizes[group] / 2
        split_of[group] = list(SHARES)[min(int(np.searchsorted(ends, middle)), 2)]
        placed += sizes[group]
    return [split_of[group] for group in groups]
