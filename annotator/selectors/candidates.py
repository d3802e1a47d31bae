"""What a round may choose from, with what is known of each recording."""

from collections.abc import Iterator
from typing import Any

from django.db.models import Exists, OuterRef, QuerySet

from annotator.models import Consensus, Label, Prediction, Recording, Round
from annotator.models.annotations import Overall
from annotator.selectors import training_pool

Row = dict[str, Any]
SCORES = ("label_error", "label_set_error", "aum", "entropy", "epistemic", "novelty")


def pool(round_: Round) -> QuerySet[Recording]:
    """Return the readable recordings of a round's datasets and split; settled ones only to draw at random."""
    rows = Recording.objects.filter(dataset__rounds=round_, split=round_.split)
    rows = rows.exclude(quality__contains={"readable": False})
    if round_.strategy == Round.Strategy.RANDOM:
        return rows
    return rows.exclude(Exists(Consensus.objects.filter(recording=OuterRef("pk"))))


def candidates(round_: Round) -> Iterator[Row]:
    """Yield each recording that may be chosen as the fields of `ecgfm_core.active.selection.Candidate`."""
    rows = pool(round_).values_list("pk", "source_abnormal", "centre")
    said = predictions(round_)
    settled = {row.recording_id: row.overall for row in training_pool.newest_consensus(pool(round_))}
    for pk, source_abnormal, centre in rows.iterator(chunk_size=5000):
        overall = settled.get(pk)
        given = source_abnormal if overall in (None, Overall.UNREADABLE) else overall == Overall.ABNORMAL
        yield {"id": pk, "given": given, "centre": centre, **said.get(pk, {})}


def predictions(round_: Round) -> dict[int, Row]:
    """Return what the round's checkpoint said of each recording, cross-fitted where it could be."""
    rows = Prediction.objects.filter(checkpoint=round_.checkpoint_id, recording__in=pool(round_).values("pk"))
    fields = ("recording", "abnormal_probability", "crossfit_abnormal_probability", "label_error_detail", *SCORES)
    found = {}
    for pk, plain, crossfit, detail, *numbers in rows.values_list(*fields).iterator(5000):
        found[pk] = {
            "probability": plain if crossfit is None else crossfit,
            "votes": detail.get("votes", 0),
            "models": detail.get("models", 0),
            "doubt": detail.get("doubt"),
            **dict(zip(SCORES, numbers, strict=True)),
        }
    return found


def label_names(round_: Round) -> dict[str, str]:
    """Return the name of each code of the round's label scheme."""
    return dict(Label.objects.filter(scheme=round_.scheme_id).values_list("code", "name"))
