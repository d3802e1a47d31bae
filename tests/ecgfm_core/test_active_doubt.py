"""All scores of a pool: errors made on purpose are found, no patient is judged by who saw them, gaps stay gaps."""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score

from ecgfm_core.active import crossfit, meanings
from ecgfm_core.active.doubt import LABEL_SEEDS, SEEDS, Known, PoolScores, known
from ecgfm_core.manifest import ManifestEntry

COUNT, WIDTH, RATE = 400, 12, 0.1
CODES = ("270492004", "59118001", "164889003")


def entry(pk: int, group: str, **more: object) -> ManifestEntry:
    return ManifestEntry(id=pk, sha256=f"{pk:064x}", lead_names=("I",), sampling_rate_hz=100.0, sample_count=1000,
                         group=group, **more)  # fmt: skip


@pytest.fixture(scope="module")
def world() -> tuple[Known, np.ndarray, np.ndarray, np.ndarray]:
    """Embeddings that tell normal from abnormal and three labels; a tenth of each wrong in other recordings."""
    rng = np.random.default_rng(0)
    embedding_ND = rng.normal(size=(COUNT, WIDTH))
    truth_NC = (embedding_ND @ rng.normal(size=(WIDTH, 4)) + 0.3 * rng.normal(size=(COUNT, 4)) > 0).astype(int)
    wrong_NC = np.zeros((COUNT, 4), dtype=bool)
    for c in range(4):
        wrong_NC[rng.choice(COUNT, int(RATE * COUNT), replace=False), c] = True
    given_NC = np.where(wrong_NC, 1 - truth_NC, truth_NC)
    entries = [
        entry(row, f"p{row // 2}", abnormal=int(given[0]), labels=dict(zip(CODES, given[1:].tolist(), strict=True)),
              split="test" if row >= 360 else "train", label_source="consensus" if row < 60 else "source")
        for row, given in enumerate(given_NC)
    ]  # fmt: skip
    return known(lambda: iter(entries)), embedding_ND, given_NC, wrong_NC


@pytest.fixture(scope="module")
def doubt(world) -> PoolScores:
    return PoolScores(world[0], world[1])


@pytest.fixture(scope="module")
def columns(doubt) -> dict[str, np.ndarray]:
    return doubt.scores(slice(0, COUNT), np.full(COUNT, 0.5))


def test_what_is_on_file_is_collected_without_the_test_split(world):
    on_file, _, given_NC, _ = world
    assert set(on_file.codes) == set(CODES)
    assert len(np.unique(on_file.groups_N)) == 200
    order = [CODES.index(code) for code in on_file.codes]
    np.testing.assert_array_equal(on_file.given_NC[:360], given_NC[:360, 1:][:, order])
    np.testing.assert_array_equal(on_file.given_N[:360], given_NC[:360, 0])
    assert (on_file.given_N[360:] == -1).all()
    assert (on_file.given_NC[360:] == -1).all()
    assert np.flatnonzero(on_file.annotated_N).tolist() == list(range(60))


def test_rare_labels_and_those_of_the_test_split_are_left_out():
    def entries() -> Iterable[ManifestEntry]:
        for row in range(100):
            labels = {"often": row % 2, "rare": int(row < 19), "test": row % 2 if row >= 50 else 0, "always": 1}
            yield entry(row, f"p{row}", labels=labels, split="test" if row >= 50 else "train")

    assert known(entries).codes == ("often",)


def test_a_label_that_the_models_can_not_tell_is_not_doubted(world):
    given_NC = world[0].given_NC.copy()
    given_NC[:, 1] = np.random.default_rng(1).integers(0, 2, COUNT)
    scored = PoolScores(replace(world[0], given_NC=given_NC), world[1])
    assert np.isnan(scored.label_probability_NC[:, 1]).all()
    assert not np.isnan(scored.label_probability_NC[:, [0, 2]]).any()
    assert world[0].codes[1] not in {one.get("doubt", {}).get("code") for one in scored.details(slice(0, COUNT))}


def test_wrong_labels_come_first(world, columns):
    wrong_NC, train = world[3], slice(0, 360)
    for name, sign, wrong_N, least in (
        ("label_error", 1, wrong_NC[:, 0], 0.6), ("aum", -1, wrong_NC[:, 0], 0.6),
        ("label_set_error", 1, wrong_NC.any(axis=1), 0.7),
    ):  # fmt: skip
        found = average_precision_score(wrong_N[train], sign * columns[name][train])
        assert found > max(least, 2 * wrong_N[train].mean()), name
    assert average_precision_score(wrong_NC[train, 0], columns["entropy"][train]) < 0.3


def test_every_column_has_a_meaning_and_keeps_to_its_range(columns):
    assert set(columns) | {"quality"} == set(meanings.NAMES)
    for name, value_N in columns.items():
        low, high = meanings.BY_NAME[name].low, meanings.BY_NAME[name].high
        known_N = value_N[~np.isnan(value_N)]
        assert known_N.size, name
        assert low is None or known_N.min() >= low - 1e-9, name
        assert high is None or known_N.max() <= high + 1e-2, name


def test_the_test_split_is_judged_and_neither_doubted_nor_learned_from(world, doubt, columns):
    test = slice(360, COUNT)
    for name in ("crossfit_abnormal_probability", "label_error", "label_set_error", "aum"):
        assert np.isnan(columns[name][test]).all(), name
        assert np.isfinite(columns[name][:360]).all(), name
    for name in ("entropy", "margin", "epistemic", "vote_entropy", "kl_disagreement", "novelty"):
        assert np.isfinite(columns[name]).all(), name
    assert all(detail == {} for detail in doubt.details(test))
    on_file, embedding_ND, given_NC, _ = world
    other = PoolScores(replace(on_file, given_N=on_file.given_N.copy()), embedding_ND)
    np.testing.assert_array_equal(other.votes_SN, doubt.votes_SN)
    assert given_NC[test].size


def test_no_model_judges_a_patient_that_it_saw_in_any_seed(world, monkeypatch):
    """Each row carries its patient's number: what a head learned from and what it judged can be read off the rows."""
    on_file = world[0]
    number_N = on_file.groups_N.astype(np.float32)
    learned: list[set[int]] = []
    fit = LogisticRegression.fit

    def watched(head: LogisticRegression, features_NR: np.ndarray, labels_N: np.ndarray) -> LogisticRegression:
        learned.append(set(features_NR[:, -1].astype(int)))
        return fit(head, features_NR, labels_N)

    heads = crossfit.Heads(world[1], on_file.groups_N)
    heads.features_NR = np.column_stack([heads.features_NR, number_N])
    heads.strength = 0.03
    monkeypatch.setattr(LogisticRegression, "fit", watched)
    heads.probabilities(on_file.given_N, SEEDS)
    assert len(learned) == len(SEEDS) * crossfit.FOLDS
    test_patients = set(number_N[360:].astype(int))
    for seed in SEEDS:
        fold_N = crossfit.deal_folds(on_file.given_N, on_file.groups_N, crossfit.FOLDS, seed)
        for fold in range(crossfit.FOLDS):
            saw = learned[seed * crossfit.FOLDS + fold]
            assert not saw & set(number_N[fold_N == fold].astype(int))
            assert not saw & test_patients
            assert len(saw) > 100


def test_the_detail_names_the_label_most_in_doubt_with_its_votes(world, doubt):
    wrong_NC = world[3]
    details = doubt.details(slice(0, COUNT))
    assert all(detail["models"] == len(SEEDS) == 15 for detail in details[:360])
    assert all(0 <= detail["votes"] <= 15 for detail in details[:360])
    only = [row for row in range(360) if wrong_NC[row, 1:].sum() == 1]
    named = [details[row].get("doubt", {}).get("code") == CODES[int(np.argmax(wrong_NC[row, 1:]))] for row in only]
    assert np.mean(named) > 0.8
    one = next(detail["doubt"] for detail in details if "doubt" in detail)
    assert one["models"] == len(LABEL_SEEDS)
    assert one["votes"] <= 3
    assert (one["probability"] > 0.5) != bool(one["given"])
    part = doubt.details(slice(100, 110))
    assert part == details[100:110]


def test_a_span_is_the_same_as_the_whole(doubt, columns):
    part = doubt.scores(slice(50, 70), np.full(20, 0.5))
    for name, value_N in part.items():
        np.testing.assert_allclose(value_N, columns[name][50:70], err_msg=name)


def on_file_of(given_N: Iterable[int], groups_N: Iterable[int]) -> Known:
    given_N, groups_N = np.array(given_N, dtype=np.int8), np.array(groups_N)
    return Known(groups_N, given_N, (), np.empty((given_N.size, 0), np.int8), np.zeros(given_N.size, dtype=bool))


@pytest.mark.parametrize(
    ("given", "groups"),
    [
        pytest.param([-1] * 40, range(40), id="no labels"),
        pytest.param([1] * 40, range(40), id="one class"),
        pytest.param([0, 1] * 20, [7] * 40, id="one patient"),
        pytest.param([1] * 31 + [0] * 9, range(40), id="nine of a class"),
    ],
)
def test_where_nothing_can_be_doubted_the_network_alone_speaks(given, groups):
    embedding_ND = np.random.default_rng(0).normal(size=(40, 5)).astype(np.float16)
    made = PoolScores(on_file_of(given, groups), embedding_ND)
    network_N = np.linspace(0.1, 0.9, 40).astype(np.float32)
    columns = made.scores(slice(0, 40), network_N)
    for name, value_N in columns.items():
        assert np.isnan(value_N).all() == (name not in ("entropy", "margin")), name
    np.testing.assert_allclose(columns["margin"], np.abs(2 * network_N - 1), atol=1e-6)
    assert made.details(slice(0, 40)) == [{}] * 40


def test_novelty_without_anything_to_doubt():
    on_file = replace(on_file_of([-1] * 40, range(40)), annotated_N=np.arange(40) < 5)
    made = PoolScores(on_file, np.random.default_rng(0).normal(size=(40, 5)))
    assert np.isfinite(made.novelty_N).all()


def test_the_work_can_be_stopped_between_steps(world):
    said: list[str] = []

    def told(words: str) -> None:
        said.append(words)
        if "label 2 of 3" in words:
            raise RuntimeError("cancelled")

    with pytest.raises(RuntimeError, match="cancelled"):
        PoolScores(world[0], world[1], told)
    assert said[:2] == ["Preparing the embeddings", "Doubting normal or abnormal"]
