"""Weights of source labels: 0.7 until anything is audited, then what the audit share of closed rounds found."""

import pytest

from annotator.models import Recording, Round
from annotator.selectors import source_weights, training_pool
from annotator.services import rounds
from tests.annotator.reading_world import AF, SINUS, make_round, person, read, recordings, says

pytestmark = pytest.mark.django_db


def close(turn: Round) -> None:
    rounds.close_round(round=turn, by=turn.created_by)


def weights() -> dict[tuple[str, str], float]:
    ids = list(Recording.objects.values_list("dataset", flat=True).distinct())
    return {centre: round(value, 4) for (_, centre), value in source_weights.weights(ids).items()}


def test_weights_by_hand():
    assert source_weights.weight(0, 0) == pytest.approx(0.7)
    assert source_weights.weight(1, 20) == pytest.approx(0.825)
    assert source_weights.weight(100, 1000) == pytest.approx(1 - 106 / 1020)
    assert source_weights.weight(50, 50) > 0


def test_the_audit_share_of_closed_rounds_alone_tells():
    turn = make_round(6, audit=4)
    first = turn.items.filter(origin="audit").order_by("rank")
    for item, centre in zip(first, ("East", "East", "West", "West"), strict=True):
        Recording.objects.filter(pk=item.recording_id).update(centre=centre)
    ann = person("ann")
    for code in (AF, AF, SINUS, AF, SINUS):  # two chosen ones, then East: right, wrong; West: right; one unread
        read(ann, says(code))
    assert weights() == {}, "an open round says nothing yet"
    close(turn)
    assert weights() == {"East": round(1 - 7 / 22, 4), "West": round(1 - 6 / 21, 4)}
    [east] = Recording.objects.filter(centre="East")[:1]
    again = make_round(1, audit=1)  # a reading of a consensus judges no source label
    again.items.update(recording=east)
    read(person("ben"), says(AF))
    close(again)
    assert weights()["East"] == round(1 - 7 / 22, 4)


def test_what_said_nothing_or_can_not_be_read_is_not_counted():
    turn = make_round(2, audit=2, abnormal=None, codes=())
    item = turn.items.order_by("rank").first()
    Recording.objects.filter(pk=item.recording_id).update(source_abnormal=False)
    ann = person("ann")
    read(ann, says(overall="unreadable", unreadable_reason="noise"))
    read(ann, says(AF))
    close(turn)
    assert weights() == {}


def test_the_manifest_holds_the_weights():
    turn = make_round(2, audit=2)
    recordings(1)
    Recording.objects.update(centre="East")
    ann = person("ann")
    for code in (SINUS, AF):
        read(ann, says(code))
    close(turn)
    entries = list(training_pool.manifest_entries([Recording.objects.first().dataset_id]))
    assert [(entry.label_source, round(entry.weight, 4)) for entry in entries] == [
        ("consensus", 1.0), ("consensus", 1.0), ("source", round(1 - 7 / 22, 4)),
    ]  # fmt: skip
