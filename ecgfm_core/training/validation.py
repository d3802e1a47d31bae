"""Figures on the validation split, as a checkpoint would be used.

N recording, C label.
"""

import numpy as np
import torch

from ecgfm_core.model.ecgfm import Ecgfm
from ecgfm_core.model.score import score
from ecgfm_core.training.dataset import STEP_MV, Cache, Targets, batch_of
from ecgfm_core.training.distributed import Team
from ecgfm_core.training.metrics import auroc, macro_auroc
from ecgfm_core.training.objectives import PARTS, TensorBatch, losses_of

_SCORED_AT_ONCE = 64


@torch.inference_mode()
def validate(
    model: Ecgfm, cache: Cache, targets: Targets, rows: np.ndarray, team: Team | None = None
) -> dict[str, float | None]:
    """Losses in units of chance, retrieval accuracy, AUROC of abnormal and of the labels; empty without recordings.

    The processes of a team take turns at the passes, and all of them learn the figures.
    """
    if not len(rows):
        return {}
    team = team or Team()
    sums = np.zeros((2, len(PARTS)))
    abnormal_N, labels_NC = np.zeros(len(rows)), np.zeros((len(rows), len(targets.label_codes)))
    device = next(model.parameters()).device
    for first in range(team.rank * _SCORED_AT_ONCE, len(rows), team.count * _SCORED_AT_ONCE):
        part = rows[first : first + _SCORED_AT_ONCE]
        torch.manual_seed(first)  # the same negatives every time
        batch = TensorBatch.of(batch_of(cache, targets, part, model.config, None), device)
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            losses, _ = losses_of(model, batch, word_dropout=0.0)
        for place, name in enumerate(PARTS):
            if name in losses.parts:
                sums[:, place] += losses.parts[name].item() * len(part), len(part)
        scores = score(model, [cache.samples(row).astype(np.float32) * np.float32(STEP_MV) for row in part])
        abnormal_N[first : first + len(part)] = scores.abnormal_N
        labels_NC[first : first + len(part)] = scores.labels_NC
    macro, counted = macro_auroc(targets.labels_NC[rows], team.sum(labels_NC))
    return {
        **{f"validate_{name}": value / seen for name, value, seen in zip(PARTS, *team.sum(sums), strict=True) if seen},
        "validate_abnormal_auroc": auroc(targets.abnormal_N[rows], team.sum(abnormal_N)),
        "validate_label_macro_auroc": macro,
        "validate_labels_counted": float(counted),
    }
