"""Committee disagreement, ranked batch and novelty: equal to modAL's and to what is worked out by hand."""

import numpy as np
import pytest
from modAL.batch import ranked_batch as modal_ranked_batch
from modAL.batch import uncertainty_batch_sampling
from modAL.disagreement import KL_max_disagreement, consensus_entropy, vote_entropy
from modAL.models import ActiveLearner, Committee
from sklearn.linear_model import LogisticRegression

from ecgfm_core.active import committee, scores
from ecgfm_core.active import novelty as novelty_module
from ecgfm_core.active.batch import ranked_batch
from ecgfm_core.active.novelty import novelty
from ecgfm_core.errors import ConfigError, LabelError


@pytest.fixture(scope="module")
def learners() -> tuple[Committee, np.ndarray, np.ndarray]:
    """modAL's committee of four, a pool, and what each says of it."""
    rng = np.random.default_rng(0)
    pool = rng.normal(size=(120, 4))
    members = []
    for _ in range(4):
        x = rng.normal(size=(25, 4))
        y = (x[:, 0] + rng.normal(size=25) > 0).astype(int)
        members.append(ActiveLearner(LogisticRegression(), X_training=x, y_training=y))
    made = Committee(learner_list=members)
    return made, pool, made.vote_proba(pool)[:, :, 1].T


def test_disagreement_equals_modals(learners):
    made, pool, probability_SN = learners
    np.testing.assert_allclose(committee.vote_entropy(probability_SN) * np.log(2), vote_entropy(made, pool), atol=1e-12)
    np.testing.assert_allclose(
        committee.kl_disagreement(probability_SN) * np.log(2), KL_max_disagreement(made, pool), rtol=1e-9
    )
    mean_N = probability_SN.mean(axis=0)
    np.testing.assert_allclose(scores.entropy(mean_N) * np.log(2), consensus_entropy(made, pool), rtol=1e-9)
    assert (committee.vote_entropy(probability_SN) > 0).any()


def test_disagreement_worked_by_hand():
    probability_SN = np.array([[1.0, 0.9, 0.5, np.nan], [0.0, 0.8, 0.5, 0.5]])
    np.testing.assert_allclose(committee.vote_entropy(probability_SN)[:3], [1.0, 0.0, 0.0], atol=1e-12)
    np.testing.assert_allclose(committee.kl_disagreement(probability_SN)[[0, 2]], [1.0, 0.0], atol=1e-12)
    assert np.isnan(committee.vote_entropy(probability_SN)[3])
    assert np.isnan(committee.kl_disagreement(probability_SN)[3])


def test_ranked_batch_equals_modals_on_the_preselection(learners):
    made, pool, _ = learners
    learner = made.learner_list[0]
    score_N = 1 - learner.predict_proba(pool).max(axis=1)
    theirs, _ = modal_ranked_batch(learner, pool, score_N, 15, "euclidean", None)
    ours = ranked_batch(score_N, pool, 15, learner.X_training, preselected=8)
    np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(ours, uncertainty_batch_sampling(learner, pool, 15)[0])
    top = np.argsort(-score_N, kind="stable")[:45]
    theirs, _ = modal_ranked_batch(learner, pool[top], score_N[top], 15, "euclidean", None)
    np.testing.assert_array_equal(ranked_batch(score_N, pool, 15, learner.X_training), top[theirs])


def test_ranked_batch_starts_in_the_middle_where_nothing_is_annotated():
    features_ND = np.array([[0.0], [1.0], [1.1], [10.0], [-9.0]])
    chosen = ranked_batch(np.full(5, 0.5), features_ND, 3)
    assert chosen[0] == 1
    assert set(chosen[1:]) == {3, 4}
    assert sorted(ranked_batch(np.full(5, 0.5), features_ND, 9)) == [0, 1, 2, 3, 4]
    assert ranked_batch(np.full(5, 0.5), features_ND, 0).size == 0
    assert ranked_batch(np.empty(0), np.empty((0, 2)), 3).size == 0


def test_ranked_batch_looks_at_the_highest_scores_alone():
    score_N, features_ND = np.linspace(0, 1, 100), np.random.default_rng(0).normal(size=(100, 3))
    assert (ranked_batch(score_N, features_ND, 10, features_ND[:5], preselected=1) >= 90).all()
    assert (ranked_batch(score_N, features_ND, 10, features_ND[:5]) >= 70).all()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"score_N": np.zeros(3)}, "one score a row"),
        ({"score_N": np.full(4, 1.5)}, "is not 0 to 1"),
        ({"score_N": np.full(4, np.nan)}, "is not 0 to 1"),
        ({"count": -1}, "are allowed"),
        ({"preselected": 0.5}, "are allowed"),
    ],
)
def test_ranked_batch_refuses_what_does_not_fit(changes, words):
    with pytest.raises(ConfigError, match=words):
        ranked_batch(**{"score_N": np.zeros(4), "features_ND": np.zeros((4, 2)), "count": 2, **changes})


def test_novelty_is_the_distance_to_the_nearest_annotated():
    rng = np.random.default_rng(0)
    embedding_ND = rng.normal(size=(300, 6)) * [1, 2, 3, 4, 5, 6] + 10
    annotated_N = np.arange(300) < 40
    found_N = novelty(embedding_ND, annotated_N, nearest=3)
    scaled_ND = (embedding_ND - embedding_ND.mean(axis=0)) / embedding_ND.std(axis=0)
    each_NA = np.linalg.norm(scaled_ND[:, None] - scaled_ND[None, :40], axis=2)
    expected_N = np.sort(each_NA, axis=1)[:, :3].mean(axis=1) / np.sqrt(2 * 6)
    np.testing.assert_allclose(found_N, expected_N, rtol=1e-3, atol=1e-3)
    one = novelty(embedding_ND, np.arange(300) == 7)
    assert one[7] == pytest.approx(0, abs=1e-3)
    assert np.sqrt(np.mean(one**2)) == pytest.approx(1, rel=0.3)


def test_what_is_unlike_anything_is_the_most_novel():
    rng = np.random.default_rng(0)
    near, other = rng.normal(size=(500, 200)), rng.normal(size=(50, 200)) + np.r_[4 * np.ones(20), np.zeros(180)]
    outlier = rng.normal(size=(1, 200)) * 5
    found_N = novelty(np.concatenate([near, other, outlier]).astype(np.float16), np.arange(551) < 100)
    assert found_N.argmax() == 550
    assert found_N[500:550].min() > np.median(found_N[100:500])
    assert found_N[:100].mean() < found_N[100:500].mean()


def test_novelty_in_blocks_of_a_sample_and_without_anything_read(monkeypatch):
    embedding_ND = np.random.default_rng(0).normal(size=(500, 8))
    annotated_N = np.arange(500) % 2 == 0
    whole = novelty(embedding_ND, annotated_N)
    monkeypatch.setattr(novelty_module, "BLOCK_ROWS", 7)
    np.testing.assert_allclose(novelty(embedding_ND, annotated_N), whole, rtol=1e-3)
    monkeypatch.setattr(novelty_module, "ANNOTATED_MAX", 100)
    monkeypatch.setattr(novelty_module, "SAMPLE", 200)
    sampled = novelty(embedding_ND, annotated_N)
    assert np.corrcoef(sampled, whole)[0, 1] > 0.8
    assert np.isnan(novelty(embedding_ND, np.zeros(500, dtype=bool))).all()
    assert (novelty(np.ones((5, 2), np.float32), np.arange(5) < 2) == 0).all()
    with pytest.raises(LabelError, match="one each"):
        novelty(embedding_ND, annotated_N[:-1])
