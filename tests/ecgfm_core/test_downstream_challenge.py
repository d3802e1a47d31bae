"""The challenge metric is the published formula, on any input; thresholds make the best of it."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ecgfm_core.downstream import challenge
from ecgfm_core.downstream.challenge import NORMAL, SAME, Weights
from ecgfm_core.errors import FormatError

CODES = (NORMAL, "713427006", "59118001", "164889003")
CLASSES = (NORMAL, "713427006", "164889003", "270492004")


def published(codes: list[str], table: list[list[float]], true: list[set[str]], said: list[set[str]]) -> float | None:
    """Work the score out loop by loop from its description, for sets of raw codes; None where it is undefined."""
    name = {code: SAME.get(code, code) for code in codes}
    classes = sorted(set(name.values()))
    worth = {(name[row], name[column]): table[j][k] for j, row in enumerate(codes) for k, column in enumerate(codes)}

    def total(answers: list[set[str]]) -> float:
        """S = sum over j, k of W_jk A_jk."""
        found = 0.0
        for j in classes:
            for k in classes:
                shared = 0.0
                for truth, answer in zip(merged_truth, answers, strict=True):
                    if j in truth and k in answer:
                        shared += 1 / max(1, len(truth | answer))
                found += worth[j, k] * shared
        return found

    merged_truth = [{name[code] for code in one} for one in true]
    found = total([{name[code] for code in one} for one in said])
    right, inactive = total(merged_truth), total([{NORMAL} for _ in true])
    return (found - inactive) / (right - inactive) if right != inactive else None


def as_array(sets: list[set[str]], classes: tuple[str, ...]) -> np.ndarray:
    """Put sets of raw codes into columns of merged classes."""
    return np.array([[name in {SAME.get(code, code) for code in one} for name in classes] for one in sets], dtype=bool)


def symmetric_table(values: np.ndarray) -> np.ndarray:
    """Make weights for `CODES` in which the two codes that are one weigh the same."""
    table = np.triu(values, 1) + np.triu(values, 1).T
    np.fill_diagonal(table, 1)
    table[2], table[:, 2] = table[1], table[:, 1]
    table[1, 1] = table[1, 2] = table[2, 1] = table[2, 2] = 1
    table[2] = table[1]
    return table


recordings = st.lists(
    st.tuples(st.sets(st.sampled_from(CODES)), st.sets(st.sampled_from(CODES))), min_size=1, max_size=30
)
tables = arrays(np.float64, (4, 4), elements=st.integers(0, 20).map(lambda value: value / 20)).map(symmetric_table)


@settings(max_examples=150, deadline=None)
@given(recordings, tables)
def test_it_equals_the_published_formula(pairs: list[tuple[set[str], set[str]]], table: np.ndarray) -> None:
    true, said = [one for one, _ in pairs], [one for _, one in pairs]
    weights = challenge.merge(CODES, table)
    found = challenge.score(as_array(true, weights.classes), as_array(said, weights.classes), weights)
    expected = published(list(CODES), table.tolist(), true, said)
    if found is None or expected is None:
        # Equal but for rounding, the two would be told apart by one way of adding and not by the other.
        assert found == expected or abs(found or expected or 0) > 1e12
    elif abs(expected) < 1e6:
        assert found == pytest.approx(expected, abs=1e-12, rel=1e-12)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 80), st.integers(2, 24), st.floats(0, 1), st.floats(0, 1))
def test_it_equals_the_published_formula_on_many_classes(
    seed: int, count: int, width: int, rate: float, said_rate: float
) -> None:
    random = np.random.default_rng(seed)
    classes = (NORMAL, *(str(number) for number in range(1, width)))
    true, said = random.random((count, width)) < rate, random.random((count, width)) < said_rate
    table = random.random((width, width))
    found = challenge.score(true, said, Weights(classes, table))
    names = [[{classes[k] for k in np.flatnonzero(row)} for row in one] for one in (true, said)]
    expected = published(list(classes), table.tolist(), *names)
    assert (found is None) == (expected is None)
    if found is not None and expected is not None:
        assert found == pytest.approx(expected, abs=1e-12, rel=1e-9)


def example() -> tuple[np.ndarray, Weights]:
    random = np.random.default_rng(1)
    table = np.eye(4) * 0.5 + 0.5
    return random.random((40, 4)) < 0.4, Weights(CLASSES, table)


def test_right_is_one_and_always_normal_is_nought() -> None:
    true, weights = example()
    inactive = np.zeros_like(true)
    inactive[:, 0] = True
    assert challenge.score(true, true, weights) == 1
    assert challenge.score(true, inactive, weights) == 0


def test_nothing_said_earns_nothing() -> None:
    true, weights = example()
    found = challenge.score(true, np.zeros_like(true), weights)
    inactive = challenge.earnings(true, np.tile([True, False, False, False], (40, 1)), weights).sum()
    right = challenge.earnings(true, true, weights).sum()
    assert found == pytest.approx(-inactive / (right - inactive), abs=1e-12)


def test_everything_said_is_shared_out_over_every_class() -> None:
    _, weights = example()
    true = np.eye(4, dtype=bool)
    earned = challenge.earnings(true, np.ones_like(true), weights)
    np.testing.assert_allclose(earned, weights.weights_CC.sum(axis=1) / 4, atol=1e-15)


def test_no_truth_at_all_has_no_score() -> None:
    true, weights = example()
    assert challenge.score(np.zeros_like(true), true, weights) is None
    assert challenge.score(np.tile([True, False, False, False], (9, 1)), true[:9], weights) is None


def write_table(path: Path, codes: tuple[str, ...], table: np.ndarray) -> Path:
    lines = [
        ",".join(("", *codes)),
        *(",".join((code, *map(str, row))) for code, row in zip(codes, table, strict=True)),
    ]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_the_official_form_is_read_and_merged(tmp_path: Path) -> None:
    table = symmetric_table(np.arange(16).reshape(4, 4) / 20)
    weights = challenge.read_weights(write_table(tmp_path / "weights.csv", CODES, table))
    assert weights.classes == (NORMAL, "713427006", "164889003")
    np.testing.assert_array_equal(weights.weights_CC, table[np.ix_([0, 1, 3], [0, 1, 3])])


@pytest.mark.parametrize(
    ("codes", "change", "said"),
    [
        (CODES, (1, 3), "different weights"),
        (("1", "2", "3", "4"), None, "normal class"),
    ],
)
def test_another_table_is_refused(
    codes: tuple[str, ...], change: tuple[int, int] | None, said: str, tmp_path: Path
) -> None:
    table = symmetric_table(np.arange(16).reshape(4, 4) / 20)
    if change:
        table[change] += 0.1
    with pytest.raises(FormatError, match=said):
        challenge.read_weights(write_table(tmp_path / "weights.csv", codes, table))


@pytest.mark.parametrize(
    "text", ["", ",1,2\n2,1,1\n1,1,1\n", f",{NORMAL}\n{NORMAL},much\n", f",{NORMAL}\n{NORMAL},1,2\n"]
)
def test_what_is_no_table_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "weights.csv").write_text(text)
    with pytest.raises(FormatError):
        challenge.read_weights(tmp_path / "weights.csv")


def test_thresholds_found_beat_those_started_from() -> None:
    random = np.random.default_rng(2)
    true, weights = random.random((200, 4)) < 0.3, Weights(CLASSES, np.eye(4) * 0.7 + 0.3)
    probability = np.clip(0.15 + 0.2 * true + random.normal(0, 0.1, true.shape), 0, 1)
    start = np.full(4, 0.5)
    chosen = challenge.choose_thresholds(true, probability, weights, start)
    before, after = (challenge.score(true, probability >= one, weights) for one in (start, chosen))
    assert before is not None
    assert after is not None
    assert after > max(before, 0.3)
    alone = [challenge.score(true, probability >= level, weights) or 0 for level in np.linspace(0, 1, 41)]
    assert after >= max(alone)


def test_resamples_are_scores_of_repeated_recordings() -> None:
    true, weights = example()
    said = np.random.default_rng(3).random(true.shape) < 0.4
    counts = np.random.default_rng(4).integers(0, 3, (5, len(true)))
    expected = [challenge.score(np.repeat(true, one, axis=0), np.repeat(said, one, axis=0), weights) for one in counts]
    np.testing.assert_allclose(challenge.resampled(true, said, counts, weights), np.array(expected, float), atol=1e-12)
