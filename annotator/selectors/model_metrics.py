"""A checkpoint's figures on the frozen test split, and how it compares there with the one in use.

Both take minutes for 100,000 recordings: workers ask for them, pages read what was stored on the checkpoint's row.
"""

from dataclasses import asdict
from typing import Any

import numpy as np
from django.conf import settings

from annotator.models import Checkpoint, Dataset, Round
from annotator.selectors import prospective, test_split
from annotator.selectors.test_split import Said
from ecgfm_core import model_metrics, noninferiority
from ecgfm_core import prospective as arithmetic

ABNORMAL = "abnormal"  # stands for normal or abnormal among the codes of labels
THRESHOLD = 0.5
Json = dict[str, Any]


def threshold(checkpoint: Checkpoint) -> tuple[float, str]:
    """Return the threshold with the largest F1 on the checkpoint's validation split, or 0.5, and where it is from."""
    known = [(score, truth) for score, truth in prospective.validation_scores(checkpoint) if truth is not None]
    best = arithmetic.best_threshold([truth for _, truth in known], [score for score, _ in known])
    if best is None:
        return THRESHOLD, "the middle: too few labelled validation recordings to choose by"
    return round(best, 4), f"largest F1 on {len(known):,} labelled recordings of the validation split"


def own_basis(checkpoint: Checkpoint) -> Json:
    """Return what a checkpoint's figures on the test split rest on; they are out of date once it changes."""
    run = test_split.newest_scoring(checkpoint)
    return {"scoring": run.pk if run else None, "readings": test_split.readings()}


def gate_basis(candidate: Checkpoint, current: Checkpoint) -> Json:
    """Return what a comparison rests on; it is out of date once it changes."""
    run = test_split.newest_scoring(current)
    rules = {"margin": settings.GATE_MARGIN, "positives_min": settings.GATE_POSITIVES_MIN}
    return {**own_basis(candidate), "current": current.pk, "current_scoring": run.pk if run else None, **rules}


def test_metrics(checkpoint: Checkpoint) -> Json:
    """Return a checkpoint's figures on the test split; empty where it has scored none of it."""
    basis, said = own_basis(checkpoint), test_split.said(checkpoint)
    if not len(said.ids_N):
        return {}
    truth = test_split.truth(said.ids_N, checkpoint.label_codes)
    limit, origin = threshold(checkpoint)
    split = model_metrics.Split(
        abnormal_N=truth.abnormal_N,
        probability_N=said.abnormal_N,
        target_NC=truth.target_NC,
        label_probability_NC=said.label_NC,
        codes=checkpoint.label_codes,
        patients=truth.patients_N,
        groups=truth.groups,
    )
    found = model_metrics.figures(split, limit)
    sizes = {"recordings": len(said.ids_N), "sources": truth.sources}
    return {"basis": basis, **sizes, "threshold": limit, "threshold_origin": origin, **found}


def comparison(candidate: Checkpoint, current: Checkpoint) -> Json:
    """Return how a candidate compares with the current checkpoint on the test recordings that the latter scored.

    `lines` (see `noninferiority.LabelComparison`), `recordings` and `sources`; or `missing` and `datasets` where the
    candidate has not scored all of them, with `recordings` 0 where the current one has scored none.
    """
    basis, old = gate_basis(candidate, current), test_split.said(current)
    new = test_split.said(candidate)
    missing = np.setdiff1d(old.ids_N, new.ids_N)
    if len(missing) or not len(old.ids_N):
        return {"basis": basis, "recordings": len(old.ids_N), "missing": len(missing), "datasets": _datasets(missing)}
    codes = [ABNORMAL, *current.label_codes]
    truth = test_split.truth(old.ids_N, current.label_codes)
    lines = noninferiority.compare(
        np.column_stack([truth.abnormal_N, truth.target_NC]),
        np.column_stack([old.abnormal_N, old.label_NC]),
        _columns(new, candidate.label_codes, old.ids_N, current.label_codes),
        truth.patients_N,
        codes,
        margin=settings.GATE_MARGIN,
        positives_min=settings.GATE_POSITIVES_MIN,
    )
    shown = [asdict(line) for line in lines]
    return {"basis": basis, "recordings": len(old.ids_N), "sources": truth.sources, "missing": 0, "lines": shown}


def before_and_after(round_: Round) -> tuple[Checkpoint | None, Checkpoint | None]:
    """Return the checkpoint that a round chose by, and the first that was trained on the round's corrections."""
    trained = Checkpoint.objects.filter(provenance__rounds__contains=[round_.number]).select_related("run")
    return round_.checkpoint, trained.order_by("pk").first()


def _columns(said: Said, own_codes: list[str], ids_N: np.ndarray, codes: list[str]) -> np.ndarray:
    """Return what was said of these recordings: abnormal, then a column a code, NaN where the model lacks it."""
    rows = np.searchsorted(said.ids_N, ids_N)
    found = np.full((len(ids_N), 1 + len(codes)), np.nan, dtype=np.float32)
    found[:, 0] = said.abnormal_N[rows]
    for column, code in enumerate(codes, start=1):
        if code in own_codes:
            found[:, column] = said.label_NC[rows, own_codes.index(code)]
    return found


def _datasets(ids: np.ndarray) -> list[str]:
    rows = Dataset.objects.filter(recordings__in=ids.tolist()).distinct().order_by("name")
    return list(rows.values_list("name", flat=True))
