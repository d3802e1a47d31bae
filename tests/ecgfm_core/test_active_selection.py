"""Selection: order, audit share, quotas, reasons, and the odd pools."""

import collections
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from ecgfm_core.active.quotas import NONE as NO_QUOTAS
from ecgfm_core.active.selection import Candidate, Chosen, Doubt, Pool, label_error, reason, select
from ecgfm_core.errors import ConfigError


def pool(count: int, seed: int = 0) -> list[Candidate]:
    """Candidates whose label error is their number over their count; every second label says abnormal."""
    rng = np.random.default_rng(seed)
    return [
        Candidate(
            id=1000 + number,
            given=number % 2 == 1,
            probability=float(0.9 if number % 2 == 0 else 0.1),
            label_error=number / count,
            entropy=float(rng.random()),
            votes=3 if number % 2 == 0 else 0,
            models=3,
        )
        for number in range(count)
    ]


def ids(chosen: list[Chosen], origin: str = "strategy") -> list[int]:
    return [item.id for item in chosen if item.origin == origin]


def test_relabel_takes_the_largest_label_errors_in_order() -> None:
    assert ids(select(pool(100), 10, audit_share=0)) == list(range(1099, 1089, -1))


def test_uncertainty_takes_the_largest_entropies_in_order() -> None:
    candidates = pool(100)
    expected = sorted(candidates, key=lambda candidate: -(candidate.entropy or 0))
    chosen = select(candidates, 10, "uncertainty", audit_share=0)
    assert ids(chosen) == [candidate.id for candidate in expected[:10]]


def test_random_depends_on_the_seed_alone() -> None:
    assert ids(select(pool(100), 10, "random", seed=1)) == ids(select(pool(100, seed=5), 10, "random", seed=1))
    assert ids(select(pool(100), 10, "random", seed=1)) != ids(select(pool(100), 10, "random", seed=2))


def test_the_same_arguments_give_the_same_list_whatever_the_order_of_the_pool() -> None:
    candidates = pool(200)
    assert select(candidates, 40, seed=3) == select(candidates[::-1], 40, seed=3)
    assert select(candidates, 40, seed=3) != select(candidates, 40, seed=4)


def test_ranks_count_from_zero_and_nobody_is_chosen_twice() -> None:
    chosen = select(pool(100), 30, seed=2)
    assert [item.rank for item in chosen] == list(range(30))
    assert len({item.id for item in chosen}) == 30


def test_the_audit_share_is_a_random_sample_of_the_whole_pool_at_random_places() -> None:
    drawn: collections.Counter[int] = collections.Counter()
    places = []
    for seed in range(600):
        chosen = select(pool(50), 20, audit_share=0.1, seed=seed)
        audit = [item for item in chosen if item.origin == "audit"]
        assert len(audit) == 2
        drawn.update(item.id for item in audit)
        places += [item.rank for item in audit]
    # 1,200 draws from 50 recordings: 24 each, the strategy's favourites neither more nor less
    assert max(drawn.values()) < 48
    assert len(drawn) == 50
    favourites = sum(drawn[1000 + number] for number in range(32, 50)) / 1200
    assert favourites == pytest.approx(18 / 50, abs=0.06)
    assert np.mean(places) == pytest.approx(9.5, abs=0.6)
    assert len(set(places)) == 20


def test_the_audit_share_does_not_look_at_scores() -> None:
    first, second = select(pool(80), 20, seed=9), select(pool(80, seed=4), 20, "uncertainty", seed=9)
    assert ids(first, "audit") == ids(second, "audit")


@pytest.mark.parametrize(
    ("budget", "share", "audit"), [(10, 0.1, 1), (100, 0.1, 10), (3, 0.1, 0), (10, 1.0, 10), (10, 0, 0)]
)
def test_the_size_of_the_audit_share(budget: int, share: float, audit: int) -> None:
    assert len(ids(select(pool(200), budget, audit_share=share), "audit")) == audit


def test_abnormal_called_normal_is_not_starved() -> None:
    """Labels that say abnormal are all more doubtful; a quarter of the places still goes to those that say normal."""
    loud = [Candidate(number, True, 0.01, 4.0 + number / 1000, 0.1) for number in range(100)]
    quiet = [Candidate(500 + number, False, 0.7, 1.2, 0.9) for number in range(100)]
    chosen = select(loud + quiet, 40, audit_share=0)
    assert sum(item.id >= 500 for item in chosen) == 10
    assert all(item.id < 500 for item in chosen[:30])
    assert all(item.id < 500 for item in select(loud + quiet, 40, audit_share=0, quotas=NO_QUOTAS))


def test_quotas_do_not_drag_in_labels_that_nobody_contradicts() -> None:
    loud = [Candidate(number, True, 0.01, 4.0, 0.1) for number in range(100)]
    sure = [Candidate(500 + number, False, 0.02, 0.02, 0.1) for number in range(100)]
    assert all(item.id < 500 for item in select(loud + sure, 40, audit_share=0))


def test_recordings_without_a_label_come_last_and_unscored_ones_after_them() -> None:
    candidates = [
        Candidate(1),
        Candidate(2, None, 0.5, None, 1.0),
        Candidate(3, None, 0.9, float("nan"), 0.4),
        Candidate(4, False, 0.1, 0.1, 0.4),
    ]
    assert ids(select(candidates, 4, audit_share=0)) == [4, 2, 3, 1]


@pytest.mark.parametrize("strategy", ["relabel", "uncertainty", "random"])
def test_a_budget_beyond_the_pool_takes_all_and_an_empty_pool_nothing(strategy: str) -> None:
    assert {item.id for item in select(pool(7), 50, strategy)} == {1000 + number for number in range(7)}
    assert select([], 50, strategy) == []
    assert select(pool(7), 0, strategy) == []


def test_reasons_are_words_and_numbers() -> None:
    doubt = Doubt("atrial fibrillation", 0.91, given=False, votes=4, models=5)
    wrong = Candidate(1, False, 0.93, 2.66, 0.37, votes=15, models=15, doubt=doubt)
    assert reason(wrong, "relabel") == (
        "label says normal; 15 of 15 models say abnormal, 0.93; "
        "4 of 5 models say atrial fibrillation, not on file, 0.91"
    )
    over = Candidate(2, True, 0.2, 1.61, 0.72, votes=1, models=3, doubt=Doubt("sinus bradycardia", 0.04, given=True))
    assert reason(over, "relabel") == (
        "label says abnormal; 2 of 3 models say normal, 0.80; the model denies sinus bradycardia, 0.96"
    )
    unsure = Candidate(3, None, 0.48, None, 0.9988)
    assert reason(unsure, "uncertainty") == (
        "the model is unsure, entropy 1.00 of 1 bit; no label; the model says normal, 0.52"
    )
    assert reason(Candidate(4, True), "relabel") == "label says abnormal; no model has scored it"
    assert "random" in reason(wrong, "audit")


def test_bad_arguments_are_refused_in_words() -> None:
    with pytest.raises(ConfigError, match="known are relabel, uncertainty, committee, novelty, random"):
        select(pool(3), 2, "guess")
    with pytest.raises(ConfigError, match="audit share 2"):
        select(pool(3), 2, audit_share=2)
    with pytest.raises(ConfigError, match="budget -1"):
        select(pool(3), -1)
    with pytest.raises(ConfigError, match="recording 1001 stands twice"):
        select([*pool(3), pool(3)[1]], 2)


def test_selection_and_error_injection_load_no_learning_library() -> None:
    code = (
        "import sys, ecgfm_core.active.selection, ecgfm_core.active.errors, ecgfm_core.datasets.simulated;"
        "print([name for name in ('sklearn', 'modAL', 'torch') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_another_doubted_label_comes_before_a_less_doubted_normal_or_abnormal() -> None:
    """Both scores are cross-entropies in nats: the larger one decides."""
    candidates = [
        Candidate(1, False, 0.9, label_error=2.3, label_set_error=2.0),
        Candidate(2, False, 0.05, label_error=0.05, label_set_error=2.9),
        Candidate(3, False, 0.6, label_error=0.9),
        Candidate(4, label_set_error=1.1),
    ]
    assert ids(select(candidates, 4, audit_share=0)) == [2, 1, 4, 3]


def test_ambiguity_costs_only_where_several_readers_are_paid() -> None:
    unclear = Candidate(1, False, 0.62, label_error=0.97, entropy=0.96)
    clear = Candidate(2, False, 0.57, label_error=0.84, entropy=0.2)
    assert ids(select([unclear, clear], 2, audit_share=0)) == [1, 2]
    assert ids(select([unclear, clear], 2, audit_share=0, readers_per_item=2)) == [2, 1]
    assert label_error(Pool.of([unclear, clear]), 2) == pytest.approx([0.97 - (0.96 * np.log(2) - 0.3), 0.84])


@pytest.mark.parametrize(("strategy", "score"), [("committee", "epistemic"), ("novelty", "novelty")])
def test_committee_and_novelty_take_the_largest_of_their_score(strategy: str, score: str) -> None:
    candidates = [Candidate(n, entropy=1.0 - n / 10, **{score: n / 10}) for n in range(9)]
    assert ids(select([*candidates, Candidate(9)], 4, strategy, audit_share=0)) == [8, 7, 6, 5]


@pytest.mark.parametrize("strategy", ["uncertainty", "committee", "novelty"])
def test_a_strategy_whose_score_nobody_has_is_refused(strategy: str) -> None:
    with pytest.raises(ConfigError, match=f"strategy {strategy} needs the score"):
        select([Candidate(1, label_error=1.0)], 1, strategy)


def test_columns_choose_what_objects_do() -> None:
    candidates = [
        Candidate(
            one.id, one.given, one.probability, one.label_error, one.entropy, centre="ab"[one.id % 2], codes=("af",)
        )
        for one in pool(300)
    ]
    columns = Pool.of(candidates)
    assert select(columns, 60, seed=3) == select(candidates, 60, seed=3)
    asked: list[int] = []
    counted = replace(columns, describe=lambda ids: asked.extend(ids.tolist()) or columns.describe(ids))
    select(counted, 60, seed=3)
    assert len(asked) == 60  # only those chosen become objects


def test_reasons_of_the_other_strategies() -> None:
    said = {"votes": 9, "models": 15}
    assert reason(Candidate(1, True, 0.6, 0.5, epistemic=0.31, **said), "committee") == (
        "the models disagree, 0.31 of 1 bit; label says abnormal; 6 of 15 models say normal, 0.40"
    )
    assert reason(Candidate(1, None, 0.6, novelty=1.7, **said), "novelty") == (
        "unlike what was read, 1.70 of the usual distance; no label; 9 of 15 models say abnormal, 0.60"
    )


def test_a_reason_says_which_other_label_is_in_doubt() -> None:
    doubt = Doubt("atrial fibrillation", 0.91, given=False, votes=5, models=5)
    other = Candidate(1, True, 0.97, 0.03, votes=15, models=15, doubt=doubt, label_set_error=2.4)
    assert reason(other, "relabel") == ("label says abnormal; 5 of 5 models say atrial fibrillation, not on file, 0.91")
    denied = Doubt("atrial fibrillation", 0.08, given=True, votes=1, models=5)
    assert reason(replace(other, doubt=denied), "uncertainty").endswith(
        "15 of 15 models say abnormal, 0.97; 4 of 5 models deny atrial fibrillation, 0.92"
    )
