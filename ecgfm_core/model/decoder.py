"""The causal transformer decoder: pre-norm, rotary positions, SwiGLU, with a key-value cache for generation.

B batch, N token, M token attended to, D width, H head, E features a head.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from ecgfm_core.configs import Config
from ecgfm_core.model.linear import Linear

ROTARY_BASE = 10_000.0


class KeyValueCache:
    """Keys and values of the tokens seen so far, a layer; `count` of `capacity` are filled."""

    def __init__(self, layer_count: int, capacity: int) -> None:
        self.capacity = capacity
        self.count = 0
        self._kept: list[tuple[Tensor, Tensor] | None] = [None] * layer_count

    def extend(self, layer: int, keys_BHNE: Tensor, values_BHNE: Tensor) -> tuple[Tensor, Tensor]:
        """Put the new tokens behind the old ones of this layer; give all of them."""
        kept = self._kept[layer]
        if kept is None:
            batch, heads, _, features = keys_BHNE.shape
            kept = (
                keys_BHNE.new_zeros(batch, heads, self.capacity, features),
                values_BHNE.new_zeros(batch, heads, self.capacity, features),
            )
            self._kept[layer] = kept
        end = self.count + keys_BHNE.shape[2]
        kept[0][:, :, self.count : end] = keys_BHNE
        kept[1][:, :, self.count : end] = values_BHNE
        return kept[0][:, :, :end], kept[1][:, :, :end]

    def advance(self, token_count: int) -> None:
        """Count tokens that every layer has now kept."""
        self.count += token_count


def rotary_angles(first: int, count: int, features: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Cosines and sines `[N, E / 2]` of positions `first` and on (Su et al., RoFormer, 2021)."""
    rates = ROTARY_BASE ** (-torch.arange(0, features, 2, device=device, dtype=torch.float32) / features)
    angles = torch.outer(torch.arange(first, first + count, device=device, dtype=torch.float32), rates)
    return angles.cos(), angles.sin()


def rotate(x_BHNE: Tensor, rotary: tuple[Tensor, Tensor]) -> Tensor:
    """Turn each pair of features by its position's angle."""
    return _Rotation.apply(x_BHNE, rotary[0].to(x_BHNE.dtype), rotary[1].to(x_BHNE.dtype))


class _Rotation(torch.autograd.Function):
    """The rotation without copies in between, in half the time; its gradient is the rotation back."""

    @staticmethod
    def forward(context: Any, x_BHNE: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
        context.save_for_backward(cosine, sine)
        return _turned(x_BHNE, cosine, sine)

    @staticmethod
    @once_differentiable
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        cosine, sine = context.saved_tensors
        return _turned(gradient, cosine, -sine), None, None


def _turned(x_BHNE: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    turned = torch.empty_like(x_BHNE)
    (first, second), (out_first, out_second) = x_BHNE.chunk(2, dim=-1), turned.chunk(2, dim=-1)
    torch.mul(first, cosine, out=out_first).addcmul_(second, sine, value=-1)
    torch.mul(second, cosine, out=out_second).addcmul_(first, sine)
    return turned


class MlpBlock(nn.Module):
    """The half that the blocks of every context network share: SwiGLU behind a LayerNorm, added to what came in."""

    def add_mlp(self, config: Config) -> None:
        """Make the weights; called last, so that the other half's are drawn first."""
        self.mlp_norm = nn.LayerNorm(config.width)
        self.gate_up = Linear(config.width, 2 * config.mlp_width, bias=False)
        self.down = Linear(config.mlp_width, config.width, bias=False)

    def mlp(self, x_BND: Tensor) -> Tensor:
        """Give `[B, N, D]`, each token by itself (Shazeer, GLU variants improve transformer, 2020)."""
        gate, up = self.gate_up(self.mlp_norm(x_BND)).chunk(2, dim=-1)
        return x_BND + self.down(functional.silu(gate) * up)


class Block(MlpBlock):
    """Attention behind a LayerNorm, added to what came in, then the MLP."""

    def __init__(self, config: Config, index: int) -> None:
        super().__init__()
        self.index, self.heads = index, config.heads
        self.attention_norm = nn.LayerNorm(config.width)
        self.query_key_value = Linear(config.width, 3 * config.width, bias=False)
        self.attention_out = Linear(config.width, config.width, bias=False)
        self.add_mlp(config)

    def forward(
        self, x_BND: Tensor, rotary: tuple[Tensor, Tensor], allowed_BHNM: Tensor | None, cache: KeyValueCache | None
    ) -> Tensor:
        """Give `[B, N, D]`; causal where `allowed_BHNM` is None, else attending to what it allows."""
        batch, tokens, width = x_BND.shape
        joined = self.query_key_value(self.attention_norm(x_BND)).view(
            batch, tokens, 3, self.heads, width // self.heads
        )
        queries, keys, values = joined.permute(2, 0, 3, 1, 4)
        queries, keys = rotate(queries, rotary), rotate(keys, rotary)
        if cache is not None:
            keys, values = cache.extend(self.index, keys, values)
        causal = allowed_BHNM is None and tokens > 1
        seen = functional.scaled_dot_product_attention(queries, keys, values, attn_mask=allowed_BHNM, is_causal=causal)
        return self.mlp(x_BND + self.attention_out(seen.transpose(1, 2).reshape(batch, tokens, width)))


class Decoder(nn.Module):
    """A stack of blocks over ``[signal tokens, BOS, text tokens]``; a token sees itself and what came before."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.features_a_head = config.width // config.heads
        self.blocks = nn.ModuleList(Block(config, index) for index in range(config.layers))
        self.norm = nn.LayerNorm(config.width)

    def new_cache(self, capacity: int) -> KeyValueCache:
        """Make an empty memory for a sequence that is run in parts, of up to `capacity` tokens."""
        return KeyValueCache(len(self.blocks), capacity)

    def forward(self, x_BND: Tensor, valid_BM: Tensor | None = None, cache: KeyValueCache | None = None) -> Tensor:
        """Give contexts `[B, N, D]`.

        `valid_BM` is False at padded tokens, which no other token then sees; it covers cached tokens too. None where
        nothing is padded.
        """
        before = cache.count if cache else 0
        rotary = rotary_angles(before, x_BND.shape[1], self.features_a_head, x_BND.device)
        if valid_BM is None and before and x_BND.shape[1] > 1:
            valid_BM = x_BND.new_ones(1, before + x_BND.shape[1], dtype=torch.bool)
        allowed = None if valid_BM is None else _allowed(valid_BM, before, x_BND.shape[1])
        for block in self.blocks:
            x_BND = block(x_BND, rotary, allowed, cache)
        if cache is not None:
            cache.advance(x_BND.shape[1])
        return self.norm(x_BND)


def _allowed(valid_BM: Tensor, before: int, count: int) -> Tensor:
    """Say which tokens each new token may attend to `[B, 1, N, M]`: valid ones up to itself, and always itself."""
    total = before + count
    causal_NM = torch.ones(count, total, dtype=torch.bool, device=valid_BM.device).tril(before)
    itself_NM = torch.zeros_like(causal_NM)
    itself_NM.diagonal(before).fill_(True)
    return ((causal_NM & valid_BM[:, None, :total]) | itself_NM)[:, None]
