"""What the comments of a WFDB header say of patient and diagnosis, in the dialects that public sets use."""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from ecgfm_core.recording import AGE_YEARS_RANGE, SourceCode

_SEXES = {"m": "M", "male": "M", "man": "M", "f": "F", "female": "F", "woman": "F"}
_SILENT = ("", "unknown", "nan", "n/a", "na", "none", "-", "?", "no", "(none)")
# `Age: 51`, `<age>: 51` and, on one line, `<age>: 25  <sex>: M  <diagnoses>: (none)`
_FIELD = re.compile(r"<(?P<tag>[^>]+)>\s*:?(?P<tagged>[^<]*)|^(?P<key>[A-Za-z][^:]{0,60}):(?P<value>.*)$")
_MITDB = re.compile(r"(?P<age>-?\d{1,3})\s+(?P<sex>[MF])\s+\d+\s+\d+\s+x\d")
# Headings of the PTB database whose text is a diagnosis.
_PTB_KEYS = (
    "reason for admission",
    "acute infarction (localization)",
    "former infarction (localization)",
    "additional diagnoses",
)
# LUDB's positions of the heart that are no finding.
_AXIS_NORMAL = re.compile(r"electric axis of the heart:\s*(normal|vertical|horizontal)\b", re.IGNORECASE)


@dataclass
class Facts:
    """What comments told."""

    age_years: float | None = None
    sex: str = ""
    patient_key: str = ""
    centre: str = ""
    source_codes: list[SourceCode] = field(default_factory=list)
    report: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def read_comments(comments: Sequence[str]) -> Facts:
    """Read age, sex, patient, centre, SNOMED CT codes (`Dx`), diagnoses in words and report; the rest is left."""
    facts, in_diagnoses = Facts(), False
    for comment in comments:
        mitdb = _MITDB.match(comment)
        if mitdb:
            facts.age_years, facts.sex = read_age(mitdb["age"], facts.remarks), mitdb["sex"]
        elif in_diagnoses and not comment.startswith("<"):
            _diagnosis(comment, facts)
        else:
            for key, value in _fields(comment):
                _take(key, value, facts)
                in_diagnoses = key == "diagnoses" and not value
    facts.source_codes = list(dict.fromkeys(facts.source_codes))
    return facts


def _fields(comment: str) -> Iterable[tuple[str, str]]:
    for match in _FIELD.finditer(comment):
        key, value = match["tag"] or match["key"], match["tagged"] or match["value"] or ""
        yield key.strip().lower(), value.strip()


def _take(key: str, value: str, facts: Facts) -> None:
    if key == "age":
        facts.age_years = read_age(value, facts.remarks)
    elif key == "sex":
        facts.sex = read_sex(value, facts.remarks)
    elif key == "patient":
        facts.patient_key = value[:200]
    elif key == "centre":
        facts.centre = value[:60]
    elif key == "dx":
        codes = [code.strip() for code in value.split(",")]
        facts.source_codes += [SourceCode("snomed", code[:60]) for code in codes if code.lower() not in _SILENT]
    elif key == "diagnoses" and value.lower() not in _SILENT:
        _diagnosis(value, facts)
    elif key in _PTB_KEYS and value.lower() not in _SILENT:
        facts.report.append(f"{key.capitalize()}: {value}.")
    elif key in ("diagnosis report", "report", "diagnosis") and value:
        facts.report.append(value)


def _diagnosis(text: str, facts: Facts) -> None:
    text = text.strip()
    if text:
        facts.report.append(text)
        if not _AXIS_NORMAL.match(text):
            facts.source_codes.append(SourceCode("text", text.rstrip(".")[:60]))


def read_age(text: str, remarks: list[str]) -> float | None:
    """Read an age in years; what can't be one becomes None with a remark."""
    if text.strip().lower() in _SILENT:
        return None
    try:
        age = float(text)
    except ValueError:
        age = math.nan
    if AGE_YEARS_RANGE[0] <= age <= AGE_YEARS_RANGE[1]:
        return age
    if not math.isnan(age) and age != -1:
        remarks.append(f"age {age:g} left out; {AGE_YEARS_RANGE[0]:g} to {AGE_YEARS_RANGE[1]:g} years are believed")
    elif math.isnan(age):
        remarks.append(f"age {text[:30]!r} left out; a number of years is needed")
    return None


def read_sex(text: str, remarks: list[str]) -> str:
    """Read a sex as F, M or empty; anything else is left out with a remark."""
    bare = text.strip().lower()
    if bare not in _SEXES and bare not in _SILENT:
        remarks.append(f"sex {text[:30]!r} left out; female or male is understood")
    return _SEXES.get(bare, "")
