"""Statements as a short English report, and the statements that an English report makes. No torch.

A report has one wording a statement and one order: rhythm, conduction, voltage and hypertrophy, infarction and
ischaemia, the rest, the conclusion. Several wordings would be learned too, but which of them a reader would have chosen
is in no waveform: they would cost the text task, and generation would say the most frequent one all the same.
"""

import functools
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from ecgfm_core import labels
from ecgfm_core.errors import LabelError
from ecgfm_core.labels import Label, load_scheme

POSSIBLE, PROBABLE, ACUTE, OLD = "possible", "probable", "acute", "old"
QUALIFIERS = ("", POSSIBLE, PROBABLE, ACUTE, OLD)
_ABSENT = "absent"

# Groups of the scheme that share a sentence, in the order in which a report is read.
_SECTIONS = (
    ("rhythm", "pacing", "ectopy"),
    ("conduction", "axis"),
    ("QRS", "hypertrophy"),
    ("infarction", "ischaemia", "ST-T"),
    ("other",),
    ("normal",),
)
_PROPER = ("Wolff",)

# Too common in other meanings: PR interval, IR leads, "at rest", normal axis.
_AMBIGUOUS = frozenset(
    ("ab", "ah", "ap", "at", "cd", "cr", "fb", "ir", "je", "normal", "pace", "pr", "sa", "sinus", "vh")
)
_MORE = {
    "164854000": ("normal electrocardiogram", "no abnormality", "no significant abnormality"),
    "426177001": ("slow sinus rhythm",),
    "427084000": ("fast sinus rhythm", "rapid sinus rhythm"),
    "10370003": ("pacemaker rhythm", "paced rhythm"),
    "284470004": (
        "premature atrial beat", "premature atrial contraction", "atrial premature beat", "atrial premature complex",
        "premature supraventricular beat", "supraventricular premature beat", "supraventricular ectopic",
        "atrial ectopy",
    ),
    "427172004": (
        "premature ventricular beat", "premature ventricular contraction", "ventricular premature beat",
        "ventricular premature complex", "ventricular ectopy",
    ),
    "195042002": ("second degree block",),
    "713427006": ("complete rbbb",),
    "164909002": ("complete lbbb",),
    "713426002": ("incomplete rbbb", "partial right bundle branch block"),
    "251120003": ("incomplete lbbb", "partial left bundle branch block"),
    "698252002": ("intraventricular conduction delay", "intraventricular conduction disturbance"),
    "111975006": ("prolonged qt", "prolonged qtc", "prolonged qtc interval", "long qtc", "qt prolongation"),
    "77867006": ("short qt",),
    "49578007": ("short pr",),
    "164947007": ("prolonged pr", "pr prolongation"),
    "54329005": ("anteroseptal myocardial infarction", "anterolateral myocardial infarction", "anterior mi"),
    "73795002": ("inferolateral myocardial infarction", "inferior mi"),
    "429622005": ("st segment depression", "depressed st"),
    "164931005": ("st segment elevation", "elevated st"),
    "164934002": ("t wave abnormality", "t wave changes", "flat t wave"),
    "59931005": ("t inversion", "inverted t wave", "negative t wave"),
    "428750005": ("non-specific st-t changes", "non-specific st-t wave changes"),
    "55930002": ("st-t abnormality", "st-t wave changes"),
}  # fmt: skip
_SAME_WORD = {
    "atrioventricular": "av", "1st": "first", "2nd": "second", "3rd": "third", "infarct": "infarction", "ekg": "ecg",
}  # fmt: skip

_TOKEN = re.compile(r"[^\W_]+(?:['’][^\W_]+)?|[.;,?\n]")
_CLAUSE_ENDS = frozenset((".", ";", "\n", "but", "however", "although", "though", "except"))
_FILLER = r"(?: (?!(?:and|with|but|which|show)\b)\w+){0,4}$"
_OPEN = r"(?:can ?not|not)(?: be)? (?:exclude|excluded|rule out|ruled out)"
_DOUBT = (
    "possible|possibly|suspected|suspicion|suspiciou|consider|questionable|may|might|could|maybe|rule out|to exclude"
)
_DENIAL = "no|not|without|nor|neither|never|absence of|absent|unlikely|negative for|free of"
_IS = r"^(?:(?:is|are|wa|were|ha|have|been) )*"
# Words are folded before they are looked for: "was" is "wa", "previous" is "previou".
_BEFORE = (
    (POSSIBLE, re.compile(rf"(?:\b(?:{_DOUBT}|{_OPEN})\b|\?){_FILLER}")),
    (PROBABLE, re.compile(rf"\b(?:probable|probably|likely|presumably|presumed){_FILLER}")),
    (_ABSENT, re.compile(rf"\b(?:{_DENIAL}){_FILLER}")),
    (ACUTE, re.compile(r"\b(?:acute|recent)$")),
    (OLD, re.compile(r"\b(?:old|previou|prior)$")),
)
_AFTER = (
    (POSSIBLE, re.compile(rf"{_IS}(?:\?|(?:possible|suspected|questionable)\b|{_OPEN})")),
    (PROBABLE, re.compile(rf"{_IS}(?:probable|likely)\b")),
    (_ABSENT, re.compile(rf"{_IS}(?:not|absent|excluded|ruled out|resolved|unlikely)\b")),
)
_LIST = frozenset((",", "or", "nor", "any"))


def sentence(statements: Iterable[str] | Mapping[str, str]) -> str:
    """Write statements as a report: ``Sinus rhythm. Left axis deviation. Possible inferior myocardial infarction.``

    Parameters
    ----------
    statements : codes of the scheme, or codes with a qualifier each; none gives an empty text

    Raises
    ------
    LabelError
        If a code or a qualifier is unknown.
    """
    qualified = dict(statements) if isinstance(statements, Mapping) else dict.fromkeys(statements, "")
    held = {_known(code).code: _qualifier(qualifier) for code, qualifier in qualified.items()}
    written = []
    for section in _SECTIONS:
        parts = [
            f"{held[label.code]} {_prose(label)}".lstrip()
            for label in load_scheme().labels
            if label.group in section and label.code in held
        ]
        if parts:
            joined = " and ".join([", ".join(parts[:-1]), parts[-1]] if parts[1:] else parts)
            written.append(f"{joined[0].upper()}{joined[1:]}.")
    return " ".join(written)


def statements_in(text: str) -> dict[str, str]:
    """Find what an English report states: code -> qualifier (empty where it is certain), in the order of the text.

    Names, abbreviations and synonyms of the scheme are found as whole words, the longest first, so that "incomplete
    right bundle branch block" is that alone. What is denied ("no ST elevation or Q waves") is left out; doubt becomes
    `POSSIBLE` or `PROBABLE`.
    """
    found: dict[str, str] = {}
    for clause in _clauses(text):
        for code, qualifier in _qualified(clause):
            if qualifier != _ABSENT and (code not in found or not qualifier):
                found[code] = qualifier
    return found


def certain(text: str) -> frozenset[str]:
    """Give the codes that a report states without calling them merely possible."""
    return frozenset(code for code, qualifier in statements_in(text).items() if qualifier != POSSIBLE)


def _known(code: str) -> Label:
    label = load_scheme().by_code.get(code)
    if label is None:
        raise LabelError(f"Code {code!r} is not in the scheme {labels.SCHEME_VERSION}; choose from its labels")
    return label


def _qualifier(qualifier: str) -> str:
    if qualifier not in QUALIFIERS:
        raise LabelError(f"Qualifier {qualifier!r} is unknown; none or one of {', '.join(QUALIFIERS[1:])} is allowed")
    return qualifier


def _prose(label: Label) -> str:
    """``AV block, degree not stated`` -> ``AV block (degree not stated)``, small letters where English has them."""
    name, comma, detail = label.name.partition(", ")
    first = name.split()[0]
    kept = first.isupper() or first.startswith(_PROPER)
    return (name if kept else name[0].lower() + name[1:]) + (f" ({detail})" if comma else "")


@dataclass(frozen=True)
class _Found:
    """A phrase in a clause: its tokens from `start` up to `end`."""

    start: int
    end: int
    code: str


def _clauses(text: str) -> Iterator[list[tuple[str, str]]]:
    """Cut a text into clauses of tokens, each as it stands and folded; no statement and no denial crosses their end."""
    plain = re.sub(r"\bnonspecific", "non-specific", unicodedata.normalize("NFKC", text), flags=re.IGNORECASE)
    plain = re.sub(r"[(:]", ",", plain).replace(")", " ")
    clause: list[tuple[str, str]] = []
    for raw in _TOKEN.findall(plain):
        if (folded := _fold(raw)) in _CLAUSE_ENDS:
            yield clause
            clause = []
        else:
            clause.append((raw, folded))
    yield clause


def _fold(word: str) -> str:
    """Give the form in which words are compared: small letters, American spelling, no plural."""
    word = word.casefold().replace("aemi", "emi").replace("isation", "ization")
    if len(word) > 3:
        word = re.sub(r"(?<=x)es$|(?<!s)s$", "", re.sub(r"ies$", "y", word))
    return _SAME_WORD.get(word, word)


def _key(phrase: str) -> tuple[str, ...]:
    return tuple(_fold(token) for token in _TOKEN.findall(phrase))


@functools.cache
def _phrases() -> dict[tuple[str, ...], str]:
    """Every phrase that names a statement; where two name the same, the scheme's own name wins."""
    scheme = load_scheme().labels
    sources = [
        [(label.name, label.code) for label in scheme],
        [(phrase, label.code) for label in scheme for phrase in label.synonyms if phrase not in _AMBIGUOUS],
        [(phrase, codes[0]) for phrase, codes in labels.phrases().items()],
        [(phrase, code) for code, phrases in _MORE.items() for phrase in phrases],
        [(label.name.partition(", ")[0], label.code) for label in scheme],
    ]
    known: dict[tuple[str, ...], str] = {}
    for phrase, code in (pair for source in sources for pair in source):
        key = _key(phrase)
        known.setdefault(key, code)
        if "myocardial" in key:
            known.setdefault(tuple(word for word in key if word != "myocardial"), code)
    return known


@functools.cache
def _abbreviations() -> dict[str, str]:
    """Abbreviations as they are written; those of three letters or more in small letters too."""
    known: dict[str, str] = {}
    for label in load_scheme().labels:
        short = label.abbreviation
        if short.casefold() not in _AMBIGUOUS:
            spellings = {short, short.upper()} | ({short.casefold()} if len(short) > 2 else set())
            known |= {form: label.code for one in spellings for form in (one, f"{one}s")}
    return known


def _phrases_of(clause: list[tuple[str, str]]) -> list[_Found]:
    """Find phrases that share no word, the longest first; in the order of the clause."""
    phrases, folded = _phrases(), tuple(word for _, word in clause)
    longest = max(map(len, phrases))
    found = [
        _Found(start, start + length, phrases[folded[start : start + length]])
        for start in range(len(folded))
        for length in range(1, min(longest, len(folded) - start) + 1)
        if folded[start : start + length] in phrases
    ]
    found += [_Found(n, n + 1, code) for n, (raw, _) in enumerate(clause) if (code := _abbreviations().get(raw))]
    taken: set[int] = set()
    kept = []
    for one in sorted(found, key=lambda one: one.start - one.end):
        if taken.isdisjoint(range(one.start, one.end)):
            taken.update(range(one.start, one.end))
            kept.append(one)
    return sorted(kept, key=lambda one: one.start)


def _qualified(clause: list[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Give each statement of a clause with its qualifier, or `_ABSENT`."""
    found, words = _phrases_of(clause), [folded for _, folded in clause]
    qualifier = ""
    for place, one in enumerate(found):
        before = words[found[place - 1].end if place else 0 : one.start]
        after = words[one.end : found[place + 1].start if place + 1 < len(found) else len(words)]
        if not (place and qualifier and _is_listed(found, place, words)):
            qualifier = _cue(_BEFORE, before) or _cue(_AFTER, after)
        yield one.code, qualifier


def _cue(cues: tuple[tuple[str, re.Pattern[str]], ...], words: list[str]) -> str:
    text = " ".join(words)
    return next((qualifier for qualifier, pattern in cues if pattern.search(text)), "")


def _is_listed(found: list[_Found], place: int, words: list[str]) -> bool:
    """Say whether what was said of the statement before holds here too: ``no A, B or C``, but not ``no A, B``."""
    for before, one in zip(found[place - 1 :], found[place:], strict=False):
        between = words[before.end : one.start]
        if not between or not set(between) <= _LIST:
            return False
        if {"or", "nor"} & set(between):
            return True
    return False
