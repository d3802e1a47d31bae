"""One replay: errors are made, rounds are read by a simulated reader, heads are refitted on what they corrected.

Axes: N recordings (pool and test part), P of the pool, C labels, S seeds, K chosen in a round.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from ecgfm_core.active import errors, stopping
from ecgfm_core.active.crossfit import SEEDS, Heads
from ecgfm_core.active.replay.data import ReplaySet, test_patients
from ecgfm_core.active.replay.strategies import STRATEGIES, Source, View, choose, farthest_first
from ecgfm_core.active.scores import UNKNOWN
from ecgfm_core.downstream.metrics import best_f1_thresholds, by_class
from ecgfm_core.errors import ConfigError
from ecgfm_core.training.metrics import macro_auroc

WEAK_DIRECTIONS = 16  # of the features that the weak model of instance-dependent errors sees
MISSED_TO_ADDED = 3.0  # class-conditional errors: a finding is missed so many times as often as one is made up
MakeSource = Callable[[ReplaySet], Source]


@dataclass(frozen=True)
class ReplayOptions:
    """What is replayed.

    Attributes
    ----------
    kinds, rates, strategies : each with each
    seeds : of errors, reader, test part and draws; 5 or more for a result
    budget : reads a round, as a share of the pool
    rounds : at most; 0 until all is read
    reader_error : share of recordings that the reader gets wrong
    audit_share : of each round, drawn at random
    test_share : of the recordings, whole patients, kept clean to judge heads on
    head_seeds : models of a committee

    Raises
    ------
    ConfigError
        If a value is unknown or out of bounds.
    """

    kinds: tuple[str, ...] = errors.KINDS
    rates: tuple[float, ...] = (0.05, 0.1, 0.2)
    strategies: tuple[str, ...] = STRATEGIES
    seeds: int = 5
    budget: float = 0.05
    rounds: int = 0
    reader_error: float = 0.05
    audit_share: float = 0.1
    test_share: float = 0.25
    head_seeds: int = len(SEEDS)

    def __post_init__(self) -> None:
        for words, given, known in (("kind", self.kinds, errors.KINDS), ("strategy", self.strategies, STRATEGIES)):
            if unknown := [one for one in given if one not in known]:
                raise ConfigError(f"replay, {words} {unknown[0]!r} is unknown; known are {', '.join(known)}")
            if not given:
                raise ConfigError(f"replay: no {words} is named; known are {', '.join(known)}")
        for words, value, low, high in (
            ("seeds", self.seeds, 1, 1000), ("models of a committee", self.head_seeds, 1, 100),
            ("budget of a round", self.budget, 0.001, 1), ("rounds", self.rounds, 0, 10_000),
            ("reader error", self.reader_error, 0, 0.49), ("audit share", self.audit_share, 0, 0.9),
            ("test share", self.test_share, 0.05, 0.8),
            *(("error rate", rate, 0.001, 0.5) for rate in self.rates),
        ):  # fmt: skip
            if not low <= value <= high:
                raise ConfigError(f"replay, {words} {value:g}; {low:g} to {high:g} are allowed")

    def to_dict(self) -> dict[str, Any]:
        """Give what JSON can hold."""
        return asdict(self)


@dataclass(frozen=True)
class Cell:
    """One replay of all."""

    kind: str
    rate: float
    strategy: str
    seed: int

    @property
    def name(self) -> str:
        """Name of its file, without the suffix."""
        return f"{self.kind}-{self.rate:g}-{self.strategy}-{self.seed}"


def cells(options: ReplayOptions) -> list[Cell]:
    """Name every replay, seed by seed, so that an early stop leaves all kinds and strategies with fewer seeds."""
    return [
        Cell(kind, rate, strategy, seed)
        for seed in range(options.seeds)
        for kind in options.kinds
        for rate in options.rates
        for strategy in options.strategies
    ]


def make_errors(one: ReplaySet, features_NR: np.ndarray, pool: np.ndarray, cell: Cell) -> np.ndarray:
    """Labels ``[P, C]`` of the pool as somebody gave them who errs."""
    truth_PC, weak_PF = one.truth_NC[pool].astype(np.int64), features_NR[pool][:, :WEAK_DIRECTIONS]
    probability = [errors.weak_probabilities(weak_PF, truth_P, 2) for truth_P in truth_PC.T]
    centres_P = one.centres_N[pool]
    if not one.is_set:
        confusion = np.array([[0.0, 1.0], [MISSED_TO_ADDED, 0.0]])
        return errors.inject(
            truth_PC[:, 0], 2, rate=cell.rate, kind=cell.kind, seed=cell.seed, confusion_CC=confusion,
            probability_NC=probability[0], centres_N=centres_P,
        )[:, None]  # fmt: skip
    confusion = np.repeat([[1.0], [MISSED_TO_ADDED]], truth_PC.shape[1], axis=1)
    return errors.inject_sets(
        truth_PC, rate=cell.rate, kind=cell.kind, seed=cell.seed, confusion_VC=confusion,
        probability_NC=np.stack([each[:, 1] for each in probability], axis=1), centres_N=centres_P,
    )  # fmt: skip


def answers_of_reader(truth_NC: np.ndarray, reader_error: float, seed: int) -> np.ndarray:
    """What the reader answers ``[N, C]``: the truth, but for one label of a share of the recordings."""
    rng, answer_NC = np.random.default_rng([seed, 11]), truth_NC.astype(np.int64)
    slips = np.flatnonzero(rng.random(len(truth_NC)) < reader_error)
    columns = rng.integers(truth_NC.shape[1], size=len(truth_NC))[slips]
    answer_NC[slips, columns] = 1 - answer_NC[slips, columns]
    return answer_NC


@dataclass
class _Game:
    """The state of one replay."""

    one: ReplaySet
    options: ReplayOptions
    source: Source
    pool: np.ndarray
    test: np.ndarray
    given_NC: np.ndarray
    wrong_N: np.ndarray  # of the labels on file at the start
    answer_NC: np.ndarray
    read_N: np.ndarray
    order_N: np.ndarray
    kept: dict[str, list[Any]] = field(default_factory=lambda: {"score": [], "corrected": [], "audit": [], "round": []})

    def probabilities(self, labels_NC: np.ndarray) -> np.ndarray:
        seeds = range(self.options.head_seeds)
        columns = [
            self.source.probabilities(labels_N, seeds, name)
            for labels_N, name in zip(labels_NC.T, self.one.names, strict=True)
        ]
        return np.stack(columns, axis=2)

    def standing(self, labels_NC: np.ndarray, probability_SNC: np.ndarray) -> dict[str, Any]:
        """Label accuracy in the pool, and how heads that learned from these labels do in the clean test part."""
        mean_NC, truth_TC = probability_SNC.mean(axis=0), self.one.truth_NC[self.test].astype(float)
        thresholds_C = best_f1_thresholds(labels_NC[self.pool].astype(float), mean_NC[self.pool])
        f1 = [row["f1"] for row in by_class(truth_TC, mean_NC[self.test], thresholds_C) if row["f1"] is not None]
        right_P = (labels_NC[self.pool] == self.one.truth_NC[self.pool]).all(axis=1)
        return {
            "read": int(self.read_N.sum()), "accuracy": float(right_P.mean()),
            "auroc": macro_auroc(truth_TC, mean_NC[self.test])[0], "f1": float(np.mean(f1)) if f1 else None,
        }  # fmt: skip

    def reads(self) -> stopping.Reads:
        return stopping.Reads(*(np.array(self.kept[name]) for name in ("score", "corrected", "audit", "round")))


def play(one: ReplaySet, options: ReplayOptions, cell: Cell, make_source: MakeSource | None = None) -> dict[str, Any]:
    """Replay one cell.

    Parameters
    ----------
    make_source : gives the probabilities; `crossfit.Heads` on the embeddings where there is none. Recordings of the
        test part have no label there: they are judged and never learned from.

    Returns
    -------
    ``pool``, ``test``, ``wrong`` sizes; ``found``: a 0 or 1 a read, in order: its label was wrong; ``standing``: a line
    a round, the first before any; ``full``: the line if all were read; ``stopping`` (`relabel` alone): a line a round.
    """
    game = _start(one, options, cell, (make_source or heads_of)(one))
    probability_SNC = game.probabilities(game.given_NC)
    standing, found, told = [game.standing(game.given_NC, probability_SNC)], [], []
    budget, number = max(1, round(options.budget * game.pool.size)), 0
    while not game.read_N[game.pool].all() and (not options.rounds or number < options.rounds):
        unread = game.pool[~game.read_N[game.pool]]
        view = View(
            game.source, game.given_NC, probability_SNC, one.truth_NC, game.read_N, one.centres_N, game.order_N
        )  # fmt: skip
        chosen, audit_K = choose(
            view, unread, budget, cell.strategy, options.audit_share, cell.seed * 1000 + number
        )  # fmt: skip
        if cell.strategy == "relabel":
            told.append(_read_and_tell(game, view.label_error, unread, chosen, audit_K, number))
        found += game.wrong_N[chosen].astype(int).tolist()
        game.given_NC[chosen] = game.answer_NC[chosen]
        game.read_N[chosen] = True
        probability_SNC = game.probabilities(game.given_NC)
        standing.append(game.standing(game.given_NC, probability_SNC))
        number += 1
    full_NC = game.given_NC.copy()
    full_NC[game.pool] = game.answer_NC[game.pool]
    full = game.standing(full_NC, game.probabilities(full_NC))
    return {
        **asdict(cell), "pool": int(game.pool.size), "test": int(game.test.size), "wrong": int(game.wrong_N.sum()),
        "found": found, "standing": standing, "full": full, "stopping": [line for line in told if line],
    }  # fmt: skip


def heads_of(one: ReplaySet) -> Heads:
    """Logistic heads on the set's embeddings."""
    return Heads(one.embedding_ND, one.groups_N)


def _start(one: ReplaySet, options: ReplayOptions, cell: Cell, source: Source) -> _Game:
    is_test_N = test_patients(one.groups_N, options.test_share, cell.seed)
    pool, test = np.flatnonzero(~is_test_N), np.flatnonzero(is_test_N)
    given_NC = np.full(one.truth_NC.shape, UNKNOWN, dtype=np.int64)
    given_NC[pool] = make_errors(one, source.features_NR, pool, cell)
    wrong_N = (given_NC != one.truth_NC).any(axis=1) & ~is_test_N
    order_N = (
        farthest_first(source.features_NR, pool, cell.seed) if cell.strategy == "kcentre" else np.zeros(len(wrong_N))
    )
    return _Game(
        one, options, source, pool, test, given_NC, wrong_N,
        answers_of_reader(one.truth_NC, options.reader_error, cell.seed), np.zeros(len(wrong_N), dtype=bool), order_N,
    )  # fmt: skip


def _read_and_tell(
    game: _Game, score_N: np.ndarray, unread: np.ndarray, chosen: np.ndarray, audit_K: np.ndarray, number: int
) -> dict[str, Any] | None:
    """What the estimates say before a round, and what came; None before the first one. Keeps the round's reads."""
    reader_error, by_score = game.options.reader_error, chosen[~audit_K]
    corrected_K = (game.answer_NC[chosen] != game.given_NC[chosen]).any(axis=1)
    line = None
    if number:
        reads = game.reads()
        remaining = stopping.remaining_errors(reads, score_N[unread], reader_error=reader_error)
        coming = stopping.expected_yield(reads, score_N[by_score], reader_error=reader_error)
        told = {**{name: getattr(remaining, name) for name in stopping.Remaining.__slots__}, "yield": coming}
        truth = {"wrong": int(game.wrong_N[unread].sum()), "corrected": int(corrected_K[~audit_K].sum())}
        estimates = {name: asdict(one) for name, one in told.items() if one is not None}
        line = {"round": number, "unread": len(unread), "next": len(by_score), **truth, "estimates": estimates}
    game.kept["score"] += score_N[chosen].tolist()
    game.kept["corrected"] += corrected_K.tolist()
    game.kept["audit"] += audit_K.tolist()
    game.kept["round"] += [number] * len(chosen)
    return line
