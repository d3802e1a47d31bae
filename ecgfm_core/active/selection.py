"""Choosing what a round reads: candidates with their scores -> an ordered list with the reason of each choice.

Pure numpy, no model and no database: the scores were stored with the predictions.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ecgfm_core.errors import ConfigError

STRATEGIES = ("relabel", "uncertainty", "random")
QUOTA_SHARE = 0.5
_WORDS = {True: "abnormal", False: "normal"}


@dataclass(frozen=True, slots=True)
class Doubt:
    """The label of the set that the models believe least: its name, its probability, and whether it was given."""

    name: str
    probability: float
    given: bool


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


@dataclass(frozen=True, slots=True)
class Chosen:
    """One queue item to be: rank 0 is read first; the reason is shown after the reveal.

    `origin` is strategy, audit, repeat or control; a repeat is reserved for the reader whose own reading it repeats.
    """

    id: int
    rank: int
    origin: str
    reason: str
    reserved_for: int | None = None


def select(
    candidates: Sequence[Candidate],
    budget: int,
    strategy: str = "relabel",
    audit_share: float = 0.1,
    seed: int = 0,
    quota_share: float = QUOTA_SHARE,
) -> list[Chosen]:
    """Choose up to `budget` recordings and say why.

    The audit share is drawn first, from the whole pool and without a look at any score, so that it is a simple random
    sample of it; its places in the order are random too. The strategy chooses from the rest: ``relabel`` by label
    error (recordings without one come last, by entropy), ``uncertainty`` by entropy, ``random`` by chance. Ties fall
    by chance; the same arguments give the same list, in whatever order the candidates come.

    Quotas (``relabel`` only): `quota_share` of the strategy's places is reserved in equal parts for labels that say
    normal and labels that say abnormal, as far as the models contradict so many of each, so that neither kind of
    error starves the other. The rest goes by score alone.

    Raises
    ------
    ConfigError
        If the strategy is unknown, a number is out of bounds, or an id stands twice.
    """
    pool = sorted(candidates, key=lambda candidate: candidate.id)
    _check(pool, budget, strategy, audit_share, quota_share)
    rng, total = np.random.default_rng(seed), min(budget, len(pool))
    shuffled = rng.permutation(len(pool))
    audit_count = int(total * audit_share + 0.5)
    audit = shuffled[:audit_count].tolist()
    rest = shuffled[audit_count:]
    chosen = _by_strategy(pool, rest, total - audit_count, strategy, quota_share)
    places = np.zeros(total, dtype=bool)
    places[rng.permutation(total)[:audit_count]] = True
    from_audit, from_strategy = iter(audit), iter(chosen)
    result = []
    for rank, is_audit in enumerate(places.tolist()):
        candidate = pool[next(from_audit) if is_audit else next(from_strategy)]
        why = "audit" if is_audit else strategy
        result.append(Chosen(candidate.id, rank, "audit" if is_audit else "strategy", reason(candidate, why)))
    return result


def _check(pool: list[Candidate], budget: int, strategy: str, audit_share: float, quota_share: float) -> None:
    if strategy not in STRATEGIES:
        raise ConfigError(f"strategy {strategy!r} is unknown; known are {', '.join(STRATEGIES)}")
    if budget < 0:
        raise ConfigError(f"budget {budget}; 0 or more recordings are allowed")
    for words, share in (("audit share", audit_share), ("quota share", quota_share)):
        if not 0 <= share <= 1:
            raise ConfigError(f"{words} {share:g}; 0 to 1 are allowed")
    for one, following in itertools.pairwise(pool):
        if one.id == following.id:
            raise ConfigError(f"recording {one.id} stands twice among the candidates; name each once")


def _by_strategy(
    pool: list[Candidate], shuffled: np.ndarray, count: int, strategy: str, quota_share: float
) -> list[int]:
    """Positions in the pool, the best first."""
    if strategy == "random":
        return [int(index) for index in shuffled[:count]]
    unsure = np.array([_number(pool[index].entropy) for index in shuffled])
    if strategy == "uncertainty":
        return [int(index) for index in shuffled[np.argsort(-unsure, kind="stable")[:count]]]
    wrong = np.array([_number(pool[index].label_error) for index in shuffled])
    order = [int(index) for index in shuffled[np.lexsort((-unsure, -wrong))]]
    return _with_quotas(pool, order, count, quota_share)


def _number(value: float | None) -> float:
    return -1.0 if value is None or np.isnan(value) else value


def _with_quotas(pool: list[Candidate], order: list[int], count: int, quota_share: float) -> list[int]:
    """The first `count` of `order`, with places kept for contradicted labels of either value."""
    reserved = int(count * quota_share / 2)
    kept: set[int] = set()
    for value in (False, True):
        kept.update([index for index in order if _contradicted(pool[index], value)][:reserved])
    for index in order:
        if len(kept) >= count:
            break
        kept.add(index)
    return [index for index in order if index in kept]


def _contradicted(candidate: Candidate, given: bool) -> bool:
    probability = candidate.probability
    return candidate.given is given and probability is not None and (probability > 0.5) is not given


def reason(candidate: Candidate, why: str) -> str:
    """Why the candidate was chosen, in words and numbers."""
    if why == "audit":
        return "drawn at random from the whole pool, to estimate how many labels are wrong"
    if why == "random":
        return "drawn at random"
    label = "no label" if candidate.given is None else f"label says {_WORDS[candidate.given]}"
    if candidate.probability is None or np.isnan(candidate.probability):
        return f"{label}; no model has scored it"
    parts = [label, _models(candidate)]
    if why == "uncertainty" and candidate.entropy is not None:
        parts.insert(0, f"the model is unsure, entropy {candidate.entropy:.2f} of 1 bit")
    if candidate.doubt is not None:
        standing = "given" if candidate.doubt.given else "not given"
        parts.append(f"most in doubt: {candidate.doubt.name} {candidate.doubt.probability:.2f} ({standing})")
    return "; ".join(parts)


def _models(candidate: Candidate) -> str:
    """What the models say; where the label is known, how many of them contradict it."""
    probability = candidate.probability or 0.0
    said = probability > 0.5 if candidate.given is None else not candidate.given
    figure = probability if said else 1 - probability
    if candidate.models < 2:
        return f"the model says {_WORDS[said]} with {figure:.2f}"
    votes = candidate.votes if said else candidate.models - candidate.votes
    return f"{votes} of {candidate.models} models say {_WORDS[said]}, {figure:.2f}"
