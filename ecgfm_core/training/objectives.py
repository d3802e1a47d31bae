"""The three losses of one forward pass, each divided by its chance level, so that 1.0 is guessing.

B batch, N signal token, P token to pick from, J negative, D width, C label, S text token, V vocabulary.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from ecgfm_core.configs import Config
from ecgfm_core.model.ecgfm import BOS, PAD, UNKNOWN, Contexts, Ecgfm, Output
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


def losses_of(model: Ecgfm, batch: TensorBatch, *, word_dropout: float | None = None) -> tuple[Losses, Contexts]:
    """Run the network once and weigh the three losses; randomness comes from torch's own generator.

    A task of weight 0 is not computed.
    """
    config = model.config
    dropout = config.word_dropout if word_dropout is None else word_dropout
    text_in_BS = text_inputs(batch.text_BS, dropout) if config.text_weight else None
    output = model.contexts(batch.waveform_BLT, batch.sample_count_B, text_in_BS)
    parts: dict[str, Tensor] = {}
    total = output.tokens_BND.new_zeros((), dtype=torch.float32)
    if config.contrastive_weight:
        parts |= contrastive(model, output, batch.group_B)
        total = total + config.contrastive_weight * parts["contrastive"]
    if config.classification_weight:
        parts |= classification(model.with_heads(output), batch, config)
        known = [parts[name] for name in ("abnormal", "labels") if name in parts]
        if known:
            total = total + config.classification_weight * torch.stack(known).mean()
    if output.text_logits_BSV is not None:
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


def contrastive(model: Ecgfm, output: Contexts, group_B: Tensor) -> dict[str, Tensor]:
    """InfoNCE of ``W_k c_t`` against ``z_{t+k}`` (van den Oord et al., 2018), in units of chance.

    Half of the negatives are other times of the same recording, half are tokens of other patients in the batch. Padded
    tokens are neither positives nor negatives. Beside the loss it gives the top-1 retrieval accuracy, and the bound
    that the loss sets on what context and target share: ln(candidates) - loss, in nats.
    """
    config = model.config
    z_BND = functional.normalize(output.tokens_BND.float(), dim=-1)
    batch, tokens, width = z_BND.shape
    valid_BN = output.valid_BN if output.valid_BN is not None else z_BND.new_ones(batch, tokens, dtype=torch.bool)
    place_BJ, ok_BJ, at_BJ = _candidates(valid_BN, group_B, config.negatives)
    # All horizons in one product; the last contexts have nothing to predict, at longer horizons a few more.
    anchors = tokens - min(config.horizon_tokens)
    time_NK = torch.arange(anchors, device=z_BND.device)[:, None] + torch.tensor(
        config.horizon_tokens, device=z_BND.device
    )
    inside_NK, time_NK = time_NK < tokens, time_NK.clamp(max=tokens - 1)
    first_B11 = tokens * torch.arange(batch, device=z_BND.device)[:, None, None]
    # Looked up as embeddings are, whose gradient is the fastest to add up and the same every time.
    candidates_BJD = functional.embedding(place_BJ, z_BND.view(-1, width))
    targets_BNKD = functional.embedding(first_B11 + time_NK, z_BND.view(-1, width))
    predicted = model.predictors(output.contexts_BND[:, :anchors]).float().view(batch, anchors, -1, width)
    # Cosines over the temperature; the predictions' lengths are divided out of the products, which are fewer numbers.
    scale_BNK1 = 1 / (predicted.norm(dim=-1, keepdim=True).clamp(min=1e-12) * config.temperature)
    usable_BNKJ = ok_BJ[:, None, None] & (at_BJ[:, None, None] != time_NK[..., None])
    wrong = (predicted.flatten(1, 2) @ candidates_BJD.mT).view(usable_BNKJ.shape) * scale_BNK1
    wrong = wrong.masked_fill(~usable_BNKJ, float("-inf"))
    right_BNK1 = (predicted * targets_BNKD).sum(-1, keepdim=True) * scale_BNK1
    each_BNK = torch.logsumexp(torch.cat((right_BNK1, wrong), dim=-1), dim=-1) - right_BNK1[..., 0]
    counted_BNK = valid_BN[:, time_NK] & inside_NK & usable_BNKJ.any(-1)
    loss, count = (each_BNK * counted_BNK).sum(), counted_BNK.sum()
    chance = ((1 + usable_BNKJ.sum(-1)).log() * counted_BNK).sum()
    hits = ((right_BNK1[..., 0] > wrong.amax(-1)) & counted_BNK).sum()
    some = count.clamp(min=1)
    return {
        "contrastive": loss / chance.clamp(min=1e-6),
        "retrieval_accuracy": hits / some,
        "information_nats": (chance - loss).detach() / some,
    }


def _candidates(valid_BN: Tensor, group_B: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Pick wrong candidates for each recording `[B, J]`: where in the batch, which count, at which own token."""
    batch, tokens = valid_BN.shape
    inside_BJ, inside_ok_BJ = _pick(valid_BN, count // 2)
    outside_BJ, outside_ok_BJ = _others(valid_BN, group_B, count - count // 2)
    first_B1 = tokens * torch.arange(batch, device=valid_BN.device)[:, None]
    at_BJ = functional.pad(inside_BJ, (0, outside_BJ.shape[1]), value=-1)  # at none of its tokens where another's
    return torch.cat((first_B1 + inside_BJ, outside_BJ), dim=1), torch.cat((inside_ok_BJ, outside_ok_BJ), dim=1), at_BJ


def _pick(allowed_BP: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Pick up to `count` allowed places a row without repeats; the mask is False where a row has too few."""
    keys_BP = torch.rand(allowed_BP.shape, device=allowed_BP.device).masked_fill(~allowed_BP, -1.0)
    best = keys_BP.topk(min(count, allowed_BP.shape[1]), dim=1)
    return best.indices, best.values >= 0


def _others(valid_BN: Tensor, group_B: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Pick tokens of other patients for each recording `[B, J]`, as places in the batch, out of a random pool of it."""
    pool_1P, pool_ok_1P = _pick(valid_BN.reshape(1, -1), count * _POOL_FACTOR)
    allowed_BP = (group_B[pool_1P[0] // valid_BN.shape[1]] != group_B[:, None]) & pool_ok_1P
    place_BJ, ok_BJ = _pick(allowed_BP, count)
    return pool_1P[0][place_BJ], ok_BJ


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
    flat_MV = logits_BSV.flatten(0, 1).float()  # the vocabulary stays last in memory
    each = functional.cross_entropy(flat_MV, text_BS.flatten(), ignore_index=PAD, reduction="sum")
    return each / ((text_BS != PAD).sum().clamp(min=1) * math.log(logits_BSV.shape[-1]))
