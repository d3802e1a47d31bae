"""The three losses of one forward pass, each divided by its chance level, so that 1.0 is guessing.

B batch, N signal token, P token to pick from, J negative, D width, C label, S text token, V vocabulary.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from ecgfm_core.configs import Config
from ecgfm_core.model.ecgfm import BOS, PAD, UNKNOWN, Ecgfm, Output
from ecgfm_core.training.dataset import Batch

PARTS = ("contrastive", "retrieval_accuracy", "information_nats", "abnormal", "labels", "text", "loss")
_POOL_FACTOR = 16  # tokens drawn from the batch for each negative of other patients that is then picked


@dataclass
class TensorBatch:
    """A `Batch` on the device."""

    waveform_BLT: Tensor
    sample_count_B: Tensor
    abnormal_B: Tensor
    labels_BC: Tensor
    weight_B: Tensor
    group_B: Tensor
    text_BS: Tensor

    @classmethod
    def of(cls, batch: Batch, device: torch.device) -> "TensorBatch":
        """Move a batch to the device."""
        return cls(*(torch.from_numpy(getattr(batch, name)).to(device) for name in cls.__dataclass_fields__))


@dataclass
class Losses:
    """What one pass gives: the loss to minimise, and some of `PARTS` to report (detached, in units of chance)."""

    total: Tensor
    parts: dict[str, Tensor]


def losses_of(model: Ecgfm, batch: TensorBatch, *, word_dropout: float | None = None) -> tuple[Losses, Output]:
    """Run the network once and weigh the three losses; randomness comes from torch's own generator."""
    config = model.config
    dropout = config.word_dropout if word_dropout is None else word_dropout
    output = model(batch.waveform_BLT, batch.sample_count_B, text_inputs(batch.text_BS, dropout))
    parts: dict[str, Tensor] = {}
    total = output.tokens_BND.new_zeros((), dtype=torch.float32)
    if config.contrastive_weight:
        parts |= contrastive(model, output, batch.group_B)
        total = total + config.contrastive_weight * parts["contrastive"]
    if config.classification_weight:
        parts |= classification(output, batch, config)
        known = [parts[name] for name in ("abnormal", "labels") if name in parts]
        if known:
            total = total + config.classification_weight * torch.stack(known).mean()
    if config.text_weight and output.text_logits_BSV is not None:
        parts["text"] = text(output.text_logits_BSV, batch.text_BS)
        total = total + config.text_weight * parts["text"]
    parts["loss"] = total
    return Losses(total, {name: value.detach() for name, value in parts.items()}), output


def text_inputs(text_BS: Tensor, dropout: float) -> Tensor | None:
    """Put BOS before the text, leave its last token out and hide some words; None where no recording has text."""
    if not text_BS.shape[1]:
        return None
    shifted_BS = functional.pad(text_BS[:, :-1], (1, 0), value=BOS)
    if not dropout:
        return shifted_BS
    hidden_BS = (torch.rand(shifted_BS.shape, device=text_BS.device) < dropout) & (shifted_BS > UNKNOWN)
    return shifted_BS.masked_fill(hidden_BS, UNKNOWN)


def contrastive(model: Ecgfm, output: Output, group_B: Tensor) -> dict[str, Tensor]:
    """InfoNCE of ``W_k c_t`` against ``z_{t+k}`` (van den Oord et al., 2018), in units of chance.

    Half of the negatives are other times of the same recording, half are tokens of other patients in the batch. Padded
    tokens are neither positives nor negatives. Beside the loss it gives the top-1 retrieval accuracy, and the bound
    that the loss sets on what context and target share: ln(candidates) - loss, in nats.
    """
    config = model.config
    z_BND = functional.normalize(output.tokens_BND.float(), dim=-1)
    batch, tokens, width = z_BND.shape
    valid_BN = output.valid_BN if output.valid_BN is not None else z_BND.new_ones(batch, tokens, dtype=torch.bool)
    predicted = model.predictors(output.contexts_BND).float().view(batch, tokens, -1, width)
    predicted = functional.normalize(predicted, dim=-1)
    inside_BJ, inside_ok_BJ = _pick(valid_BN, config.negatives // 2)
    outside_BJD, outside_ok_BJ = _others(z_BND, valid_BN, group_B, config.negatives - config.negatives // 2)
    inside_BJD = z_BND.gather(1, inside_BJ[..., None].expand(-1, -1, width))
    candidates_BJD = torch.cat((inside_BJD, outside_BJD), dim=1)
    ok_BJ = torch.cat((inside_ok_BJ, outside_ok_BJ), dim=1)
    at_BJ = functional.pad(inside_BJ, (0, outside_BJD.shape[1]), value=-1)
    loss, chance, hits, count = z_BND.new_zeros(4).unbind()
    for place, horizon in enumerate(config.horizon_tokens):
        anchors_BND, targets_BND = predicted[:, : tokens - horizon, place], z_BND[:, horizon:]
        time_N = torch.arange(horizon, tokens, device=z_BND.device)
        usable_BNJ = ok_BJ[:, None] & (at_BJ[:, None] != time_N[None, :, None])
        wrong_BNJ = (anchors_BND @ candidates_BJD.mT).masked_fill(~usable_BNJ, float("-inf"))
        right_BN1 = (anchors_BND * targets_BND).sum(-1, keepdim=True)
        logits = torch.cat((right_BN1, wrong_BNJ), dim=-1) / config.temperature
        counted_BN = valid_BN[:, horizon:] & usable_BNJ.any(-1)
        each_BN = torch.logsumexp(logits, dim=-1) - logits[..., 0]
        loss = loss + (each_BN * counted_BN).sum()
        chance = chance + ((1 + usable_BNJ.sum(-1)).log() * counted_BN).sum()
        hits = hits + ((right_BN1[..., 0] > wrong_BNJ.amax(-1)) & counted_BN).sum()
        count = count + counted_BN.sum()
    some = count.clamp(min=1)
    return {
        "contrastive": loss / chance.clamp(min=1e-6),
        "retrieval_accuracy": hits / some,
        "information_nats": (chance - loss).detach() / some,
    }


def _pick(allowed_BP: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Pick up to `count` allowed places a row without repeats; the mask is False where a row has too few."""
    keys_BP = torch.rand(allowed_BP.shape, device=allowed_BP.device).masked_fill(~allowed_BP, -1.0)
    best = keys_BP.topk(min(count, allowed_BP.shape[1]), dim=1)
    return best.indices, best.values >= 0


def _others(z_BND: Tensor, valid_BN: Tensor, group_B: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Pick tokens of other patients for each recording `[B, J, D]` out of a random pool of the batch."""
    _, tokens, width = z_BND.shape
    pool_1P, pool_ok_1P = _pick(valid_BN.reshape(1, -1), count * _POOL_FACTOR)
    flat_P = pool_1P[0]
    allowed_BP = (group_B[flat_P // tokens] != group_B[:, None]) & pool_ok_1P
    place_BJ, ok_BJ = _pick(allowed_BP, count)
    return z_BND.reshape(-1, width)[flat_P[place_BJ]], ok_BJ


def classification(output: Output, batch: TensorBatch, config: Config) -> dict[str, Tensor]:
    """Binary cross-entropy of normal/abnormal and of the labels, in units of ln 2; the unknown counts for nothing."""
    parts = {}
    tasks = {
        "abnormal": (output.abnormal_logit_B[:, None], batch.abnormal_B[:, None]),
        "labels": (output.label_logits_BC, batch.labels_BC),
    }
    for name, (logits, target) in tasks.items():
        weight = batch.weight_B[:, None] * ~target.isnan()
        smooth = target.nan_to_num() * (1 - config.label_smoothing) + config.label_smoothing / 2
        each = functional.binary_cross_entropy_with_logits(logits.float(), smooth, reduction="none")
        if bool(weight.any()):
            parts[name] = (each * weight).sum() / (weight.sum() * math.log(2))
    return parts


def text(logits_BSV: Tensor, text_BS: Tensor) -> Tensor:
    """Cross-entropy of the next text token, in units of the vocabulary's chance; padding counts for nothing."""
    each = functional.cross_entropy(logits_BSV.float().mT, text_BS, ignore_index=PAD, reduction="sum")
    return each / ((text_BS != PAD).sum().clamp(min=1) * math.log(logits_BSV.shape[-1]))
