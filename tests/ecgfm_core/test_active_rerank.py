"""Heads refitted on corrections: the kind that was corrected moves, nobody judges what they learned from."""

import numpy as np
import pytest
from scipy.special import logit

from ecgfm_core.active import rerank, scores
from ecgfm_core.active.rerank import RerankOptions, Settled
from ecgfm_core.errors import LabelError

KINDS, HIDDEN, N, R = 6, 3, 1200, 8
NOTHING = Settled(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int8))
SMALL = RerankOptions(train_max=300, seeds=(0, 1))


class Made:
    """Kinds of recordings; those from HIDDEN on are abnormal, and the kind HIDDEN itself is called normal."""

    def __init__(self) -> None:
        random = np.random.default_rng(0)
        self.kind_N = random.integers(0, KINDS, N)
        self.patient_N = random.integers(-(2**62), 2**62, N // 2)[random.integers(0, N // 2, N)]
        centre_KR = 3.0 * np.eye(KINDS, R)
        self.features_NR = (centre_KR[self.kind_N] + random.normal(0, 0.7, (N, R))).astype(np.float16)
        self.truth_N = (self.kind_N >= HIDDEN).astype(np.int8)
        self.given_N = (self.kind_N > HIDDEN).astype(np.int8)

    def of(self, kind: int, count: int) -> np.ndarray:
        return np.flatnonzero(self.kind_N == kind)[:count]

    def rescored(self, settled: Settled = NOTHING, options: RerankOptions = SMALL) -> np.ndarray:
        return rerank.rescore(self.features_NR, self.patient_N, self.given_N, settled, options)

    def errors(self, settled: Settled = NOTHING, options: RerankOptions = SMALL) -> np.ndarray:
        found = scores.label_error_scores(self.given_N.astype(np.int64), self.rescored(settled, options))
        found[settled.rows_K] = -1.0  # what is settled has left the queue
        return found


@pytest.fixture(scope="module")
def made() -> Made:
    return Made()


def corrected(made: Made, kind: int, count: int) -> Settled:
    rows_K = made.of(kind, count)
    return Settled(rows_K, made.truth_N[rows_K])


def test_a_handful_of_corrections_of_one_kind_moves_the_rest_of_that_kind(made):
    rest_N = made.kind_N == HIDDEN
    rest_N[made.of(HIDDEN, 8)] = False
    before, after = made.errors(), made.errors(corrected(made, HIDDEN, 8))
    first = np.argsort(-after)[:100]
    assert rest_N[np.argsort(-before)[:100]].sum() < 40
    assert rest_N[first].sum() > 75
    assert np.median(after[rest_N]) > 4 * np.median(before[rest_N])


def test_confirmations_take_a_kind_out_of_doubt(made):
    doubted = Settled(made.of(HIDDEN, 8), np.ones(8, dtype=np.int8))
    rows_K = made.of(HIDDEN, 60)
    labels_K = np.r_[np.ones(8), np.zeros(52)].astype(np.int8)
    rest = np.setdiff1d(made.of(HIDDEN, N), rows_K)
    assert np.median(made.errors(Settled(rows_K, labels_K))[rest]) < 0.5 * np.median(made.errors(doubted)[rest])


def test_a_correction_counts_though_each_head_sees_only_a_sample(made):
    few, alike = (RerankOptions(train_max=100, seeds=(0,), settled_weight_max=most) for most in (50.0, 1.0))
    rest, settled = made.of(HIDDEN, N)[8:], corrected(made, HIDDEN, 8)
    weighted, unweighted, before = made.errors(settled, few), made.errors(settled, alike), made.errors(options=few)
    assert np.median(before[rest]) < np.median(unweighted[rest]) < 0.5 * np.median(weighted[rest])


def test_no_head_judges_a_patient_it_has_learned_from(made):
    # One patient's recordings are settled, once so and once the other way: their own logits differ by a temperature
    # alone, which is one factor a seed, while those of others change in their own ways.
    rows_K = np.flatnonzero(made.patient_N == made.patient_N[0])
    both = [made.rescored(Settled(rows_K, np.full(rows_K.size, value, dtype=np.int8))) for value in (0, 1)]
    ratio_SN = logit(both[0].astype(np.float64)) / logit(both[1].astype(np.float64))
    others = np.setdiff1d(np.arange(N), rows_K)
    assert rows_K.size > 1
    assert np.ptp(ratio_SN[:, rows_K], axis=1).max() < 1e-3
    assert np.ptp(np.sort(ratio_SN[:, others], axis=1)[:, 50:-50], axis=1).min() > 1e-3


def test_what_readers_called_unreadable_is_no_longer_learned_from(made):
    rows_K = made.of(KINDS - 1, N)
    unreadable = made.rescored(Settled(rows_K, np.full(rows_K.size, -1, dtype=np.int8)))
    assert made.rescored()[:, rows_K].mean() > 0.9
    assert unreadable[:, rows_K].mean() < 0.8


def test_the_same_corrections_give_the_same_figures_from_a_file_too(made, tmp_path):
    settled = corrected(made, HIDDEN, 5)
    np.save(tmp_path / "features.npy", made.features_NR)
    mapped = np.load(tmp_path / "features.npy", mmap_mode="r")
    again = rerank.rescore(mapped, made.patient_N, made.given_N, settled, SMALL)
    assert np.array_equal(made.rescored(settled), again)
    assert again.dtype == np.float32
    assert again.shape == (2, N)


def test_a_correction_moves_no_other_patient_into_another_fold(made):
    # Far from what was corrected nothing but the temperature changes much: no fold, no sample was drawn anew.
    light = RerankOptions(train_max=300, seeds=(0,), settled_weight_max=1.0)
    before, after = made.rescored(options=light), made.rescored(corrected(made, HIDDEN, 1), light)
    far = np.flatnonzero(made.kind_N == 0)
    assert np.corrcoef(logit(before[0, far]), logit(after[0, far]))[0, 1] > 0.99


def test_refusals_in_words(made):
    with pytest.raises(LabelError, match="1200 recordings, 3 patients"):
        rerank.rescore(made.features_NR, made.patient_N[:3], made.given_N, NOTHING)
    with pytest.raises(LabelError, match="2 settled with 1 labels"):
        rerank.rescore(made.features_NR, made.patient_N, made.given_N, Settled(np.array([1, 2]), np.array([1])))
    with pytest.raises(LabelError, match="0 called abnormal to learn from; at least 2"):
        rerank.rescore(made.features_NR, made.patient_N, np.zeros(N, dtype=np.int8), NOTHING)
