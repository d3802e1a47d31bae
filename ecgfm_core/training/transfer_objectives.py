"""What the transferred encoder is trained for: the teacher's twelve-lead answers, from fewer leads.

B batch, L lead, T time sample, N token, C label, D width, E embedding feature, U token of all recordings together.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ecgfm_core.leads import STANDARD_LEADS, derive
from ecgfm_core.model.ecgfm import Ecgfm, Output
from ecgfm_core.training.dataset import uncalibrated_gain

LIMB_LEADS = STANDARD_LEADS[:6]
FIXED_SETS: tuple[tuple[str, ...], ...] = (
    STANDARD_LEADS,
    LIMB_LEADS,
    ("I", "II", *STANDARD_LEADS[6:]),
    ("I",),
    ("II",),
    ("I", "II"),
    ("II", "V1"),
    ("I", "II", "V2"),
)
TOKEN_WEIGHT, CONTEXT_WEIGHT, EMBEDDING_WEIGHT, HEAD_WEIGHT, DEVICE_WEIGHT = 1.0, 1.0, 1.0, 1.0, 0.1


def draw_leads(random: np.random.Generator) -> tuple[str, ...]:
    """Draw the leads that a recording would have: half the time a usual set, else each lead with p 0.5."""
    if random.random() < 0.5:
        return FIXED_SETS[random.integers(len(FIXED_SETS))]
    drawn: tuple[str, ...] = ()
    while not drawn:
        drawn = tuple(np.array(STANDARD_LEADS)[random.random(len(STANDARD_LEADS)) < 0.5].tolist())
    return drawn


def with_leads(waveform_LT: np.ndarray, kept: Sequence[str], calibrated: bool) -> np.ndarray:
    """Give twelve leads as if only `kept` had been recorded: III to aVF follow from I and II, the others are zero.

    Where the recording is not calibrated, the leads that are left decide its scale, as `dataset.prepare` would.
    """
    rows = [STANDARD_LEADS.index(name) for name in kept]
    left_LT = np.nan_to_num(derive(kept, waveform_LT[rows]), copy=False)
    if not calibrated and len(kept) < len(STANDARD_LEADS):
        left_LT *= np.float32(_gain(left_LT) / _gain(waveform_LT))
    return left_LT


def _gain(waveform_LT: np.ndarray) -> float:
    """Factor to the usual size by the leads that are there."""
    present_LT = waveform_LT[waveform_LT.any(axis=1)]
    return uncalibrated_gain(present_LT) if len(present_LT) else 1.0


@dataclass
class Answers:
    """What a network says of some crops, the signal's part of an `Output` as numbers to compare."""

    tokens_UD: Tensor
    contexts_UD: Tensor
    embedding_BE: Tensor
    logits_BC: Tensor


def answers_of(model: Ecgfm, output: Output) -> Answers:
    """Take the valid tokens and contexts, each with its features normalised, and the logits of trained heads."""
    width = output.tokens_BND.shape[-1:]
    valid = slice(None) if output.valid_BN is None else output.valid_BN.flatten()
    tokens_UD, contexts_UD = (
        functional.layer_norm(x_BND.float(), width).flatten(0, 1)[valid]
        for x_BND in (output.tokens_BND, output.contexts_BND)
    )
    logits_BC = torch.cat((output.abnormal_logit_B[:, None], output.label_logits_BC), dim=1).float()
    trained_BC = logits_BC if model.config.classification_weight else logits_BC[:, :0]
    return Answers(tokens_UD, contexts_UD, model.embed(output), trained_BC)


def parts_of(student: Answers, teacher: Answers) -> dict[str, Tensor]:
    """Compare: squared errors in units of what the mean alone would leave, and the KL divergence of the heads.

    Tokens and contexts differ most within a beat; the embeddings, sums over a crop, hold what differs between patients.
    """
    parts = {
        "tokens": relative_error(student.tokens_UD, teacher.tokens_UD),
        "contexts": relative_error(student.contexts_UD, teacher.contexts_UD),
        "embeddings": relative_error(student.embedding_BE, teacher.embedding_BE),
    }
    if teacher.logits_BC.shape[1]:
        parts["heads"] = head_divergence(student.logits_BC, teacher.logits_BC)
    return parts


def relative_error(given_UD: Tensor, wanted_UD: Tensor) -> Tensor:
    """Squared error as a share of the variance of what is wanted: 0 is the same, 1 is knowing its mean alone."""
    spread = (wanted_UD - wanted_UD.mean(0)).square().mean()
    return (given_UD - wanted_UD).square().mean() / spread.clamp(min=1e-6)


def head_divergence(given_BC: Tensor, wanted_BC: Tensor) -> Tensor:
    """Kullback-Leibler divergence of the heads' probabilities from the teacher's, nat a label."""
    wanted = wanted_BC.sigmoid()
    cross = functional.binary_cross_entropy_with_logits(given_BC, wanted)
    return cross - functional.binary_cross_entropy_with_logits(wanted_BC, wanted)


def coral(given_UD: Tensor, wanted_UD: Tensor) -> Tensor:
    """Distance of mean and covariance (Sun and Saenko, Deep CORAL, 2016), each in units of the wanted one's size."""
    mean_D, covariance_DD = wanted_UD.mean(0), wanted_UD.T.cov()
    shift = (given_UD.mean(0) - mean_D).square().sum() / covariance_DD.trace().clamp(min=1e-6)
    shape = (given_UD.T.cov() - covariance_DD).square().sum() / covariance_DD.square().sum().clamp(min=1e-6)
    return shift + shape
