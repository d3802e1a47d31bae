"""Lead names and derived leads."""

import numpy as np
import pytest

from ecgfm_core import leads
from ecgfm_core.errors import RecordingError


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("i", "I"),
        ("avr", "aVR"),
        ("AVL", "aVL"),
        ("v3", "V3"),
        ("Lead ii", "II"),
        ("ECG V2", "V2"),
        (" mlii ", "MLII"),
        ("vx", "Vx"),
        ("ABP", "ABP"),
        ("sig 0, fmt 8", "sig 0, fmt 8"),
    ],
)
def test_names_get_their_usual_spelling(given: str, expected: str) -> None:
    assert leads.canonical_name(given) == expected
    assert leads.canonical_name(expected) == expected


@pytest.mark.parametrize("name", ["V", "ECG 1", "ecg", "MLII", "avf", "V4R"])
def test_ecg_leads_are_known(name: str) -> None:
    assert leads.is_ecg_name(name)


@pytest.mark.parametrize("name", ["ABP", "PLETH", "Resp", "col 0", ""])
def test_other_signals_are_no_ecg_by_name(name: str) -> None:
    assert not leads.is_ecg_name(name)


def test_four_leads_follow_from_two() -> None:
    first, second = np.array([1.0, 2.0, -1.0], np.float32), np.array([0.5, 3.0, 0.0], np.float32)
    derived = leads.derive(("II", "I"), np.stack([second, first]))
    assert derived.shape == (12, 3)
    assert derived.dtype == np.float32
    rows = dict(zip(leads.STANDARD_LEADS, derived, strict=True))
    np.testing.assert_allclose(rows["III"], second - first)
    np.testing.assert_allclose(rows["aVR"], -(first + second) / 2)
    np.testing.assert_allclose(rows["aVL"], first - second / 2)
    np.testing.assert_allclose(rows["aVF"], second - first / 2)
    assert np.isnan(rows["V1"]).all()
    np.testing.assert_allclose(rows["aVR"] + rows["aVL"] + rows["aVF"], 0, atol=1e-6)


def test_a_recorded_lead_is_not_worked_out_again() -> None:
    recorded = np.array([[1, 1], [1, 1], [9, 9]], np.float32)
    assert leads.derive(("I", "II", "III"), recorded, ("III",)).tolist() == [[9, 9]]


def test_missing_samples_stay_missing_in_what_follows_from_them() -> None:
    given = np.array([[1, np.nan], [1, 1]], np.float32)
    assert np.isnan(leads.derive(("I", "II"), given, ("III",))).tolist() == [[False, True]]


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("ii", "II"),
        ("mlii", "II"),
        ("MLI", "I"),
        ("MV1", "V1"),
        ("MCL1", "V1"),
        ("CM5", "V5"),
        ("vf", "aVF"),
        ("Vz", None),
        ("ABP", None),
    ],
)
def test_a_monitors_lead_stands_for_the_standard_lead_it_is_near(name: str, nearest: str | None) -> None:
    assert leads.nearest_standard(name) == nearest


def test_the_true_lead_goes_before_one_that_is_near_and_none_comes_twice() -> None:
    assert leads.as_standard(("MLII", "V1", "II")) == ("", "V1", "II")
    assert leads.as_standard(("CM5", "CC5", "Vx")) == ("V5", "", "")
    assert leads.as_standard(("I", "i")) == ("I", "")


def test_a_chosen_set_holds_what_follows_from_it() -> None:
    assert leads.choose("v2, ii,I") == ("I", "II", "III", "aVR", "aVL", "aVF", "V2")
    assert leads.choose("MLII") == ("II",)
    assert leads.complete({"I", "V1"}) == ("I", "V1")
    with pytest.raises(RecordingError, match="Leads 'II,Vz': 'Vz' is no lead known here; I, II, III"):
        leads.choose("II,Vz")
