"""A scored pool whose recordings come in kinds; one kind is abnormal throughout and called normal wherever it is."""

import numpy as np

from annotator.models import Checkpoint, Consensus, Prediction, Recording, Round
from annotator.services import rounds
from tests.annotator.manage_world import admin, checkpoint, scored
from tests.annotator.reading_world import AF, SINUS, Chosen, recordings, scheme

KINDS, EACH, WIDTH = 6, 50, 8
HIDDEN = 3  # the kind that is abnormal and called normal; those above it are abnormal and called so


def pool(count: int = KINDS * EACH, width: int = WIDTH) -> tuple[Checkpoint, list[Recording]]:
    """Recordings of KINDS kinds in turn, with a scoring run and predictions whose label errors are small and alike."""
    scheme()
    rows, random = recordings(count), np.random.default_rng(0)
    centre_KD = 3.0 * np.eye(KINDS, width)
    for number, row in enumerate(rows):
        row.source_abnormal, row.patient_hash = kind_of(number) > HIDDEN, f"p{number // KINDS % 90}"
    Recording.objects.bulk_update(rows, ["source_abnormal", "patient_hash"])
    point = checkpoint(Checkpoint.State.CURRENT)
    Prediction.objects.bulk_create(
        Prediction(
            checkpoint=point, recording=row, abnormal_probability=0.5, label_probabilities=[0.5], label_error=0.1,
            label_error_detail={"votes": 1, "models": 15}, entropy=0.5, margin=0.5,
            embedding=(centre_KD[kind_of(number)] + random.normal(0, 0.5, width)).tolist(),
        )
        for number, row in enumerate(rows)
    )  # fmt: skip
    scored(point)
    return point, rows


def kind_of(number: int) -> int:
    return number % KINDS


def open_round(
    point: Checkpoint, chosen: list[Recording], *, copies: int = 1, origins: dict[int, str] | None = None,
    strategy: str = "relabel", reveal: str = "never", is_open: bool = True,
) -> Round:  # fmt: skip
    """An open round over these recordings in this order."""
    round = rounds.create_round(
        dataset_ids=[chosen[0].dataset_id], strategy=strategy, budget=len(chosen), audit_share=0,
        readers_per_item=copies, reveal=reveal, checkpoint=point, seed=1, by=admin(),
    )  # fmt: skip
    rounds.request_fill(round=round, by=admin())
    origins = origins or {}
    rounds.fill(round=round, chosen=[Chosen(row.pk, n, origins.get(n, "strategy")) for n, row in enumerate(chosen)])
    if is_open:
        rounds.open_round(round=round, by=admin())
    return round


def settle(round: Round, rows: list[Recording], overall: str = "abnormal") -> None:
    """Readers settled these recordings, as corrections."""
    Consensus.objects.bulk_create(
        Consensus(
            recording=row, round=round, scheme_id=round.scheme_id, source="single", corrects=True, overall=overall,
            statements=[{"code": AF if overall == "abnormal" else SINUS, "qualifier": ""}],
        )
        for row in rows
    )  # fmt: skip
