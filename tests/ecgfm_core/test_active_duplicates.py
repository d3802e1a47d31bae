"""Near-duplicates of what is chosen are passed over, whatever the scale of the embeddings."""

import numpy as np
import pytest

from ecgfm_core.active import duplicates
from ecgfm_core.active.duplicates import distinct
from ecgfm_core.active.selection import Candidate, select


def embeddings(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 16)).astype(np.float32)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
@pytest.mark.parametrize("offset", [0.0, 20.0])
def test_copies_are_found_at_any_scale_and_nothing_else(scale: float, offset: float) -> None:
    plain = embeddings(300)
    copies = plain[:40] + 0.01 * embeddings(40, seed=1)
    keep = distinct((np.concatenate([plain, copies]) + offset) * scale)
    assert keep[:300].all()
    assert not keep[300:].any()


def test_the_first_of_an_order_stays() -> None:
    one, other = embeddings(2)
    assert distinct(np.stack([one, one, other, one, other])).tolist() == [True, False, True, False, False]


def test_copies_across_blocks_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicates, "BLOCK_ROWS", 7)
    plain = embeddings(60)
    assert distinct(np.concatenate([plain, plain])).tolist() == [True] * 60 + [False] * 60


def test_no_embedding_is_like_no_other_and_equal_ones_tell_nothing() -> None:
    unknown = np.full((3, 4), np.nan)
    assert distinct(unknown).all()
    assert distinct(np.concatenate([embeddings(4)[:, :4], unknown])).all()
    assert distinct(np.ones((5, 4))).all()
    assert distinct(np.empty((0, 4))).size == 0
    assert distinct(np.empty((3, 0))).all()


def candidates(count: int) -> list[Candidate]:
    return [
        Candidate(n, n % 2 == 0, 0.5, label_error=count - n, entropy=n / count, epistemic=0.1) for n in range(count)
    ]


def test_select_asks_for_the_first_few_embeddings_and_passes_copies_over() -> None:
    of_id = embeddings(400)
    of_id[1:6] = of_id[0]  # the six most doubtful are one recording
    asked: list[int] = []

    def embedding_of(ids: np.ndarray) -> np.ndarray:
        asked.extend(ids.tolist())
        return of_id[ids]

    chosen = select(candidates(400), 20, audit_share=0, embedding_of=embedding_of)
    assert [one.id for one in chosen] == [0, *range(6, 25)]
    assert len(asked) == 60


def test_copies_of_what_was_chosen_before_are_passed_over_too() -> None:
    of_id = embeddings(400)
    of_id[2:5] = of_id[390]
    pool, taken = [one for one in candidates(400) if one.id != 390], np.array([390])
    chosen = select(pool, 20, audit_share=0, embedding_of=lambda ids: of_id[ids], taken=taken)
    assert [one.id for one in chosen] == [0, 1, *range(5, 23)]


def test_copies_come_last_where_the_pool_is_small() -> None:
    same = np.concatenate([np.repeat(embeddings(1), 4, axis=0), embeddings(2, seed=1)])
    chosen = select(candidates(6), 6, audit_share=0, embedding_of=lambda ids: same[ids])
    assert [one.id for one in chosen] == [0, 4, 5, 1, 2, 3]


def test_a_random_sample_stays_one() -> None:
    same = np.ones((50, 4), dtype=np.float32)
    plain = select(candidates(50), 20, "random", seed=3)
    assert select(candidates(50), 20, "random", seed=3, embedding_of=lambda ids: same[ids]) == plain
    with_audit = select(candidates(50), 20, audit_share=0.5, seed=3, embedding_of=lambda ids: same[ids])
    without = select(candidates(50), 20, audit_share=0.5, seed=3)
    assert [one.id for one in with_audit if one.origin == "audit"] == [
        one.id for one in without if one.origin == "audit"
    ]
