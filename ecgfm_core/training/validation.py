"""Figures on the validation split, as a checkpoint would be used.

N recording, C label.
"""

import numpy as np
import torch

from ecgfm_core.model.ecgfm import Ecgfm
from ecgfm_core.model.score import score
from ecgfm_core.training.dataset import STEP_MV, Cache, Targets, batch_of
from ecgfm_core.training.metrics import auroc, macro_auroc
from ecgfm_core.training.objectives import TensorBatch, losses_of

_SCORED_AT_ONCE = 64


@torch.inference_mode()
def validate(model: Ecgfm, cache: Cache, targets: Targets, rows: np.ndarray) -> dict[str, float | None]:
    """Losses in units of chance, retrieval accuracy, AUROC of abnormal and of the labels; empty without recordings."""
    if not len(rows):
        return {}
    sums: dict[str, float] = {}
    abnormal, labels = [], []
    device = next(model.parameters()).device
    for first in range(0, len(rows), _SCORED_AT_ONCE):
        part = rows[first : first + _SCORED_AT_ONCE]
        torch.manual_seed(first)  # the same negatives every time
        batch = TensorBatch.of(batch_of(cache, targets, part, model.config, None), device)
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            losses, _ = losses_of(model, batch, word_dropout=0.0)
        for name, value in losses.parts.items():
            sums[name] = sums.get(name, 0.0) + value.item() * len(part)
        scores = score(model, [cache.samples(row).astype(np.float32) * np.float32(STEP_MV) for row in part])
        abnormal.append(scores.abnormal_N)
        labels.append(scores.labels_NC)
    macro, counted = macro_auroc(targets.labels_NC[rows], np.concatenate(labels))
    return {
        **{f"validate_{name}": value / len(rows) for name, value in sums.items()},
        "validate_abnormal_auroc": auroc(targets.abnormal_N[rows], np.concatenate(abnormal)),
        "validate_label_macro_auroc": macro,
        "validate_labels_counted": float(counted),
    }
