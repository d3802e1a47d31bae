"""What a reader sees after the blind first read: the old labels, the model, and why the recording was queued."""

from typing import Any

from annotator.models import Checkpoint, Consensus, Prediction, QueueItem, Recording, Round
from annotator.selectors import schemes, scores

LABELS_SHOWN = 6
PROBABILITY_SHOWN = 0.05
# True of the audit share, and of repeats and controls too, which a reader takes for it.
RANDOM_REASON = "Drawn at random to measure how good labels and readings are."


def reveal(item: QueueItem) -> dict[str, Any]:
    """Return what is known and thought of an item's recording; the caller has made sure that it may be seen.

    A repeat or a control looks like an item of the audit share: what readers settled before would give it away.
    """
    known = on_file(item.recording, item.round)
    if item.origin not in QueueItem.COUNTED:
        known["consensus"] = None
    if item.origin == QueueItem.Origin.STRATEGY:
        return {**known, "reason": item.reason, "origin": item.origin}
    if known["model"] is not None:
        known["model"]["scores"] = []  # no score chose it, and some tell what readers said before
    return {**known, "reason": RANDOM_REASON, "origin": QueueItem.Origin.AUDIT}


def on_file(recording: Recording, round: Round) -> dict[str, Any]:
    """Return source labels, report, earlier consensus and prediction of a recording, as they stand in a round."""
    sources = recording.source_labels.order_by("pk")
    return {
        "source_labels": [
            {
                "system": source.system,
                "source_code": source.source_code,
                "code": source.code,
                "name": schemes.name_of(round.scheme_id, source.code) if source.code else source.source_code,
                "likelihood": source.likelihood,
            }
            for source in sources
        ],
        "source_abnormal": recording.source_abnormal,
        "report_text": recording.report_text,
        "consensus": _earlier(recording, round),
        "model": _model(recording, round),
    }


def _earlier(recording: Recording, round: Round) -> dict[str, Any] | None:
    earlier = Consensus.objects.filter(recording=recording).exclude(round=round).order_by("-pk").first()
    if earlier is None:
        return None
    return {
        "overall": earlier.overall,
        "statements": [
            {**statement, "name": schemes.name_of(earlier.scheme_id, statement["code"])}
            for statement in earlier.statements
        ],
        "text": earlier.text,
        "source": earlier.source,
    }


def _model(recording: Recording, round: Round) -> dict[str, Any] | None:
    checkpoint = {"checkpoint": round.checkpoint_id} if round.checkpoint_id else {"checkpoint__state": "current"}
    rows = Prediction.objects.filter(recording=recording, **checkpoint).select_related("checkpoint")
    prediction = rows.defer("embedding", "label_error_detail", "checkpoint__provenance", "checkpoint__metrics").first()
    if prediction is None:
        return None
    return {
        "checkpoint": prediction.checkpoint_id,
        "abnormal_probability": prediction.abnormal_probability,
        "labels": _likeliest(prediction, prediction.checkpoint, round.scheme_id),
        "text": prediction.generated_text,
        "scores": scores.shown(prediction),
    }


def _likeliest(prediction: Prediction, checkpoint: Checkpoint, scheme_id: int) -> list[dict[str, Any]]:
    """Return the likeliest labels, at least one, the rest only above a threshold."""
    pairs = zip(checkpoint.label_codes, prediction.label_probabilities, strict=True)
    ordered = sorted(pairs, key=lambda pair: -pair[1])[:LABELS_SHOWN]
    return [
        {"code": code, "name": schemes.name_of(scheme_id, code), "probability": probability}
        for place, (code, probability) in enumerate(ordered)
        if place == 0 or probability >= PROBABILITY_SHOWN
    ]
