"""When to stop: intervals hold as often as they say, whatever the models think."""

from collections.abc import Iterator

import numpy as np
import pytest

from ecgfm_core.active import stopping
from ecgfm_core.active.stopping import (
    Estimate,
    Reads,
    audit_error_rate,
    calibrate,
    expected_yield,
    remaining_errors,
    wrong_labels,
)
from ecgfm_core.errors import ConfigError, LabelError

ROUNDS, BUDGET, AUDIT = 5, 100, 20


def covers(estimate: Estimate | None, truth: float) -> bool:
    assert estimate is not None
    return estimate.low - 1e-9 <= truth <= estimate.high + 1e-9


@pytest.mark.parametrize(
    ("pool", "wrong", "drawn", "reader_error"),
    [(1000, 0.1, 60, 0.0), (300, 0.2, 150, 0.0), (1000, 0.1, 100, 0.05), (300, 0.05, 200, 0.1)],
)
def test_the_audit_share_covers_the_true_error_rate_in_95_of_100_rounds(
    pool: int, wrong: float, drawn: int, reader_error: float
) -> None:
    random, held = np.random.default_rng(1), 0
    is_wrong = np.arange(pool) < wrong * pool
    for _ in range(200):
        audit = random.choice(pool, drawn, replace=False)
        corrected = is_wrong[audit] ^ (random.random(drawn) < reader_error)
        held += covers(audit_error_rate(int(corrected.sum()), drawn, pool, reader_error), wrong)
    assert 0.91 <= held / 200 <= 0.99  # 95 % less and more two and a half standard errors of 200 rounds


def test_a_finite_pool_narrows_the_interval_and_a_whole_one_leaves_nothing_open() -> None:
    of_many, of_few = audit_error_rate(10, 100), audit_error_rate(10, 100, 150)
    assert of_many is not None
    assert of_few is not None
    assert of_few.high - of_few.low < 0.7 * (of_many.high - of_many.low)
    assert audit_error_rate(10, 100, 100) == Estimate(0.1, 0.1, 0.1)
    slips = audit_error_rate(10, 100, 100, 0.05)  # all read, and the reader may still have slipped
    assert slips is not None
    assert slips.value == pytest.approx(0.05 / 0.9)
    assert slips.low < slips.value < slips.high


def test_a_careless_reader_is_allowed_for() -> None:
    seen = audit_error_rate(140, 1000, reader_error=0.05)
    assert seen is not None
    assert seen.value == pytest.approx(0.1)
    none_wrong = audit_error_rate(0, 50, reader_error=0.05)
    assert none_wrong is not None
    assert none_wrong.value == 0.0


def world(random: np.random.Generator, count: int = 1000, blind: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Wrong labels and their scores; of a share of the wrong ones the models notice nothing."""
    wrong_N = np.zeros(count, dtype=bool)
    wrong_N[random.choice(count, count // 10, replace=False)] = True
    noticed_N = wrong_N & (random.random(count) >= blind)
    odds_N = random.normal(-3, 1.5, count) + 4 * noticed_N
    return wrong_N, np.logaddexp(0, odds_N)


def rounds(seed: int, reader_error: float = 0.05, blind: float = 0.0, by_score: bool = True) -> Iterator[tuple]:
    """Yield before each round but the first: the reads so far, what is unread, the next ones, and what they correct."""
    random = np.random.default_rng(seed)
    wrong_N, score_N = world(random, blind=blind)
    answered_N = wrong_N ^ (random.random(wrong_N.size) < reader_error)
    left, kept = np.arange(wrong_N.size), []
    for number in range(ROUNDS):
        audit = random.choice(left, AUDIT, replace=False)
        rest = np.setdiff1d(left, audit)
        order = np.argsort(-score_N[rest]) if by_score else random.permutation(rest.size)
        following = rest[order][: BUDGET - AUDIT]
        if number:
            reads = Reads(*(np.concatenate(column) for column in zip(*kept, strict=True)))
            yield reads, score_N[left], int(wrong_N[left].sum()), score_N[following], int(answered_N[following].sum())
        for chosen, is_audit in ((audit, True), (following, False)):
            marks = np.full(chosen.size, is_audit)
            kept.append((score_N[chosen], answered_N[chosen], marks, np.full(chosen.size, number)))
        left = np.setdiff1d(rest, following)


def test_the_yield_of_the_next_reads_is_calibrated() -> None:
    told = [
        (expected_yield(reads, following, reader_error=0.05), came)
        for seed in range(15)
        for reads, _, _, following, came in rounds(seed)
    ]
    assert np.mean([covers(one, came) for one, came in told]) >= 0.9
    off = [one.value - came for one, came in told if one]
    assert abs(np.mean(off)) < 1.5
    assert np.mean([one.high - one.low for one, _ in told if one]) < 30  # of 80 reads


@pytest.mark.parametrize(("blind", "by_score"), [(0.0, True), (0.4, True), (0.0, False)])
def test_the_interval_of_what_remains_holds_even_where_the_models_are_blind(blind: float, by_score: bool) -> None:
    held, sharp = [], []
    for seed in range(15):
        for reads, unread, truth, _, _ in rounds(seed, blind=blind, by_score=by_score):
            remaining = remaining_errors(reads, unread, reader_error=0.05)
            assert remaining.audit is not None
            assert remaining.combined is not None
            held.append((covers(remaining.audit, truth), covers(remaining.combined, truth)))
            sharp.append((abs(remaining.audit.value - truth), abs(remaining.combined.value - truth)))
    assert (np.mean(held, axis=0) >= 0.88).all()
    if not blind:
        assert np.mean(sharp, axis=0)[1] < 0.8 * np.mean(sharp, axis=0)[0]  # scores sharpen the value


@pytest.mark.parametrize(("noise", "passed_over"), [(0.0, 0.0), (0.0, 0.4), (0.5, 0.0)])
def test_the_audit_share_is_unbiased_where_reads_went_by_other_scores(noise: float, passed_over: float) -> None:
    """Heads that a re-ordering refitted chose by scores that nobody stored; near-duplicates were passed over."""
    random, off, held, size = np.random.default_rng(3), [], [], 5000
    for _ in range(100):
        wrong_N = random.random(size) < 0.08
        odds_N = np.where(wrong_N, random.normal(0.5, 1.8, size), random.normal(-3, 1.5, size))
        score_N, order = np.logaddexp(0, odds_N), random.permutation(size)
        rest = order[100:][random.random(size - 100) >= passed_over]
        chosen = rest[np.argsort(-(odds_N + noise * random.normal(size=size))[rest])][:250]
        read = np.concatenate([order[:100], chosen])
        reads = Reads(score_N[read], wrong_N[read], np.arange(350) < 100, np.ones(350))
        unread = np.setdiff1d(np.arange(size), read)
        told, truth = remaining_errors(reads, score_N[unread]).audit, wrong_N[unread].sum()
        assert told is not None
        off.append(told.value - truth)
        held.append(covers(told, truth))
    assert abs(np.mean(off)) < 3 * np.std(off) / np.sqrt(len(off))
    assert np.mean(held) >= 0.9


def test_unread_without_a_score_are_not_taken_for_those_below() -> None:
    score_N, audit_N = np.r_[np.full(50, 3.0), np.full(50, 0.1)], np.arange(100) >= 50
    reads = Reads(score_N, np.arange(100) < 60, audit_N, np.ones(100))
    told = remaining_errors(reads, np.r_[np.full(900, 0.1), np.full(1000, np.nan)]).audit
    assert told is not None
    assert told.value == pytest.approx(0.2 * 2000 - 60)
    below = remaining_errors(reads, np.full(1900, 0.1)).audit
    assert below is not None
    assert below.value == pytest.approx(0.2 * 1900)


def test_slips_of_the_reader_put_no_label_right() -> None:
    random = np.random.default_rng(0)
    score_N = np.r_[random.exponential(0.3, 400) + 0.3, random.exponential(0.1, 100)]
    reads = Reads(score_N, random.random(500) < 0.06, np.arange(500) >= 400, np.ones(500))  # no label is wrong
    corrected = expected_yield(reads, np.full(100, 0.05), reader_error=0.06)
    assert corrected is not None
    assert corrected.value > 5
    found = wrong_labels(corrected, 100, 0.06)
    assert found.low == 0.0
    assert found.value < 1
    assert wrong_labels(Estimate(24.0, 15.0, 33.0), 100, 0.05).value == pytest.approx(19 / 0.9)
    assert wrong_labels(Estimate(0.0, 0.0, 0.0), 0, 0.05) == Estimate(0.0, 0.0, 0.0)


def test_a_histogram_of_the_unread_says_the_same_as_each_of_them() -> None:
    reads, unread, *_ = next(rounds(0))
    values, counts = np.unique(np.round(unread, 1), return_counts=True)
    one, other = remaining_errors(reads, np.repeat(values, counts)), remaining_errors(reads, values, counts)
    for name in stopping.Remaining.__slots__:
        assert vars_of(getattr(one, name)) == pytest.approx(vars_of(getattr(other, name)))


def vars_of(one: Estimate) -> tuple[float, float, float]:
    return one.value, one.low, one.high


def test_unknown_scores_count_as_the_audit_share_does() -> None:
    reads, unread, *_ = next(rounds(0))
    known, unknown = remaining_errors(reads, unread), remaining_errors(reads, np.full(unread.size, np.nan))
    assert known.audit is not None
    assert unknown.model is not None
    assert unknown.model.value / unread.size == pytest.approx((reads.corrected_N[reads.audit_N].sum() + 0.5) / 21)


def test_too_few_reads_say_nothing() -> None:
    few = Reads(np.ones(5), np.ones(5), np.zeros(5), np.zeros(5))
    assert calibrate(few) is None
    assert expected_yield(few, np.ones(3)) is None
    assert remaining_errors(few, np.ones(10)) == stopping.Remaining(None, None, None)
    assert audit_error_rate(0, 0) is None


def test_nothing_left_is_nothing_wrong() -> None:
    reads, *_ = next(rounds(0))
    remaining = remaining_errors(reads, np.empty(0))
    assert remaining.model == Estimate(0.0, 0.0, 0.0)
    assert remaining.combined is not None
    assert remaining.combined.value == 0.0
    assert expected_yield(reads, np.empty(0)) == Estimate(0.0, 0.0, 0.0)


def test_impossible_numbers_are_refused_in_words() -> None:
    with pytest.raises(ConfigError, match="11 corrected of 10 read"):
        audit_error_rate(11, 10)
    with pytest.raises(ConfigError, match=r"reader error 0\.5"):
        audit_error_rate(1, 10, reader_error=0.5)
    with pytest.raises(LabelError, match="one value of each a read"):
        Reads(np.ones(3), np.ones(2), np.ones(3), np.ones(3))
