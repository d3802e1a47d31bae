"""Statements become a report and are found in it again; what English reports say otherwise is found too."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgfm_core import labels
from ecgfm_core.datasets.simulated.conditions import CONDITIONS, check, codes_of
from ecgfm_core.datasets.simulated.reports import write_report
from ecgfm_core.errors import LabelError
from ecgfm_core.reports import ACUTE, OLD, POSSIBLE, PROBABLE, certain, sentence, statements_in

LABELS = labels.load_scheme().labels
CODES = [label.code for label in LABELS]
CODE = {label.abbreviation: label.code for label in LABELS}


@st.composite
def believable(draw: st.DrawFn) -> list[str]:
    """Codes of the scheme in any order, none of which contradicts another."""
    kept: list[str] = []
    for code in draw(st.lists(st.sampled_from(CODES), unique=True, max_size=12)):
        if not labels.clashes([*kept, code]):
            kept.append(code)
    return kept


@settings(max_examples=300, deadline=None)
@given(believable())
def test_what_is_written_is_found_again(codes: list[str]) -> None:
    assert statements_in(sentence(codes)) == dict.fromkeys(codes, "")


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from(CODES), st.sampled_from(["", POSSIBLE, PROBABLE]), max_size=6))
def test_doubt_is_found_again(statements: dict[str, str]) -> None:
    assert statements_in(sentence(statements)) == statements


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=200))
def test_any_text_is_read(text: str) -> None:
    assert set(statements_in(text)) <= set(CODES)


def test_every_statement_beside_every_other_is_found_as_these_two() -> None:
    for first, second in itertools.combinations_with_replacement(CODES, 2):
        assert set(statements_in(sentence([first, second]))) == {first, second}


def test_a_report_reads_from_rhythm_to_conclusion() -> None:
    codes = [CODE[short] for short in ("InMI", "LVH", "LAD", "IAVB", "PVC", "NSR")]
    assert sentence(codes) == (
        "Sinus rhythm and premature ventricular complex. First-degree AV block and left axis deviation. "
        "Left ventricular hypertrophy. Inferior myocardial infarction."
    )
    assert sentence(reversed(codes)) == sentence(codes)
    assert sentence([CODE["NORM"], CODE["NSR"]]) == "Sinus rhythm. Normal ECG."
    assert sentence([CODE["BBB"], CODE["LQT"], CODE["MoI"]]) == (
        "Second-degree AV block (Mobitz I), bundle branch block (side not stated) and prolonged QT interval."
    )
    assert sentence({CODE["LVH"]: POSSIBLE, CODE["InMI"]: OLD}) == (
        "Possible left ventricular hypertrophy. Old inferior myocardial infarction."
    )
    assert sentence(["59118001"]) == sentence([CODE["RBBB"]])  # a code that means the same
    assert sentence([]) == ""


def test_unknown_codes_and_qualifiers_are_refused() -> None:
    with pytest.raises(LabelError, match="'12' is not in the scheme"):
        sentence(["12"])
    with pytest.raises(LabelError, match="'maybe' is unknown"):
        sentence({CODES[0]: "maybe"})


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("left bundle branch block", {"LBBB": ""}),
        ("incomplete RBBB", {"IRBBB": ""}),
        ("Bundle branch block", {"BBB": ""}),
        ("1st degree atrioventricular block, PVCs", {"IAVB": "", "PVC": ""}),
        ("Sinus bradycardia", {"SB": ""}),
        ("Nonspecific ST-T changes; T-wave inversions", {"NSSTTA": "", "TInv": ""}),
        ("acute ischemia", {"AMIs": ""}),
        ("old anterior infarct", {"AnMI": OLD}),
        ("Acute inferior MI", {"InMI": ACUTE}),
        ("PR interval 180 ms, normal axis, QRS 92 ms, at rest", {}),
        ("Abnormal ECG", {}),
        ("Not a normal ECG.", {}),
        ("", {}),
        ("心房颤动", {}),
        ("sinusrhythmus, normales ekg", {}),
    ],
)
def test_names_abbreviations_and_synonyms_are_found_longest_first(text: str, found: dict[str, str]) -> None:
    assert statements_in(text) == {CODE[short]: qualifier for short, qualifier in found.items()}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("No ST elevation", {}),
        ("no evidence of acute ischemia", {}),
        ("without ST elevation, ST depression or T wave inversion", {}),
        ("no ST elevation, sinus rhythm", {"NSR": ""}),
        ("no ST elevation and sinus rhythm", {"NSR": ""}),
        ("Sinus rhythm without ST elevation but with T wave inversion", {"NSR": "", "TInv": ""}),
        ("ST elevation is not seen", {}),
        ("No ST elevation in V1. ST elevation in V3", {"STE": ""}),
        ("ST elevation in V3. No ST elevation in V1", {"STE": ""}),
        ("LVH unlikely", {}),
    ],
)
def test_what_is_denied_is_not_stated(text: str, found: dict[str, str]) -> None:
    assert statements_in(text) == {CODE[short]: qualifier for short, qualifier in found.items()}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("possible LVH", {"LVH": POSSIBLE}),
        ("Possible LVH or LAE", {"LVH": POSSIBLE, "LAE": POSSIBLE}),
        ("probable LVH and possible LAE", {"LVH": PROBABLE, "LAE": POSSIBLE}),
        ("LVH?", {"LVH": POSSIBLE}),
        ("inferior infarct cannot be excluded", {"InMI": POSSIBLE}),
        ("cannot rule out inferior infarct", {"InMI": POSSIBLE}),
        ("ST depression, consider ischaemia", {"STD": "", "MIs": POSSIBLE}),
        ("possible LVH. LVH", {"LVH": ""}),
        ("LVH. Possible LVH", {"LVH": ""}),
    ],
)
def test_doubt_is_kept(text: str, found: dict[str, str]) -> None:
    assert statements_in(text) == {CODE[short]: qualifier for short, qualifier in found.items()}
    assert certain(text) == {CODE[short] for short, qualifier in found.items() if qualifier != POSSIBLE}


def test_names_and_synonyms_lead_to_their_own_label() -> None:
    lost = {
        phrase
        for label in LABELS
        for phrase in (label.name, label.abbreviation, *label.synonyms)
        if set(statements_in(phrase)) != {label.code}
    }
    # Common words that mean something else in a report: PR interval, normal axis, at rest.
    assert lost == {"normal", "sinus", "SA", "at", "JE", "IR", "CD", "PR", "pace", "AP", "AB", "FB", "CR", "VH", "AH"}


@pytest.mark.parametrize("name", CONDITIONS)
def test_the_words_of_simulated_reports_are_understood(name: str) -> None:
    for seed in range(8):
        names = check([name])
        text = write_report(names, 70, {"PR interval": 160}, np.random.default_rng(seed))
        assert set(codes_of(names)) <= set(statements_in(text)), text
