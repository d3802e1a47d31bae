"""What may be chosen, as columns: a million recordings are a few arrays, and only those chosen become objects.

Axes: N candidates by rising id, M pairs of a candidate and a code given to it. NaN is unknown.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from ecgfm_core.errors import ConfigError

UNKNOWN = -1
# Columns that strategies order by; see `ecgfm_core.active.meanings`.
SCORES = ("probability", "label_error", "label_set_error", "entropy", "epistemic", "novelty")


@dataclass(frozen=True, slots=True)
class Doubt:
    """The label of the set that the models believe least.

    Attributes
    ----------
    name : of the statement
    probability : that it holds
    given : whether it is on file
    votes : how many models say that it holds
    models : of how many; 0 unknown
    """

    name: str
    probability: float
    given: bool
    votes: int = 0
    models: int = 0


@dataclass(frozen=True, slots=True)
class Candidate:
    """A recording that may be chosen, with what is known of it; None is unknown.

    Attributes
    ----------
    id : of the recording
    given : the label that holds says abnormal
    probability : of abnormal, cross-fitted and averaged over the models where that exists
    label_error : cross-entropy of the given label in nats
    entropy : of the probability, in bits
    votes : how many models say abnormal
    models : of how many
    doubt : the label most in doubt
    centre : where it was recorded; empty if unknown
    label_set_error, aum, epistemic, novelty : see `ecgfm_core.active.meanings`
    codes : the codes on file
    """

    id: int
    given: bool | None = None
    probability: float | None = None
    label_error: float | None = None
    entropy: float | None = None
    votes: int = 0
    models: int = 0
    doubt: Doubt | None = None
    centre: str = ""
    label_set_error: float | None = None
    aum: float | None = None
    epistemic: float | None = None
    novelty: float | None = None
    codes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Pool:
    """Candidates as columns.

    Attributes
    ----------
    ids_N : int64, rising
    given_N : 1 abnormal, 0 normal, -1 unknown
    scores : a column ``[N]`` of each of `SCORES` that is known
    describe : ids -> a `Candidate` each, in that order; asked once, for those chosen
    centre_N : a number a centre, -1 unknown; None where no centre is known
    coded_M2 : rows of (position in the pool, number of a code); None where no code is known

    Raises
    ------
    ConfigError
        If the ids do not rise, or a column has another length or name.
    """

    ids_N: np.ndarray
    given_N: np.ndarray
    scores: dict[str, np.ndarray]
    describe: Callable[[np.ndarray], Sequence[Candidate]]
    centre_N: np.ndarray | None = field(default=None)
    coded_M2: np.ndarray | None = field(default=None)

    def __post_init__(self) -> None:
        twice = np.flatnonzero(np.diff(self.ids_N) == 0)
        if twice.size:
            raise ConfigError(f"recording {self.ids_N[twice[0]]} stands twice among the candidates; name each once")
        if (np.diff(self.ids_N) < 0).any():
            raise ConfigError("the candidates of a pool stand by rising id; sort them")
        if unknown := set(self.scores) - set(SCORES):
            raise ConfigError(f"score {min(unknown)!r} is unknown; known are {', '.join(SCORES)}")
        columns = {"given": self.given_N, "centre": self.centre_N} | self.scores
        for name, column in columns.items():
            if column is not None and column.shape != self.ids_N.shape:
                raise ConfigError(f"column {name} has shape {column.shape}; one value a candidate is needed")

    def __len__(self) -> int:
        return self.ids_N.size

    def score(self, name: str) -> np.ndarray:
        """A column ``[N]``; NaN throughout where nothing is known of it."""
        return self.scores.get(name, np.full(len(self), np.nan))

    @classmethod
    def of(cls, candidates: Sequence[Candidate]) -> "Pool":
        """The columns of candidates in any order."""
        held = sorted(candidates, key=lambda candidate: candidate.id)
        by_id = {candidate.id: candidate for candidate in held}
        centres = {name: number for number, name in enumerate(sorted({one.centre for one in held} - {""}))}
        codes = {code: number for number, code in enumerate(sorted({code for one in held for code in one.codes}))}
        coded = [(row, codes[code]) for row, one in enumerate(held) for code in one.codes]
        return cls(
            ids_N=np.array([one.id for one in held], dtype=np.int64),
            given_N=np.array([UNKNOWN if one.given is None else int(one.given) for one in held], dtype=np.int8),
            scores={name: np.array([_number(getattr(one, name)) for one in held], dtype=float) for name in SCORES},
            describe=lambda ids: [by_id[pk] for pk in ids.tolist()],
            centre_N=np.array([centres.get(one.centre, UNKNOWN) for one in held], dtype=np.int32),
            coded_M2=np.array(coded, dtype=np.int64).reshape(-1, 2),
        )


def _number(value: float | None) -> float:
    return np.nan if value is None else value
