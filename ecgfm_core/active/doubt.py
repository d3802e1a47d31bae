"""All scores of a pool at once: what a scoring run stores beside what the network says.

A model of the committee is one seed: the patients are dealt into folds, and a head a fold judges the patients that it
never saw. So "15 of 15 models" are 15 seeds, and each was told nothing of this patient. They share most of their
recordings: agreement of all of them is one firm opinion, not fifteen independent ones.

Axes: N recordings, C labels, D embedding width, R features, S models.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from ecgfm_core.active import committee, scores
from ecgfm_core.active.crossfit import FOLDS, Heads
from ecgfm_core.active.dynamics import area_under_margin
from ecgfm_core.active.novelty import novelty
from ecgfm_core.manifest import ManifestEntry

SEEDS = tuple(range(15))  # models that judge normal or abnormal
LABEL_SEEDS = SEEDS[:3]  # and each other label
CLASS_MIN = 2 * FOLDS  # with fewer recordings of a class there is nothing to doubt a label with
CODE_MIN = 20  # how often a label must be present, and absent, to be looked at
AUROC_MIN = 0.8  # heads that tell a label less well deny it of whoever has it: what they say is no doubt


@dataclass(frozen=True)
class Known:
    """What is on file of N recordings. Labels are 0, 1 and -1 (unknown); nothing is known of the test split.

    Attributes
    ----------
    groups_N : patient of each, a whole number
    given_N : int8, abnormal
    codes, given_NC : the labels that are frequent enough to doubt, int8
    annotated_N : whether readers have settled it
    """

    groups_N: np.ndarray
    given_N: np.ndarray
    codes: tuple[str, ...]
    given_NC: np.ndarray
    annotated_N: np.ndarray

    def __len__(self) -> int:
        return len(self.groups_N)


def known(entries: Callable[[], Iterable[ManifestEntry]]) -> Known:
    """Collect what is on file, in two passes over the entries, which are never held together."""
    present: Counter[str] = Counter()
    absent: Counter[str] = Counter()
    count = 0
    for entry in entries():
        count += 1
        if entry.split != "test":
            for code, value in entry.labels.items():
                (present if value else absent)[code] += 1
    codes = tuple(code for code, often in present.most_common() if min(often, absent[code]) >= CODE_MIN)
    column, patients = {code: index for index, code in enumerate(codes)}, dict[str, int]()
    groups_N, annotated_N = np.empty(count, dtype=np.int64), np.zeros(count, dtype=bool)
    given_N = np.full(count, scores.UNKNOWN, dtype=np.int8)
    given_NC = np.full((count, len(codes)), scores.UNKNOWN, dtype=np.int8)
    for row, entry in enumerate(entries()):
        groups_N[row] = patients.setdefault(entry.group, len(patients))
        if entry.split == "test":  # never learned from, not by these heads either; its labels are not doubted
            continue
        annotated_N[row] = entry.label_source == "consensus"
        if entry.abnormal is not None:
            given_N[row] = entry.abnormal
        for code, value in entry.labels.items():
            if code in column:
                given_NC[row, column[code]] = value
    return Known(groups_N, given_N, codes, given_NC, annotated_N)


class PoolScores:
    """Which given labels models that never saw the patient contradict, and which recordings they know little of.

    Parameters
    ----------
    on_file : the labels
    embedding_ND : any float type, finite, in the same order; not kept
    told : called with words before each long step; it may raise to stop the work
    """

    def __init__(self, on_file: Known, embedding_ND: np.ndarray, told: Callable[[str], object] = str) -> None:
        self.known, self._told = on_file, told
        told("Preparing the embeddings")
        self._heads = Heads(embedding_ND, on_file.groups_N, FOLDS) if self._may_doubt() else None
        self.votes_SN = self._votes(on_file.given_N, SEEDS, "normal or abnormal").astype(np.float32)
        self.probability_N = self.votes_SN.mean(axis=0, dtype=np.float64)
        self.label_probability_NC = np.full(on_file.given_NC.shape, np.nan, dtype=np.float32)
        self.label_votes_NC = np.zeros(on_file.given_NC.shape, dtype=np.int8)
        for c, code in enumerate(on_file.codes):
            name = f"label {c + 1} of {len(on_file.codes)}, {code}"
            votes_SN = self._votes(on_file.given_NC[:, c], LABEL_SEEDS, name)
            if not _told_apart(on_file.given_NC[:, c], votes_SN.mean(axis=0)):
                continue
            self.label_probability_NC[:, c] = votes_SN.mean(axis=0)
            self.label_votes_NC[:, c] = (votes_SN > 0.5).sum(axis=0)
        told("Measuring margins and novelty")
        self.aum_N = np.full(len(on_file), np.nan)
        if self._heads is not None:
            self.aum_N = area_under_margin(self._heads.features_NR, on_file.given_N)
        self._heads = None  # features of a million recordings take 512 MB, and have served
        self.novelty_N = novelty(embedding_ND, on_file.annotated_N)

    def _may_doubt(self) -> bool:
        enough = _enough(self.known.given_N) or any(_enough(given_N) for given_N in self.known.given_NC.T)
        return enough and bool(self.known.groups_N.min() != self.known.groups_N.max())

    def _votes(self, given_N: np.ndarray, seeds: tuple[int, ...], name: str) -> np.ndarray:
        """Probabilities ``[S, N]``; NaN where a class is too rare to say anything."""
        if self._heads is None or not _enough(given_N):
            return np.full((len(seeds), len(given_N)), np.nan, dtype=np.float32)
        self._told(f"Doubting {name}")
        return self._heads.probabilities(given_N, seeds, name)

    def scores(self, span: slice, network_N: np.ndarray) -> dict[str, np.ndarray]:
        """Return the score columns of a span of recordings by name, NaN where there is none.

        `network_N` is what the network says of abnormal: it stands in where there is no committee.
        """
        given_N, votes_SN, mean_N = self.known.given_N[span], self.votes_SN[:, span], self.probability_N[span]
        averaged_N = np.where(np.isnan(mean_N), network_N, mean_N).astype(np.float64)
        crossfit_N = np.where(given_N == scores.UNKNOWN, np.nan, mean_N)
        given_NC = np.column_stack([given_N, self.known.given_NC[span]])
        probability_NC = np.column_stack([mean_N, self.label_probability_NC[span]])
        return {
            "crossfit_abnormal_probability": crossfit_N,
            "label_error": scores.label_error_scores(given_N, crossfit_N),
            "label_set_error": scores.label_set_scores(given_NC, probability_NC),
            "aum": self.aum_N[span],
            "entropy": scores.entropy(averaged_N),
            "margin": scores.margin(averaged_N),
            "epistemic": scores.disagreement(votes_SN.astype(np.float64)),
            "vote_entropy": committee.vote_entropy(votes_SN),
            "kl_disagreement": committee.kl_disagreement(votes_SN.astype(np.float64)),
            "novelty": self.novelty_N[span],
        }

    def details(self, span: slice) -> list[dict[str, Any]]:
        """Say of each recording how many models vote abnormal, and which label is most in doubt, for the reason."""
        given_NC, probability_NC = self.known.given_NC[span], self.label_probability_NC[span]
        worst_N = scores.most_doubtful(given_NC, probability_NC) if self.known.codes else np.full(len(given_NC), -1)
        votes_N = (self.votes_SN[:, span] > 0.5).sum(axis=0)
        judged_N = (self.known.given_N[span] != scores.UNKNOWN) & ~np.isnan(self.probability_N[span])
        details: list[dict[str, Any]] = []
        rows = zip(worst_N.tolist(), votes_N.tolist(), judged_N.tolist(), strict=True)
        for row, (worst, votes, judged) in enumerate(rows):
            detail: dict[str, Any] = {"votes": votes, "models": len(SEEDS)} if judged else {}
            if worst >= 0:
                probability, given = float(probability_NC[row, worst]), int(given_NC[row, worst])
                if (probability > 0.5) != bool(given):
                    detail["doubt"] = {
                        "code": self.known.codes[worst], "probability": round(probability, 4), "given": given,
                        "votes": int(self.label_votes_NC[span][row, worst]), "models": len(LABEL_SEEDS),
                    }  # fmt: skip
            details.append(detail)
        return details


def _told_apart(given_N: np.ndarray, probability_N: np.ndarray) -> bool:
    """Whether the models can tell who has a label."""
    known_N = (given_N != scores.UNKNOWN) & ~np.isnan(probability_N)
    return bool(known_N.any()) and roc_auc_score(given_N[known_N], probability_N[known_N]) >= AUROC_MIN


def _enough(given_N: np.ndarray) -> bool:
    return min(int(np.count_nonzero(given_N == value)) for value in (0, 1)) >= CLASS_MIN
