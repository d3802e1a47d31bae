"""ECGFM: encoder, causal decoder and heads in one stack, run once for all three tasks.

The sequence is ``[signal tokens, BOS, text tokens]``. Contexts see the past signal only; the heads pool signal contexts
only, so that text can't leak into them; text sees the whole signal.

B batch, L lead, T time sample, N signal token, S text token, D width, K horizon, C label, V vocabulary.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ecgfm_core.configs import Config
from ecgfm_core.leads import STANDARD_LEADS
from ecgfm_core.model.any_lead import AnyLeadEncoder
from ecgfm_core.model.decoder import Decoder, KeyValueCache
from ecgfm_core.model.encoder import Encoder
from ecgfm_core.model.heads import AttentionHead
from ecgfm_core.model.linear import Linear, linear
from ecgfm_core.model.state_space import StateCache, StateSpaceDecoder

PAD, BOS, EOS, UNKNOWN = 0, 1, 2, 3
ContextCache = KeyValueCache | StateCache
CONTEXTS: dict[str, type[Decoder] | type[StateSpaceDecoder]] = {
    "transformer": Decoder,
    "state_space": StateSpaceDecoder,
}


@dataclass
class Contexts:
    """What the backbone gives; `text_logits_BSV` is None without text, `valid_BN` where nothing is padded."""

    tokens_BND: Tensor
    contexts_BND: Tensor
    valid_BN: Tensor | None
    text_logits_BSV: Tensor | None


@dataclass
class Output(Contexts):
    """What one forward pass gives: the contexts, and the heads on them."""

    abnormal_logit_B: Tensor
    label_logits_BC: Tensor


class Ecgfm(nn.Module):
    """The network of a configuration, for a number of labels and a vocabulary."""

    def __init__(self, config: Config, label_count: int, vocabulary_count: int) -> None:
        super().__init__()
        self.config = config
        self.hop_samples = config.hop_samples
        self.encoder = AnyLeadEncoder(config) if config.encoder == "any_lead" else Encoder(config, len(STANDARD_LEADS))
        self.decoder = CONTEXTS[config.context](config)
        self.predictors = Linear(config.width, len(config.horizons_ms) * config.width, bias=False)
        self.abnormal_head = AttentionHead(config.width, 1)
        self.label_head = AttentionHead(config.width, label_count)
        self.text_embedding = nn.Embedding(vocabulary_count, config.width)
        self.apply(_initialise)
        residual_std = 0.02 / (2 * config.layers) ** 0.5
        for name, weight in self.decoder.named_parameters():
            if name.endswith(("_out.weight", "down.weight")):
                nn.init.normal_(weight, std=residual_std)

    def valid_tokens(self, sample_count_B: Tensor, token_count: int) -> Tensor | None:
        """Say which signal tokens hold samples `[B, N]`; None where all do."""
        valid_B = torch.div(sample_count_B, self.hop_samples, rounding_mode="floor").clamp(min=1)
        valid_BN = torch.arange(token_count, device=valid_B.device) < valid_B[:, None]
        return None if bool(valid_BN.all()) else valid_BN

    def forward(self, waveform_BLT: Tensor, sample_count_B: Tensor, text_in_BS: Tensor | None = None) -> Output:
        """Run the three tasks at once; `text_in_BS` begins with BOS."""
        return self.with_heads(self.contexts(waveform_BLT, sample_count_B, text_in_BS))

    def contexts(
        self,
        waveform_BLT: Tensor,
        sample_count_B: Tensor,
        text_in_BS: Tensor | None = None,
        cache: ContextCache | None = None,
    ) -> Contexts:
        """Run the backbone alone; a cache keeps what `generate` goes on from."""
        tokens_BND = self.encoder(waveform_BLT)
        signal_count = tokens_BND.shape[1]
        valid_BN = self.valid_tokens(sample_count_B, signal_count)
        sequence, valid = tokens_BND, valid_BN
        if text_in_BS is not None:
            sequence = torch.cat((tokens_BND, self.text_embedding(text_in_BS).to(tokens_BND.dtype)), dim=1)
            if valid_BN is not None:
                valid = torch.cat((valid_BN, torch.ones_like(text_in_BS, dtype=torch.bool)), dim=1)
        contexts = self.decoder(sequence, valid, cache)
        contexts_BND = contexts[:, :signal_count]
        text_logits_BSV = None if text_in_BS is None else self.text_logits(contexts[:, signal_count:])
        return Contexts(tokens_BND, contexts_BND, valid_BN, text_logits_BSV)

    def with_heads(self, seen: Contexts) -> Output:
        """Run the heads too."""
        abnormal_logit_B, label_logits_BC = self.classify(seen.contexts_BND, seen.valid_BN)
        return Output(**vars(seen), abnormal_logit_B=abnormal_logit_B, label_logits_BC=label_logits_BC)

    def classify(self, contexts_BND: Tensor, valid_BN: Tensor | None) -> tuple[Tensor, Tensor]:
        """Give the logits of abnormal `[B]` and of the labels `[B, C]`; the backbone learns `head_gradient` of it."""
        share = self.config.head_gradient
        seen = contexts_BND if share == 1 else share * contexts_BND + (1 - share) * contexts_BND.detach()
        return self.abnormal_head(seen, valid_BN)[:, 0], self.label_head(seen, valid_BN)

    def text_logits(self, contexts_BSD: Tensor) -> Tensor:
        """Give logits of the next text token, by the same matrix that embeds it."""
        return linear(contexts_BSD, self.text_embedding.weight.to(contexts_BSD.dtype))

    def embed(self, output: Contexts) -> Tensor:
        """Sum up a recording for other heads `[B, 4 D]`: mean and deviation of its contexts and of its tokens."""
        parts = []
        for x_BND in (output.contexts_BND.float(), output.tokens_BND.float()):
            weight_BN1 = (
                torch.ones_like(x_BND[..., :1]) if output.valid_BN is None else output.valid_BN[..., None].float()
            )
            count_B1 = weight_BN1.sum(1)
            mean_BD = (x_BND * weight_BN1).sum(1) / count_B1
            square_BD = ((x_BND - mean_BD[:, None]).square() * weight_BN1).sum(1) / count_B1
            parts += [mean_BD, square_BD.clamp(min=1e-12).sqrt()]  # a flat crop has a gradient too
        return torch.cat(parts, dim=-1)

    @torch.inference_mode()
    def generate(
        self,
        output: Contexts,
        token_count: int,
        *,
        temperature: float = 0.0,
        generator: torch.Generator | None = None,
        cache: ContextCache | None = None,
    ) -> Tensor:
        """Write text for a batch `[B, S]`, greedy at temperature 0, else sampled; PAD after EOS.

        A cache, of room for the text too, holds the signal that `contexts` has run; without one it is run again.
        """
        tokens_BND, batch = output.tokens_BND, output.tokens_BND.shape[0]
        step_BS = torch.full((batch, 1), BOS, device=tokens_BND.device)
        valid = output.valid_BN
        sequence = self.text_embedding(step_BS).to(tokens_BND.dtype)
        if cache is None:
            cache = self.decoder.new_cache(tokens_BND.shape[1] + token_count)
            sequence = torch.cat((tokens_BND, sequence), dim=1)
        written: list[Tensor] = []
        done_B = torch.zeros(batch, dtype=torch.bool, device=tokens_BND.device)
        while len(written) < token_count and not bool(done_B.all()):
            if valid is not None:
                valid = torch.cat((valid, torch.ones_like(step_BS, dtype=torch.bool)), dim=1)
            logits_BV = self.text_logits(self.decoder(sequence, valid, cache)[:, -1]).float()
            step_BS = _next_token(logits_BV, temperature, generator).masked_fill(done_B[:, None], PAD)
            written.append(step_BS)
            done_B = done_B | (step_BS[:, 0] == EOS)
            sequence = self.text_embedding(step_BS).to(tokens_BND.dtype)
        return torch.cat(written, dim=1) if written else step_BS[:, :0]


def _next_token(logits_BV: Tensor, temperature: float, generator: torch.Generator | None) -> Tensor:
    """Pick one token a row, never PAD, BOS or UNKNOWN, which stands for hidden words in training alone."""
    logits_BV = logits_BV.clone()
    logits_BV[:, [PAD, BOS, UNKNOWN]] = float("-inf")
    if temperature <= 0:
        return logits_BV.argmax(dim=-1, keepdim=True)
    return torch.multinomial((logits_BV / temperature).softmax(dim=-1), 1, generator=generator)


def _initialise(module: nn.Module) -> None:
    """Small normal weights, zero biases."""
    if isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=module.in_features**-0.5)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Embedding):
        nn.init.normal_(module.weight, std=0.02)
