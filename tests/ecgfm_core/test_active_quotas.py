"""Places kept for either kind of error, rare codes and small centres."""

import numpy as np
import pytest

from ecgfm_core.active.candidates import Pool
from ecgfm_core.active.quotas import NONE, Quotas, keep_places
from ecgfm_core.active.selection import Candidate, select
from ecgfm_core.errors import ConfigError


def chosen_ids(candidates: list[Candidate], budget: int, quotas: Quotas) -> list[int]:
    return [one.id for one in select(candidates, budget, audit_share=0, quotas=quotas)]


def loud(count: int = 200, centre: str = "big", given: bool = True) -> list[Candidate]:
    """Recordings that a strategy would take before all others."""
    return [Candidate(number, given, 0.01, 4.0 + number / 1000, centre=centre) for number in range(count)]


def test_a_small_centre_gets_places_for_its_doubtful_labels_alone() -> None:
    small = [Candidate(500 + n, True, 0.2, 1.5, centre="small") for n in range(3)]
    sure = [Candidate(600 + n, True, 0.9, 0.1, centre="small") for n in range(3)]
    got = chosen_ids([*loud(), *small, *sure], 40, Quotas(0, 0, 0.2))
    assert {pk for pk in got if pk >= 500} == {500, 501, 502}
    assert len(got) == 40
    assert all(pk < 500 for pk in chosen_ids([*loud(), *small, *sure], 40, NONE))


def test_with_more_centres_than_places_the_worst_labels_come_first() -> None:
    """40 centres and 8 kept places: one a centre, for the 8 with the most doubtful label."""
    small = [Candidate(500 + n, True, 0.2, 1 + n / 100, centre=f"centre {n % 40}") for n in range(80)]
    got = chosen_ids([*loud(), *small], 40, Quotas(0, 0, 0.2))
    assert sorted(pk for pk in got if pk >= 500) == list(range(573, 580))  # the eighth place is the big centre's


def test_a_rare_code_gets_places() -> None:
    common = [Candidate(n, True, 0.01, 4.0, codes=("af",)) for n in range(100)]
    rare = [Candidate(500 + n, True, 0.3, 1.2, codes=("wpw", "af")) for n in range(4)]
    got = chosen_ids([*common, *rare], 20, Quotas(0, 0.2, 0))
    assert sum(pk >= 500 for pk in got) == 2
    assert all(pk < 500 for pk in chosen_ids([*common, *rare], 20, NONE))


def test_quotas_change_who_is_chosen_but_not_the_order() -> None:
    pool = Pool.of([*loud(50), *[Candidate(500 + n, False, 0.8, 1.5 + n / 100) for n in range(50)]])
    order_K = np.argsort(-pool.score("label_error"), kind="stable")
    kept_K = keep_places(order_K, 20, pool.score("label_error"), pool, Quotas())
    place = {position: place for place, position in enumerate(order_K.tolist())}
    assert kept_K.size == 20
    assert [place[k] for k in kept_K.tolist()] == sorted(place[k] for k in kept_K.tolist())


def test_places_that_no_group_needs_go_by_score() -> None:
    assert sorted(chosen_ids(loud(60), 40, Quotas(0.5, 0.2, 0.3))) == list(range(20, 60))


def test_one_recording_may_take_the_place_of_several_kinds() -> None:
    both = Candidate(900, False, 0.7, 1.2, centre="small", codes=("wpw",))
    got = chosen_ids([*loud(100), both], 10, Quotas(0.2, 0.1, 0.2))
    assert got.count(900) == 1
    assert len(got) == 10


@pytest.mark.parametrize("shares", [(-0.1, 0, 0), (0.6, 0.3, 0.2), (float("nan"), 0, 0)])
def test_impossible_quotas_are_refused(shares: tuple[float, float, float]) -> None:
    with pytest.raises(ConfigError, match="at most 1"):
        Quotas(*shares)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ids_N": np.array([2, 1])}, "rising id"),
        ({"ids_N": np.array([1, 1])}, "recording 1 stands twice"),
        ({"scores": {"guess": np.zeros(2)}}, "score 'guess' is unknown"),
        ({"scores": {"entropy": np.zeros(3)}}, "column entropy has shape"),
    ],
)
def test_columns_that_are_no_pool_are_refused(changes: dict[str, object], words: str) -> None:
    plain = {"ids_N": np.array([1, 2]), "given_N": np.array([0, 1]), "scores": {}, "describe": list}
    with pytest.raises(ConfigError, match=words):
        Pool(**{**plain, **changes})
