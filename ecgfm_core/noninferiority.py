"""Whether a new model is at least as good as the one in use, label by label, on the same recordings.

The difference of the areas under the ROC curve, new minus old, with its 95 % interval from a bootstrap of patients that
draws both models alike. N recording, C label, R resample.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from ecgfm_core import resampling
from ecgfm_core.errors import ConfigError, LabelError
from ecgfm_core.resampling import Ranked

MARGIN = 0.02  # area that may be lost
POSITIVES_MIN = 100  # with an area of 0.9 and two much alike models the interval is about 0.02 to either side
SURE_LOSS_MIN = 10  # too few to show that nothing is lost, enough to show that much is


class Verdict(StrEnum):
    """What the interval says of one label."""

    BETTER = "better"
    NOT_INFERIOR = "not_inferior"
    INFERIOR = "inferior"
    TOO_FEW = "too_few"
    LOST = "lost"  # the new model does not know the label

    @property
    def blocks(self) -> bool:
        """Whether a candidate with this verdict on a label is held back."""
        return self in (Verdict.INFERIOR, Verdict.LOST)


@dataclass(frozen=True)
class LabelComparison:
    """One label; areas and the difference are None where a class is missing or the new model lacks the label."""

    code: str
    positives: int
    negatives: int
    current: float | None
    candidate: float | None
    difference: float | None
    low: float | None
    high: float | None
    verdict: Verdict


def compare(
    target_NC: np.ndarray,
    current_NC: np.ndarray,
    candidate_NC: np.ndarray,
    groups: Sequence[str] | np.ndarray,
    codes: Sequence[str],
    *,
    margin: float = MARGIN,
    positives_min: int = POSITIVES_MIN,
    seed: int = 0,
    count: int = resampling.COUNT,
) -> list[LabelComparison]:
    """Hold a new model against the one in use on every label of the one in use.

    Parameters
    ----------
    target_NC : 0, 1, or NaN where unknown
    current_NC, candidate_NC : probabilities of both models; a column of NaN is a label that the model does not know
    groups : patient of each recording, drawn as a whole
    codes : name of each column
    margin : area that the new model may lose, above 0 to 0.5
    positives_min : positives, and negatives, that a label needs to be judged

    Returns
    -------
    list of LabelComparison
        A label with enough positives is inferior unless the low end of the interval is at least ``-margin`` (which
        makes the chance to pass a model that loses just the margin 2.5 %; as every label has to pass, it stays so
        for all labels together), better where it is above 0. One with fewer is not judged, unless there are at least
        `SURE_LOSS_MIN` and even the high end is below ``-margin``.

    Raises
    ------
    LabelError
        If the arrays do not belong together.
    ConfigError
        If the margin or the count is out of bounds.

    Notes
    -----
    Non-inferiority by the confidence interval: CONSORT extension, Piaggio et al., JAMA 308 (2012).
    """
    _check(target_NC, current_NC, candidate_NC, groups, codes, margin, positives_min)
    pairs = [
        (Ranked(target_NC[:, c], current_NC[:, c]), Ranked(target_NC[:, c], candidate_NC[:, c]))
        for c in range(len(codes))
    ]
    known_C = ~np.isnan(candidate_NC).all(axis=0)
    size_C = np.minimum((target_NC == 1).sum(axis=0), (target_NC == 0).sum(axis=0))
    drawn_C: list[list[np.ndarray]] = [[] for _ in codes]
    wanted = np.flatnonzero(known_C & (size_C >= 2)).tolist()
    for counts_rN in resampling.drawn(groups, seed, count) if wanted else ():
        for c in wanted:
            old, new = pairs[c]
            drawn_C[c].append(new.auroc(counts_rN) - old.auroc(counts_rN))
    lines = []
    for c, code in enumerate(codes):
        positives, negatives = int((target_NC[:, c] == 1).sum()), int((target_NC[:, c] == 0).sum())
        current, candidate = _areas(pairs[c], bool(known_C[c])) if positives and negatives else (None, None)
        low, high = resampling.interval(np.concatenate(drawn_C[c])) if drawn_C[c] else (np.nan, np.nan)
        verdict = judge(min(positives, negatives), low, high, bool(known_C[c]), margin, positives_min)
        difference = None if current is None or candidate is None else candidate - current
        figures = current, candidate, difference, _known(low), _known(high)
        lines.append(LabelComparison(code, positives, negatives, *figures, verdict))
    return lines


def judge(fewest: int, low: float, high: float, known: bool, margin: float, positives_min: int) -> Verdict:
    """Give the verdict on one label; see `compare`. `fewest`: positives or negatives, whichever are fewer."""
    if not known:
        return Verdict.LOST if fewest >= positives_min else Verdict.TOO_FEW
    if fewest < positives_min:
        return Verdict.INFERIOR if fewest >= SURE_LOSS_MIN and high < -margin else Verdict.TOO_FEW
    if low < -margin:
        return Verdict.INFERIOR
    return Verdict.BETTER if low > 0 else Verdict.NOT_INFERIOR


def _areas(pair: tuple[Ranked, Ranked], known: bool) -> tuple[float | None, float | None]:
    return pair[0].area, pair[1].area if known else None


def _known(value: float) -> float | None:
    return None if np.isnan(value) else value


def _check(
    target_NC: np.ndarray,
    current_NC: np.ndarray,
    candidate_NC: np.ndarray,
    groups: Sequence[str] | np.ndarray,
    codes: Sequence[str],
    margin: float,
    positives_min: int,
) -> None:
    shapes = {target_NC.shape, current_NC.shape, candidate_NC.shape, (len(groups), len(codes))}
    if len(shapes) > 1:
        raise LabelError(
            f"targets {target_NC.shape}, old model {current_NC.shape}, new model {candidate_NC.shape}, {len(groups)} "
            f"patients, {len(codes)} labels; one row a recording and one column a label are needed in each"
        )
    if not 0 < margin <= 0.5 or positives_min < 1:
        raise ConfigError(
            f"margin {margin:g}, at least {positives_min} positives; a margin above 0 to 0.5 and 1 or more are allowed"
        )
