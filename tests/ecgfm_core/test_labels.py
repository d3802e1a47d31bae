"""The label scheme, what other codes become, and normal or abnormal by rule."""

import pytest

from ecgfm_core import labels
from ecgfm_core.errors import LabelError
from ecgfm_core.recording import SourceCode

SINUS, FIBRILLATION, RBBB, LBBB, PVC = "426783006", "164889003", "713427006", "164909002", "427172004"
SCHEME = labels.load_scheme()
SCP = (
    "NDT NST_ DIG LNGQT NORM IMI ASMI LVH LAFB ISC_ IRBBB 1AVB IVCD ISCAL CRBBB CLBBB ILMI LAO/LAE AMI ALMI ISCIN "
    "INJAS LMI ISCIL LPFB ISCAS INJAL ISCLA RVH ANEUR RAO/RAE EL WPW ILBBB IPLMI ISCAN IPMI SEHYP INJIN INJLA PMI "
    "3AVB INJIL 2AVB ABQRS PVC STD_ VCLVH QWAVE LOWT NT_ PAC LPR INVT LVOLT HVOLT TAB_ STE_ PRC(S) SR AFIB STACH SARRH "
    "SBRAD PACE SVARR BIGU AFLT SVTAC PSVT TRIGU "
)


def test_every_label_fits_its_row() -> None:
    assert SCHEME.version
    for label in SCHEME.labels:
        assert label.code.isdigit()
        assert len(label.code) <= 20
        assert 0 < len(label.abbreviation) <= 20
        assert 0 < len(label.name) <= 120
        assert 0 < len(label.group) <= 40
        assert all(0 < len(synonym) <= 120 for synonym in label.synonyms)


def test_no_code_abbreviation_name_or_synonym_is_two_things() -> None:
    codes = [code for label in SCHEME.labels for code in (label.code, *label.same_as)]
    assert len(codes) == len(set(codes)) == len(SCHEME.by_code)
    for of in ("abbreviation", "name"):
        values = [getattr(label, of).lower() for label in SCHEME.labels]
        assert len(values) == len(set(values))
    typed = [word for one in SCHEME.labels for word in {one.abbreviation.lower(), one.name.lower(), *one.synonyms}]
    assert sorted({word for word in typed if typed.count(word) > 1}) == []


def test_the_27_scored_statements_are_24_labels() -> None:
    scored = [label for label in SCHEME.labels if label.scored]
    assert len(scored) == 24
    assert sum(1 + len(label.same_as) for label in scored if label.code not in (PVC, LBBB)) == 24
    assert labels.map_code("snomed", "59118001") == (RBBB,)
    assert labels.map_code("snomed", "63593006") == ("284470004",)
    assert labels.map_code("snomed", "17338001") == (PVC,)


def test_only_sinus_rhythm_its_arrhythmia_and_a_normal_ecg_are_normal() -> None:
    assert {label.abbreviation for label in SCHEME.labels if label.normal} == {"NORM", "NSR", "SA"}


def test_every_statement_of_ptbxl_has_a_label() -> None:
    codes = SCP.split()
    assert len(set(codes)) == 71
    for code in codes:
        mapped = labels.map_code("scp", code)
        assert mapped
        assert set(mapped) <= set(SCHEME.by_code)


@pytest.mark.parametrize(
    ("system", "code", "expected"),
    [
        ("scp", "AFIB", FIBRILLATION),
        ("scp", "NORM", labels.NORMAL_ECG),
        ("scp", "CRBBB", RBBB),
        ("aami", "V", PVC),
        ("aami", "R", RBBB),
        ("aami", "/", "10370003"),
        ("aami", "(AFIB", FIBRILLATION),
        ("aami", "(B", "11157007"),
        ("aami", "B", "6374002"),
        ("cpsc", "2", FIBRILLATION),
        ("hefei", "心房颤动", FIBRILLATION),
        ("text", "Rhythm: Sinus rhythm.", SINUS),
        ("text", "Rhythm: Atrial flutter, typical.", "164890007"),
        ("text", "Ventricular extrasystole, type: single PVC. ", PVC),
        ("text", "Electric axis of the heart: left axis deviation.", "39732003"),
    ],
)
def test_codes_of_other_systems(system: str, code: str, expected: str) -> None:
    assert labels.map_code(system, code) == (expected,)


@pytest.mark.parametrize(("system", "code"), [("snomed", "1"), ("scp", "XYZ"), ("aami", "N"), ("astrology", "1")])
def test_what_has_no_label_maps_to_nothing(system: str, code: str) -> None:
    assert labels.map_code(system, code) == ()


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        ([], None),
        ([SINUS], False),
        ([SINUS, labels.NORMAL_ECG], False),
        ([SINUS, PVC], True),
        (["17338001"], True),
        (["unknown"], None),
        ([SINUS, "unknown"], None),
        ([PVC, "unknown"], True),
    ],
)
def test_normal_or_abnormal_follows_from_the_statements(codes: list[str], expected: bool | None) -> None:
    assert labels.abnormal(codes) is expected
    assert labels.abnormal(iter(codes)) is expected


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        ([("scp", "NORM"), ("scp", "SR")], False),
        ([("scp", "SR"), ("scp", "NEW")], None),
        ([("aami", "N"), ("aami", "(N")], False),
        ([("aami", "N")], None),
        ([("aami", "N"), ("aami", "V")], True),
        ([("snomed", "426783006"), ("snomed", "999")], None),
        ([("quality", "acceptable")], None),
    ],
)
def test_a_source_statement_that_is_not_known_may_be_anything(
    codes: list[tuple[str, str]], expected: bool | None
) -> None:
    assert labels.abnormal_source(SourceCode(*code) for code in codes) is expected


def test_clashes_are_told_in_words() -> None:
    assert labels.clashes([SINUS, FIBRILLATION]) == ["Sinus rhythm and Atrial fibrillation can't both hold"]
    assert labels.clashes([LBBB, "59118001"]) == [
        "Complete right bundle branch block and Left bundle branch block can't both hold"
    ]
    assert labels.clashes(iter([labels.NORMAL_ECG, PVC])) == [
        "Normal ECG and Premature ventricular complex can't both hold"
    ]


def test_what_can_hold_together_does_not_clash() -> None:
    assert labels.clashes([SINUS, PVC, RBBB]) == []
    assert labels.clashes([labels.NORMAL_ECG, SINUS]) == []
    assert labels.clashes([]) == []


def test_an_unknown_code_can_t_be_checked() -> None:
    with pytest.raises(LabelError, match="123"):
        labels.clashes(["123"])


def test_clashing_pairs_are_labels_and_never_the_same() -> None:
    codes = {label.code for label in SCHEME.labels}
    assert all(first != second and {first, second} <= codes for first, second in labels.clashing_pairs())
