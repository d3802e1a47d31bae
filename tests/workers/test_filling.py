"""Filling a round's queue from real rows: columns, lazily read embeddings, repeats and controls."""

import numpy as np
import pytest

from annotator.models import Consensus, Prediction, QueueItem, Recording, Round
from annotator.selectors import candidates
from annotator.services import rounds
from tests.annotator.checks_world import answer, boss, claimed, closed_round
from tests.annotator.manage_world import checkpoint
from tests.annotator.reading_world import AF, LBBB, make_round, person, recordings, says, scheme
from workers import filling

pytestmark = pytest.mark.django_db
WIDTH = 8


def scored(rows, point, **numbers):
    """Predictions of `point`; the later a recording, the more doubtful its label."""
    rng = np.random.default_rng(0)
    Prediction.objects.bulk_create(
        Prediction(
            checkpoint=point, recording=row, abnormal_probability=0.9, label_probabilities=[0.9], entropy=0.3,
            crossfit_abnormal_probability=0.93, label_error=1 + place / 100,
            label_error_detail={
                "votes": 15, "models": 15, "doubt": {"code": AF, "probability": 0.91, "given": 0},
            },
            embedding=rng.normal(size=WIDTH), **numbers,
        )
        for place, row in enumerate(rows)
    )  # fmt: skip


def filled(point, **plan):
    """A round that a worker filled."""
    dataset = Recording.objects.values_list("dataset", flat=True)[0]
    planned = {"strategy": "relabel", "budget": 10, "audit_share": 0.0, "reveal": "never", "seed": 1} | plan
    round = rounds.create_round(dataset_ids=[dataset], checkpoint=point, by=boss(), **planned)
    rounds.request_fill(round=round, by=boss())
    filling.fill(round.pk)
    round.refresh_from_db()
    return round


def chosen(round, origin="strategy"):
    return list(round.items.filter(origin=origin, copy=1).order_by("rank").values_list("recording", flat=True))


def test_the_worst_labels_come_first_with_their_reason_and_copies_are_passed_over():
    scheme()
    rows, point = recordings(40), checkpoint("current")
    scored(rows, point)
    same = Prediction.objects.get(recording=rows[-1]).embedding
    Prediction.objects.filter(recording__in=rows[-4:-1]).update(embedding=same)
    round = filled(point)
    assert round.failure == ""
    assert chosen(round) == [rows[-1].pk, *[row.pk for row in rows[-5:-14:-1]]]
    assert round.items.order_by("rank").first().reason == (
        "label says normal; 15 of 15 models say abnormal, 0.93; the model says Atrial fibrillation, not on file, 0.91"
    )


def test_columns_are_what_the_rows_say():
    scheme()
    rows, point = recordings(6, abnormal=True, codes=(AF, LBBB)), checkpoint("current")
    scored(rows[:4], point, epistemic=0.2)
    Recording.objects.filter(pk=rows[0].pk).update(centre="north", source_abnormal=None)
    Prediction.objects.filter(recording=rows[1]).update(label_error=0.1)
    round = filled(point, budget=2)
    Round.objects.filter(pk=round.pk).update(strategy="relabel")
    pool = candidates.columns(round)
    assert pool.ids_N.tolist() == [row.pk for row in rows]
    assert pool.given_N.tolist() == [-1, 1, 1, 1, 1, 1]
    assert len(set(pool.centre_N.tolist())) == 2
    assert pool.centre_N[0] not in pool.centre_N[1:]
    assert np.isnan(pool.score("label_error")).tolist() == [False] * 4 + [True] * 2
    assert pool.score("epistemic")[:4].tolist() == [0.2] * 4
    pairs = {tuple(pair) for pair in pool.coded_M2.tolist()}  # of doubtful recordings alone
    assert {row for row, _ in pairs} == {0, 2, 3}
    assert len(pairs) == 6
    found = candidates.embeddings(round, pool.ids_N[[3, 5, 0]])
    assert found.shape == (3, WIDTH)
    assert np.isfinite(found).all(axis=1).tolist() == [True, False, True]


def test_repeats_and_controls_are_added_to_the_budget():
    ann, bob, cem = person("ann"), person("bob"), person("cem")
    closed_round({ann: [says(AF)] * 6, bob: [says(AF)] * 6}, copies=2)
    person("dan")
    rows, point = recordings(40), checkpoint("current")
    scored(rows, point)
    round = filled(point, repeat_share=0.2, control_share=0.2, budget=10, readers_per_item=2, audit_share=0.2)
    counts = {origin: round.items.filter(origin=origin).count() for origin in QueueItem.Origin.values}
    assert counts == {"strategy": 16, "audit": 4, "repeat": 2, "control": 2}
    repeats = round.items.filter(origin="repeat")
    assert {item.reserved_for for item in repeats} == {ann, bob}
    assert sorted(set(round.items.values_list("rank", flat=True))) == list(range(14))
    assert round.items.values("recording").distinct().count() == 14
    rounds.open_round(round=round, by=boss())
    held = [claimed(ann) for _ in range(3)]
    assert all(item.origin != "control" for item in held)
    for item in held:
        answer(item, ann, says(LBBB))
    assert cem.claims.count() == 0


def test_the_first_round_has_nothing_to_repeat():
    scheme()
    rows, point = recordings(20), checkpoint("current")
    scored(rows, point)
    round = filled(point, repeat_share=0.2, control_share=0.2)
    assert set(round.items.values_list("origin", flat=True)) == {"strategy"}


def test_the_same_seed_fills_the_same_queue_whatever_order_the_rows_have():
    scheme()
    rows, point = recordings(30), checkpoint("current")
    scored(rows, point)
    first = filled(point, audit_share=0.3, seed=5)
    Recording.objects.filter(pk__in=[row.pk for row in rows[:10]]).update(report_text="moves the rows to the end")
    again, other = filled(point, audit_share=0.3, seed=5), filled(point, audit_share=0.3, seed=6)
    assert list(first.items.values_list("recording", "rank", "origin")) == list(
        again.items.values_list("recording", "rank", "origin")
    )
    assert chosen(first, "audit") != chosen(other, "audit")


@pytest.mark.parametrize("strategy", ["committee", "novelty"])
def test_a_strategy_without_its_score_goes_back_to_draft_in_words(strategy):
    scheme()
    rows, point = recordings(5), checkpoint("current")
    scored(rows, point)
    round = filled(point, strategy=strategy)
    assert round.state == "draft"
    assert f"strategy {strategy} needs the score" in round.failure


def test_test_recordings_are_drawn_in_a_test_round_alone_and_train_recordings_never_there():
    scheme()
    rows, point = recordings(12), checkpoint("current")
    test = [row.pk for row in rows[:5]]
    Recording.objects.filter(pk__in=test).update(split="test")
    scored(rows, point)
    for strategy in ("relabel", "uncertainty", "random"):
        assert not set(filled(point, strategy=strategy, budget=12, audit_share=0.5).items.values_list(
            "recording", flat=True
        )) & set(test)  # fmt: skip
    blind = filled(point, strategy="random", split="test", budget=12)
    assert set(blind.items.values_list("recording", flat=True)) == set(test)


def test_settled_recordings_are_chosen_again_by_chance_alone():
    ann = person("ann")
    closed_round({ann: [says(AF)] * 3})
    settled = set(Consensus.objects.values_list("recording", flat=True))
    rows, point = recordings(4), checkpoint("current")
    scored([*Recording.objects.filter(pk__in=settled), *rows], point)
    assert not set(chosen(filled(point, repeat_share=0.0))) & settled
    assert set(chosen(filled(point, strategy="random"))) >= settled


def test_a_database_refuses_a_test_round_that_is_not_blind():
    from django.db import IntegrityError

    round = make_round(1)
    with pytest.raises(IntegrityError, match="round_test_split_blind"):
        Round.objects.filter(pk=round.pk).update(split="test", reveal="at_once")
