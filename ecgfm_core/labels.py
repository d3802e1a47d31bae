"""The label scheme: SNOMED CT statements as in CinC 2020, what other systems' codes become, and what statements mean.

The scheme holds the 133 statements of the PhysioNet/CinC Challenge 2020, those of 2021 that its recordings carry, and
a normal ECG. Codes that mean the same are one label: the challenge scores complete and plain right bundle branch block,
premature atrial and supraventricular beats, and premature ventricular contractions and beats as the same. The label
bears the first code; the others lead to it everywhere, and a source keeps the code it came with.
"""

import csv
import functools
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources

from ecgfm_core.errors import LabelError
from ecgfm_core.recording import SourceCode

SCHEME_VERSION = "snomed-cinc2020-1"
NORMAL_ECG = "164854000"

_SINUS = ("426783006", "427393009", "426177001", "427084000")
_ATRIAL_FIBRILLATION = ("164889003", "195080001", "282825002", "314208002", "426749004")
# Rhythms that leave no room for a sinus rhythm or for one another through a whole recording.
_SUSTAINED = (*_ATRIAL_FIBRILLATION, "164890007", "29320008", "426664006", "49260003", "164896001", "111288001")
_EXCLUSIVE = (
    ("426177001", "427084000"),
    ("426177001", "426783006"),
    ("427084000", "426783006"),
    ("713427006", "164909002"),
    ("713427006", "713426002"),
    ("164909002", "251120003"),
    ("445118002", "445211001"),
    ("39732003", "47665007"),
    ("111975006", "77867006"),
    ("164947007", "49578007"),
    ("270492004", "27885002"),
    ("251199005", "251198002"),
)


@dataclass(frozen=True)
class Label:
    """One coded statement.

    `same_as` holds codes that mean the same and lead here; `scored` is whether CinC 2020 scores it; `normal` whether a
    recording with only such statements is normal.
    """

    code: str
    abbreviation: str
    name: str
    group: str
    synonyms: tuple[str, ...]
    scored: bool
    normal: bool
    same_as: tuple[str, ...] = ()


@dataclass(frozen=True)
class LabelScheme:
    """A version of the list of statements, in the order in which groups show them."""

    version: str
    labels: tuple[Label, ...]

    @functools.cached_property
    def by_code(self) -> dict[str, Label]:
        """Every label under its code and under the codes that mean the same."""
        return {code: label for label in self.labels for code in (label.code, *label.same_as)}


@functools.cache
def load_scheme() -> LabelScheme:
    """Read the scheme that this version of the package holds."""
    labels = tuple(
        Label(
            row["code"],
            row["abbreviation"],
            row["name"],
            row["group"],
            _split(row["synonyms"]),
            row["scored"] == "1",
            row["normal"] == "1",
            _split(row["same_as"]),
        )
        for row in _rows("scheme.csv")
    )
    return LabelScheme(SCHEME_VERSION, labels)


@functools.cache
def _source_codes() -> dict[tuple[str, str], tuple[str, ...]]:
    return {(row["system"], row["code"]): _split(row["labels"]) for row in _rows("source_codes.csv")}


def _rows(name: str) -> list[dict[str, str]]:
    text = resources.files("ecgfm_core").joinpath("label_data", name).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


def _split(cell: str) -> tuple[str, ...]:
    return tuple(cell.split(";")) if cell else ()


def map_code(system: str, code: str) -> tuple[str, ...]:
    """Give the scheme's codes for a source's code; empty where the scheme has none.

    Systems: snomed; scp (PTB-XL's statements); aami (MIT-BIH beats such as ``V``, rhythms such as ``(AFIB``); cpsc
    (its classes 1 to 9); hefei (its class names); text (a phrase of LUDB's diagnoses).
    """
    if system == "snomed":
        label = load_scheme().by_code.get(code)
        return (label.code,) if label else ()
    if system == "text":
        return _source_codes().get((system, _phrase(code)), ())
    return _source_codes().get((system, code), ())


def phrases() -> dict[str, tuple[str, ...]]:
    """Give the phrases of LUDB's diagnoses with the codes they stand for."""
    return {code: found for (system, code), found in _source_codes().items() if system == "text"}


def _phrase(text: str) -> str:
    """``Rhythm: Sinus rhythm.`` -> ``sinus rhythm``; ``STEMI: apical.`` -> ``stemi``: the heading goes, or the site."""
    head, _, tail = text.strip().rstrip(".").lower().partition(":")
    headed = head in ("rhythm", "electric axis of the heart")
    return (tail if headed else head).split(",")[0].strip()


def abnormal(codes: Iterable[str]) -> bool | None:
    """Say whether statements make a recording abnormal.

    True if any of them is abnormal; False if all are known and normal; None if there is none or, with no abnormal one,
    one that the scheme doesn't know.
    """
    by_code = load_scheme().by_code
    normals = [by_code[code].normal if code in by_code else None for code in codes]
    if False in normals:
        return True
    return None if None in normals or not normals else False


def abnormal_source(source_codes: Iterable[SourceCode]) -> bool | None:
    """Say whether a source's statements make its recording abnormal; one that can't be mapped may be anything.

    A beat that stands for nothing (AAMI ``N``) says nothing.
    """
    codes: list[str] = []
    for source in source_codes:
        mapped = map_code(source.system, source.code)
        silent = not mapped and source.system == "aami"
        codes.extend(mapped if mapped or silent else (f"{source.system} {source.code}",))
    return abnormal(codes)


def clashes(codes: Iterable[str]) -> list[str]:
    """Say in words which statements can't hold together, for a warning."""
    codes, by_code = list(codes), load_scheme().by_code
    unknown = [code for code in codes if code not in by_code]
    if unknown:
        raise LabelError(f"Codes {', '.join(unknown)} are not in the scheme {SCHEME_VERSION}; choose from its labels")
    held = {by_code[code].code: by_code[code] for code in codes}
    pairs = [(first, second) for first, second in clashing_pairs() if first in held and second in held]
    return [f"{held[first].name} and {held[second].name} can't both hold" for first, second in pairs]


@functools.cache
def clashing_pairs() -> tuple[tuple[str, str], ...]:
    """All pairs of codes that can't hold together."""
    pairs = list(_EXCLUSIVE)
    pairs += [(sinus, other) for sinus in _SINUS for other in _SUSTAINED]
    pairs += [(NORMAL_ECG, label.code) for label in load_scheme().labels if not label.normal]
    return tuple(pairs)
