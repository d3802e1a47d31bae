"""What is left to find in a round's pool: rows to the estimators of the core and back, in one plain sentence."""

import numpy as np
import pytest
from django.utils import timezone

from annotator.models import Checkpoint, Consensus, Prediction, QueueItem, Round, ScoringRun
from annotator.models.jobs import JobState
from annotator.pages.manage.stopping import stop_words
from annotator.selectors import reliability, stopping
from annotator.services import measuring
from ecgfm_core.active.stopping import Reads, audit_error_rate, expected_yield, remaining_errors
from tests.annotator.checks_world import answer, claimed, closed_round, next_round
from tests.annotator.gate_world import WIDTH, checkpoint
from tests.annotator.manage_world import admin
from tests.annotator.reading_world import AF, LBBB, SINUS, person, recordings, says, scheme
from workers import data_tasks

pytestmark = pytest.mark.django_db
POOL, CHOSEN, AUDIT = 400, 60, 40


class World:
    """A pool whose scores tell wrong labels well, and a closed round that read the highest and an audit share."""

    def __init__(self, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        scheme()
        self.wrong_N = rng.random(POOL) < 0.2
        self.score_N = np.where(self.wrong_N, rng.gamma(4, 0.6, POOL), rng.gamma(1.2, 0.3, POOL))
        self.rows = recordings(POOL)
        self.checkpoint = checkpoint(Checkpoint.State.CURRENT)
        Prediction.objects.bulk_create(
            Prediction(
                checkpoint=self.checkpoint, recording=row, abnormal_probability=0.5, entropy=1.0,
                embedding=[0.0] * WIDTH, label_probabilities=[0.5, 0.5], label_error=score, label_set_error=score / 2,
            )
            for row, score in zip(self.rows, self.score_N.tolist(), strict=True)
        )  # fmt: skip
        order = rng.permutation(POOL)
        self.audit = order[:AUDIT]
        rest = order[AUDIT:]
        self.chosen = rest[np.argsort(-self.score_N[rest])][:CHOSEN]
        self.round = self.made(1, Round.Strategy.RELABEL)
        self.fill(self.round, {"audit": self.audit, "strategy": self.chosen})

    def made(self, number: int, strategy: str, **fields: object) -> Round:
        now = timezone.now()
        row = Round.objects.create(
            number=number, scheme=scheme(), strategy=strategy, budget=CHOSEN + AUDIT, created_by=admin(),
            state=Round.State.CLOSED, opened_at=now, closed_at=now, **{"checkpoint": self.checkpoint, **fields},
        )  # fmt: skip
        row.datasets.set([self.rows[0].dataset_id])
        return row

    def fill(self, row: Round, origins: dict[str, np.ndarray], answered: bool = True) -> None:
        state = QueueItem.State.WITHDRAWN if answered else QueueItem.State.WAITING
        for origin, places in origins.items():
            QueueItem.objects.bulk_create(
                QueueItem(
                    round=row, recording=self.rows[n], rank=rank, origin=origin, reason="", state=state,
                )
                for rank, n in enumerate(places)
            )  # fmt: skip
            if answered:
                self.settle(row, places)

    def settle(self, row: Round, places: np.ndarray) -> None:
        Consensus.objects.bulk_create(
            Consensus(
                round=row, recording=self.rows[n], scheme=scheme(), source="single", overall="normal",
                corrects=bool(self.wrong_N[n]),
            )
            for n in places
        )  # fmt: skip

    def reads(self) -> Reads:
        read = np.concatenate([self.audit, self.chosen])
        return Reads(self.score_N[read], self.wrong_N[read], np.arange(len(read)) < AUDIT, np.ones(len(read)))


def estimate(world: World, row: Round | None = None) -> dict:
    measuring.estimate(round=row or world.round)
    return Round.objects.get(pk=(row or world.round).pk).estimate


def test_rows_reach_the_estimators_and_come_back():
    world = World()
    found, reads = estimate(world), world.reads()
    unread_N = np.setdiff1d(np.arange(POOL), np.concatenate([world.audit, world.chosen]))
    exact = remaining_errors(reads, world.score_N[unread_N]).combined
    assert (found["pool"], found["unread"], found["read"]) == (POOL, POOL - 100, 100)
    assert found["by"] == "audit and scores"
    assert found["remaining"] == pytest.approx([exact.value, exact.low, exact.high], abs=1.0)  # a histogram is near
    assert found["remaining"][1] <= world.wrong_N[unread_N].sum() <= found["remaining"][2]
    wrong = int(world.wrong_N[world.audit].sum())
    assert found["audit"] == {"corrected": wrong, "read": AUDIT}
    before = audit_error_rate(wrong, AUDIT, POOL)
    assert found["before"] == pytest.approx([before.value, before.low, before.high])
    assert found["after"] == pytest.approx([end / POOL for end in found["remaining"]])
    highest = np.sort(world.score_N[unread_N])[::-1][:100]
    coming = expected_yield(reads, highest)
    assert found["next"] == pytest.approx([coming.value, coming.low, coming.high])
    assert found["next_reads"] == 100
    assert found["reader_error"] is None
    slips = expected_yield(reads, highest, reader_error=0.05)
    assert stopping._wrong_next(reads, highest, 0.05).value == pytest.approx((slips.value - 5) / 0.9)


def test_without_an_audit_share_nothing_is_invented():
    world = World()
    QueueItem.objects.filter(origin="audit").update(origin="strategy")
    found = estimate(world)
    assert (found["audit"], found["before"], found["remaining"], found["after"]) == (
        {"corrected": 0, "read": 0}, None, None, None,
    )  # fmt: skip
    assert found["next"] is not None
    assert "not known" in stop_words(found).words


def test_reads_of_scores_that_were_made_anew_are_not_held_against_them():
    world = World()
    run = ScoringRun.objects.create(checkpoint=world.checkpoint, state=JobState.FINISHED, finished_at=timezone.now())
    run.datasets.set([world.rows[0].dataset_id])
    found = estimate(world)
    assert (found["by"], found["next"]) == ("audit alone", None)
    assert found["remaining"][0] == pytest.approx(
        world.wrong_N[world.audit].mean() * POOL - world.wrong_N[np.concatenate([world.audit, world.chosen])].sum()
    )


def test_a_round_whose_scores_were_made_anew_does_not_teach_the_next_one():
    world = World()
    run = ScoringRun.objects.create(checkpoint=world.checkpoint, state=JobState.FINISHED, finished_at=timezone.now())
    run.datasets.set([world.rows[0].dataset_id])
    row = world.made(2, Round.Strategy.RELABEL)
    unread = np.setdiff1d(np.arange(POOL), np.concatenate([world.audit, world.chosen]))
    world.fill(row, {"audit": unread[:30]})
    reads = stopping._reads(row)
    assert np.isnan(reads.score_N[reads.round_N == 1]).all()
    assert sorted(reads.score_N[reads.round_N == 2]) == pytest.approx(sorted(world.score_N[unread[:30]]))
    assert len(reads.score_N) == 130


def test_what_a_round_read_by_another_order_is_taken_off_the_whole_pool():
    world = World()
    unread = np.setdiff1d(np.arange(POOL), np.concatenate([world.audit, world.chosen]))
    row = world.made(2, Round.Strategy.RELABEL)  # as a re-ordering brings them in: none of them has a high score
    world.fill(row, {"strategy": unread[np.argsort(world.score_N[unread])[50:80]]})
    read = np.concatenate([world.audit, world.chosen, unread[np.argsort(world.score_N[unread])[50:80]]])
    reads = stopping._reads(row)
    left = remaining_errors(reads, world.score_N[np.setdiff1d(np.arange(POOL), read)]).audit
    assert left.value == pytest.approx(max(0, world.wrong_N[world.audit].mean() * POOL - world.wrong_N[read].sum()))
    assert estimate(world, row)["remaining"][1:] == pytest.approx([left.low, left.high])


def test_readers_err_on_controls_as_they_would_correct_a_label():
    ann, bob, cem = person("ann"), person("bob"), person("cem")
    closed_round({ann: [says(AF)] * 20, bob: [says(AF)] * 20}, copies=2)
    known = list(Consensus.objects.order_by("pk").values_list("recording", flat=True))
    row = next_round(controls=known)
    Round.objects.filter(pk=row.pk).update(control_share=0.1)
    for said in (LBBB, LBBB, SINUS, *[AF] * 16):  # another abnormal statement corrects too
        answer(claimed(cem), cem, says(said))
    row.refresh_from_db()
    assert stopping._reader_error(row) is None  # 19 are too few
    answer(claimed(cem), cem, says(AF))
    assert stopping._reader_error(row) == pytest.approx(3 / 20)
    assert reliability.control_accuracy(row)["overall"]["count"] == 19


def test_a_revised_answer_makes_an_estimate_due():
    world = World()
    measuring.estimate(round=world.round)
    world.settle(world.round, world.audit[:1])
    assert stopping.due() == [world.round]
    assert stopping.counted(world.round).count() == 100


def test_one_round_that_can_not_be_estimated_keeps_no_other_waiting(caplog):
    world = World()
    other = checkpoint()
    Prediction.objects.create(
        checkpoint=other, recording=world.rows[0], abnormal_probability=0.5, entropy=1.0, embedding=[0.0] * WIDTH,
        label_probabilities=[0.5, 0.5], label_error=float("nan"),
    )  # fmt: skip
    bad = world.made(2, Round.Strategy.RELABEL, checkpoint=other)
    data_tasks.measure_when_due()
    assert Round.objects.get(pk=bad.pk).estimate == {}
    assert Round.objects.get(pk=world.round.pk).estimate["read"] == 100
    assert "Measuring failed" in caplog.text
    assert f"Round {bad.number}" in caplog.text


def test_a_pool_of_nothing_is_no_division_by_zero():
    world = World()
    row = world.made(2, Round.Strategy.RELABEL)
    unread = np.setdiff1d(np.arange(POOL), np.concatenate([world.audit, world.chosen]))
    world.fill(world.round, {"strategy": unread})
    found = estimate(world, row)
    assert (found["pool"], found["remaining"], found["after"]) == (0, [0.0, 0.0, 0.0], None)


def test_a_random_round_without_a_checkpoint_is_all_audit():
    world = World()
    Consensus.objects.filter(round=world.round).count()
    row = world.made(2, Round.Strategy.RANDOM, checkpoint=None)
    places = np.setdiff1d(np.arange(POOL), np.concatenate([world.audit, world.chosen]))[:50]
    world.fill(row, {"strategy": places})
    found = estimate(world, row)
    assert found["audit"] == {"corrected": int(world.wrong_N[places].sum()), "read": 50}
    assert found["next"] is None
    assert found["by"] == "audit alone"


def test_rounds_by_other_scores_or_other_recordings_are_left_out():
    world = World()
    before = estimate(world)
    other = world.made(2, Round.Strategy.RELABEL, split="validate")
    assert estimate(world) == before
    assert estimate(world, other)["read"] == 0


def test_what_waits_in_an_open_round_comes_next_and_unread_scores_after_it():
    world = World()
    places = np.setdiff1d(np.arange(POOL), np.concatenate([world.audit, world.chosen]))
    row = world.made(2, Round.Strategy.RELABEL)
    Round.objects.filter(pk=row.pk).update(state=Round.State.OPEN)
    world.fill(row, {"strategy": places[:30]}, answered=False)
    found = stopping._next_scores(row)
    assert found[:30] == pytest.approx(world.score_N[places[:30]])
    assert found[30:] == pytest.approx(np.sort(world.score_N[places[30:]])[::-1][:70])


def test_an_estimate_is_due_after_ten_reads_of_an_open_round_and_after_one_of_a_closed_one():
    world = World()
    assert stopping.due() == [world.round]
    measuring.estimate(round=world.round)
    assert stopping.due() == []
    unread = np.setdiff1d(np.arange(POOL), np.concatenate([world.audit, world.chosen]))
    world.fill(world.round, {"strategy": unread[:1]})
    assert stopping.due() == [world.round]
    Round.objects.update(state=Round.State.OPEN)
    assert stopping.due() == []
    world.settle(world.round, unread[1:2])  # no item: it is no reading of this round
    assert stopping.counted(world.round).count() == 101


def test_the_overview_speaks_of_the_newest_round_of_the_train_split_that_was_read():
    world = World()
    assert stopping.newest() is None
    measuring.estimate(round=world.round)
    world.made(2, Round.Strategy.RELABEL)
    on_test = world.made(3, Round.Strategy.RANDOM, split="test", reveal="never")
    measuring.estimate(round=on_test)
    assert stopping.newest() == world.round


def test_fewer_than_a_hundred_left_are_held_against_as_many_at_random():
    found = {
        "unread": 40, "audit": {"corrected": 5, "read": 50}, "remaining": [10.0, 4.0, 17.0], "next": [9.0, 4.0, 15.0],
        "next_reads": 40, "random": [25.0, 10.0, 42.0],
    }  # fmt: skip
    assert "next 40 reads would correct about 9 (4 to 15); random reading 10." in stop_words(found).words


def test_the_sentence_for_the_chief():
    said = stop_words(
        {
            "reads": 500, "pool": 9800, "unread": 9300, "read": 500, "audit": {"corrected": 5, "read": 50},
            "remaining": [412.3, 330.2, 499.6], "next": [61.2, 52.4, 70.1], "next_reads": 100,
            "random": [4.4, 3.5, 5.4],
        }
    )  # fmt: skip
    assert said.words == (
        "About 412 of 9,300 unread labels are still wrong (95 % 330 to 500). The next 100 reads would correct about 61 "
        "(52 to 70); random reading 4."
    )
    assert said.hint == ""


@pytest.mark.parametrize(
    ("next_", "random", "hint"),
    [
        ([3.0, 1.0, 6.0], [1.0, 0.5, 2.0], "hardly pays"),
        ([12.0, 8.0, 16.0], [11.0, 9.0, 14.0], "no more than random"),
        ([20.0, 15.0, 26.0], [4.0, 3.0, 5.0], ""),
    ],
)
def test_the_hint_to_stop(next_, random, hint):
    found = {
        "unread": 900, "audit": {"corrected": 3, "read": 40}, "remaining": [40.0, 30.0, 50.0], "next": next_,
        "next_reads": 100, "random": random,
    }  # fmt: skip
    said = stop_words(found)
    assert hint in said.hint
    assert bool(said.hint) == bool(hint)
