"""A round's report as people read it: sections in words, and what was not measured said so."""

import pytest
from django.urls import reverse

from annotator.models import Checkpoint, Role, Round
from annotator.pages.manage.report import report_sections
from annotator.selectors.agreement import agreement, anchoring, final_reads
from annotator.selectors.shares import krippendorff_alpha
from annotator.services import measuring, rounds
from tests.annotator.gate_world import checkpoint, frozen_split, score
from tests.annotator.reading_world import AF, SINUS, make_round, person, read, says

SHARE = {"count": 3, "of": 8, "share": 0.375, "interval_95": [0.137, 0.694]}
NONE = {"count": 0, "of": 0, "share": None, "interval_95": None}
ESTIMATE = {
    "audit": {"corrected": 3, "read": 8},
    "before": [0.375, 0.15, 0.66], "after": [0.05, 0.03, 0.07], "remaining": [45.0, 30.0, 60.0], "unread": 900,
    "read": 20, "by": "audit and scores", "reader_error": None,
}  # fmt: skip


def lines(report: dict, estimate: dict | None = None) -> dict[str, tuple[str, str]]:
    found = report_sections(report, estimate or {})
    return {line.name: (line.value, line.note) for section in found for line in section.lines}


def test_krippendorffs_own_example():
    """Four observers, twelve units, with gaps: alpha 0.743 for nominal data (Krippendorff 2011)."""
    table = [
        "111", "2232", "3333", "3333", "2222", "1234", "4444", "1121", "2222", "555", "11", "3",
    ]  # fmt: skip
    assert krippendorff_alpha(table) == pytest.approx(0.743, abs=5e-4)
    assert krippendorff_alpha([]) is None
    assert krippendorff_alpha(["aa", "aa"]) is None
    assert krippendorff_alpha(["ab", "ab"]) < 0


def test_shares_have_counts_and_intervals():
    report = {
        "corrections": SHARE, "error_rate": SHARE, "overall": {"normal": 5, "abnormal": 3},
        "agreement": {"overall": SHARE, "pairs": [], "alpha_overall": None},
        "readers": [{"reader": "ada", "answers": 8, "median_s": 31.2}],
        "control_accuracy": {"overall": SHARE, "readers": []},
    }  # fmt: skip
    found = lines(report)
    assert found["Corrected"] == ("37.5 % (95 % 13.7 to 69.4 %)", "3 of 8 of the recordings with a result")
    assert found["Wrong labels before"] == ("37.5 % (95 % 13.7 to 69.4 %)", "3 of 8 drawn at random")
    assert found["Wrong labels after"][0] == "Being estimated"
    assert found["Right on controls"][0].startswith("37.5 %")
    assert found["Readers agree with themselves"][0] == "Not measured"
    assert found["Results"][0] == "3 abnormal, 5 normal"
    found = lines(report, ESTIMATE)
    assert found["Wrong labels before"][0] == "37.5 % (95 % 15.0 to 66.0 %)"
    assert found["Wrong labels after"] == (
        "5.0 % (95 % 3.0 to 7.0 %)",
        "estimated: 45 of 900 unread, by audit and scores; the 20 read count as right",
    )
    assert (
        "2.5 %, as readers are on controls"
        in lines(report, ESTIMATE | {"reader_error": 0.025})["Wrong labels after"][1]
    )
    assert report_sections({}, {}) == []


def test_without_an_audit_share_the_error_rate_is_not_known():
    found = lines({"error_rate": NONE, "corrections": SHARE}, ESTIMATE | {"before": None, "after": None})
    assert found["Wrong labels before"][0] == found["Wrong labels after"][0] == "Not known"


@pytest.mark.django_db
def test_agreement_is_told_a_pair_of_readers_and_over_all():
    turn = make_round(6, copies=3)
    for name, wrong in (("ann", ()), ("bob", (0, 1)), ("cem", (0,))):
        who = person(name)
        for place in range(6):
            read(who, says(AF if (place < 3) != (place in wrong) else SINUS))
    found = agreement(final_reads(turn))
    assert [pair["readers"] for pair in found["pairs"]] == [["ann", "bob"], ["ann", "cem"], ["bob", "cem"]]
    assert [pair["overall"]["count"] for pair in found["pairs"]] == [4, 5, 5]
    # ann 3 and 3, bob 1 and 5: agreement 4/6, by chance 1/2.
    assert found["pairs"][0]["kappa_overall"] == pytest.approx(1 / 3)
    words = ["abnormal", "normal"]
    units = [[words[0], words[1], words[1]], [words[0], words[1], words[0]], [words[0]] * 3, *([[words[1]] * 3] * 3)]
    assert found["alpha_overall"] == pytest.approx(krippendorff_alpha(units))


@pytest.mark.django_db
def test_changes_after_the_reveal_are_held_against_what_was_shown():
    turn = make_round(4, reveal="after_first_read")  # all are called normal on file
    ann = person("ann")
    for first, final in ((AF, SINUS), (AF, AF), (SINUS, AF), (SINUS, SINUS)):
        read(ann, says(final), first=says(first))
    found = anchoring(turn, final_reads(turn))
    assert (found["overall_changed"]["count"], found["overall_changed"]["of"]) == (2, 4)
    assert (found["to_file"]["count"], found["to_file"]["of"]) == (1, 2)
    assert (found["to_model"]["count"], found["to_model"]["of"]) == (0, 2)


@pytest.mark.django_db
def test_the_round_page_shows_the_report_and_the_models(client):
    rows, boss = frozen_split(), person("chief", Role.ADMIN)
    old = score(checkpoint(Checkpoint.State.CURRENT), rows, noise=0.8)
    turn = make_round(3, audit=2)
    Round.objects.filter(pk=turn.pk).update(checkpoint=old)
    ann = person("ann")
    for _ in range(3):
        read(ann, says(AF))
    rounds.close_round(round=Round.objects.get(pk=turn.pk), by=boss)
    client.force_login(boss)
    place = reverse("manage-round", kwargs={"pk": turn.pk})
    shown = client.get(place).content.decode()
    assert "Being estimated" in shown
    assert "No checkpoint has been judged" in shown
    new = score(checkpoint(), rows, noise=0.3)
    Checkpoint.objects.filter(pk=new.pk).update(provenance={"rounds": [turn.number]})
    for one in (old, new):
        measuring.judge(checkpoint=one)
    measuring.estimate(round=Round.objects.get(pk=turn.pk))
    shown = client.get(place).content.decode()
    assert f"Checkpoint {old.pk} → checkpoint {new.pk}" in shown
    assert "60 test recordings" in shown
    assert "Wrong labels after" in shown
    assert "Being estimated" not in shown
    assert "Left to find" in shown
    assert "Left to find" in client.get(reverse("manage")).content.decode()
    told = client.get(f"/api/v1/rounds/{turn.pk}/report").json()
    assert (told["model_before"]["id"], told["model_after"]["id"]) == (old.pk, new.pk)
    assert told["model_after"]["abnormal"]["auroc"][0] > told["model_before"]["abnormal"]["auroc"][0]
    assert told["estimate"]["audit"]["read"] == 3  # a random round is all audit
