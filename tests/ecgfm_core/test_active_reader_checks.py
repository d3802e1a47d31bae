"""Repeats and controls are dealt out evenly, at random places, the same for the same seed."""

import numpy as np

from ecgfm_core.active.reader_checks import with_reader_checks
from ecgfm_core.active.selection import Candidate, Chosen, select

CHOSEN = select([Candidate(n) for n in range(200)], 100, "random", audit_share=0.1, seed=1)
OWN = {7: list(range(1000, 1050)), 8: list(range(1020, 1100)), 9: [1000]}
KNOWN = list(range(2000, 2030))


def of(items: list[Chosen], origin: str) -> list[Chosen]:
    return [one for one in items if one.origin == origin]


def test_repeats_are_of_the_reader_s_own_and_dealt_out_evenly() -> None:
    mixed = with_reader_checks(CHOSEN, OWN, 21, KNOWN, 5, seed=4)
    repeats = of(mixed, "repeat")
    assert len(repeats) == 21
    assert all(one.id in OWN[one.reserved_for or 0] for one in repeats)
    counts = [sum(one.reserved_for == reader for one in repeats) for reader in OWN]
    assert counts[2] <= 1
    assert abs(counts[0] - counts[1]) <= 1
    assert len(of(mixed, "control")) == 5
    assert all(one.id in KNOWN and one.reserved_for is None for one in of(mixed, "control"))


def test_a_recording_is_in_a_round_once() -> None:
    taken = [one.id for one in CHOSEN]
    mixed = with_reader_checks(CHOSEN, {1: taken, 2: [*taken, 5000]}, 50, [*taken, 5000, 5001], 50)
    assert len({one.id for one in mixed}) == len(mixed)
    assert [one.id for one in of(mixed, "repeat")] == [5000]
    assert [one.id for one in of(mixed, "control")] == [5001]


def test_what_was_chosen_keeps_its_order_and_ranks_have_no_gap() -> None:
    mixed = with_reader_checks(CHOSEN, OWN, 20, KNOWN, 10, seed=2)
    assert [one.rank for one in mixed] == list(range(130))
    assert [one.id for one in mixed if one.origin in ("strategy", "audit")] == [one.id for one in CHOSEN]


def test_places_are_random() -> None:
    ranks = []
    for seed in range(60):
        mixed = with_reader_checks(CHOSEN, OWN, 10, KNOWN, 10, seed=seed)
        ranks += [one.rank for one in mixed if one.origin in ("repeat", "control")]
    assert np.mean(ranks) / 119 == np.clip(np.mean(ranks) / 119, 0.46, 0.54)


def test_the_same_seed_gives_the_same_list_in_whatever_order_things_come() -> None:
    turned = {reader: OWN[reader][::-1] for reader in reversed(OWN)}
    assert with_reader_checks(CHOSEN, OWN, 9, KNOWN, 4, 3) == with_reader_checks(CHOSEN, turned, 9, KNOWN[::-1], 4, 3)
    assert with_reader_checks(CHOSEN, OWN, 9, KNOWN, 4, 3) != with_reader_checks(CHOSEN, OWN, 9, KNOWN, 4, 5)


def test_without_anything_to_repeat_nothing_changes() -> None:
    assert with_reader_checks(CHOSEN, {}, 9, [], 4) == CHOSEN
    assert with_reader_checks(CHOSEN, OWN, 0, KNOWN, 0) == CHOSEN


def test_a_reason_names_nobody() -> None:
    for one in with_reader_checks(CHOSEN, OWN, 5, KNOWN, 5):
        assert "7" not in one.reason
