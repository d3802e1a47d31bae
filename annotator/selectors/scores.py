"""The scores of recordings, with what they mean, as pages and API show them."""

from collections.abc import Iterable
from typing import Any

from annotator.models import Prediction, Recording, Round
from ecgfm_core.active import meanings

# What a reader can make use of; the others serve those who choose.
SHOWN = ("label_error", "label_set_error", "aum", "entropy", "epistemic", "novelty", "quality")
LISTED = tuple(meanings.BY_NAME[name] for name in ("label_error", "label_set_error", "entropy", "epistemic", "novelty"))


def shown(prediction: Prediction) -> list[dict[str, Any]]:
    """Return the scores of a prediction that a reader can make use of, each with its meaning."""
    return meanings.described(vars(prediction), SHOWN)


def listed(round_: Round, recording_ids: Iterable[int]) -> dict[int, dict[str, float | None]]:
    """Return the scores of LISTED by name that the round's checkpoint gave each of these recordings."""
    names = [score.name for score in LISTED]
    rows = Prediction.objects.filter(checkpoint=round_.checkpoint_id, recording__in=list(recording_ids))
    return {pk: dict(zip(names, values, strict=True)) for pk, *values in rows.values_list("recording", *names)}


def quality_findings(recording_ids: Iterable[int]) -> dict[int, tuple[dict[str, Any], list[str]]]:
    """Return the findings of the signal-quality gate and the names of the leads of each of these recordings."""
    rows = Recording.objects.filter(pk__in=list(recording_ids)).values_list("pk", "quality", "waveform__lead_names")
    return {pk: (findings, lead_names) for pk, findings, lead_names in rows}
