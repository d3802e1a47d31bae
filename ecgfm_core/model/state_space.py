"""The causal state-space network: the other choice for the decoder, with the same promises.

Each feature of a layer has a diagonal linear system of `STATE_PAIRS` conjugate pairs: S4D (Gu et al., On the
Parameterization and Initialization of Diagonal State Space Models, 2022). Within a chunk of tokens the system is a
product with a Toeplitz matrix of its impulse response; its state goes on from chunk to chunk, and from one part of a
sequence to the next.

B batch, N token, M token of the sequence so far, D width, P conjugate pair, S real number of a state (2 P),
O output.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from ecgfm_core.configs import STATE_PAIRS, Config
from ecgfm_core.model.decoder import MlpBlock
from ecgfm_core.model.linear import Linear

CHUNK = 64  # tokens; up to here a Toeplitz product takes half the time of an FFT on a CPU, from 110 on it loses
_STEPS = (0.01, 0.3)  # of the systems at the start, in tokens: memories of about 3 to 200 tokens
_POWERS_A_TABLE = 16


class _Tables(NamedTuple):
    """What a chunk of up to N tokens is multiplied with."""

    toeplitz_DNN: Tensor  # inputs to outputs
    read_DSN: Tensor  # the state before the chunk to its outputs
    write_DNS: Tensor  # inputs to the state after a chunk that they end
    powers_DPN: Tensor  # what n + 1 tokens do to a state; complex


class Memory(NamedTuple):
    """What a layer keeps of the tokens so far: its state, and its tables, which hang on its weights alone."""

    tables: _Tables
    state_DBS: Tensor


class StateCache:
    """The memory of every layer after the tokens seen so far; None before the first."""

    def __init__(self, layer_count: int) -> None:
        self.memories: list[Memory | None] = [None] * layer_count


class StateSpace(nn.Module):
    """One linear system a feature, S4D: zero-order hold, frequencies in equal steps at the start (S4D-Lin).

    Decay and frequency are learned as factors on their first values, so that weight decay draws them back there.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        low, high = (math.log(step) for step in _STEPS)
        self.log_step_D = nn.Parameter(low + (high - low) * torch.rand(width))
        self.log_decay_DP = nn.Parameter(torch.zeros(width, STATE_PAIRS))
        self.log_frequency_DP = nn.Parameter(torch.zeros(width, STATE_PAIRS))
        self.read_DP2 = nn.Parameter(torch.randn(width, STATE_PAIRS, 2) / 2**0.5)
        self.skip_D = nn.Parameter(torch.ones(width))

    def forward(self, x_BND: Tensor, memory: Memory | None, keep: bool) -> tuple[Tensor, Memory | None]:
        """Give outputs `[B, N, D]` and, to `keep`, the memory after the last token; in float32."""
        x_DBN = x_BND.float().permute(2, 0, 1)
        tables, state_DBS = memory or (None, None)
        size, left = min(CHUNK, x_DBN.shape[2]), x_DBN.shape[2]
        if tables is None or tables.powers_DPN.shape[2] < size:
            tables = self._tables(size)
        written = []
        for chunk_DBN in x_DBN.split(CHUNK, dim=2):
            left -= chunk_DBN.shape[2]
            written.append(_outputs(tables, chunk_DBN, state_DBS))
            state_DBS = _next_state(tables, chunk_DBN, state_DBS) if keep or left else None
        y_DBN = written[0] if len(written) == 1 else torch.cat(written, dim=2)
        y_BND = torch.addcmul(y_DBN.permute(1, 2, 0), x_BND.float(), self.skip_D)
        return y_BND, None if state_DBS is None else Memory(tables, state_DBS)

    def _tables(self, count: int) -> _Tables:
        frequencies_P = math.pi * torch.arange(STATE_PAIRS, device=self.log_step_D.device)
        poles_DP = torch.complex(-0.5 * self.log_decay_DP.exp(), frequencies_P * self.log_frequency_DP.exp())
        rates_DP = poles_DP * self.log_step_D.exp()[:, None]
        gains_DP = 2 * torch.view_as_complex(self.read_DP2) * torch.expm1(rates_DP) / poles_DP
        powers_DPN = _powers(rates_DP, count + 1)  # from 0 on
        from_zero_DSN = _real(powers_DPN[..., :-1])
        response_DN = (torch.cat((gains_DP.real, -gains_DP.imag), 1)[:, None] @ from_zero_DSN)[:, 0]
        read_DPN = gains_DP[..., None] * powers_DPN[..., 1:]
        return _Tables(
            functional.pad(response_DN, (count - 1, 0)).unfold(1, count, 1).flip(1),
            torch.cat((read_DPN.real, -read_DPN.imag), dim=1),
            from_zero_DSN.flip(2).mT,
            powers_DPN[..., 1:],
        )


def _powers(rates_DP: Tensor, count: int) -> Tensor:
    """Give ``exp(rate * n)`` for n from 0 to `count - 1`, as products of two small tables: exponentials are dear."""
    fine = torch.arange(min(count, _POWERS_A_TABLE), device=rates_DP.device)
    coarse = torch.arange(0, count, _POWERS_A_TABLE, device=rates_DP.device)
    tables = [torch.exp(rates_DP[..., None] * steps) for steps in (coarse, fine)]
    return (tables[0][..., None] * tables[1][..., None, :]).flatten(-2)[..., :count]


def _real(z_DPN: Tensor) -> Tensor:
    """Stack real and imaginary parts `[D, S, N]`."""
    return torch.cat((z_DPN.real, z_DPN.imag), dim=1)


def _product(left_DBN: Tensor, right_DNO: Tensor) -> Tensor:
    """The product of matrices a feature; that of a single token is no sum, and many times as fast without one."""
    return left_DBN * right_DNO if left_DBN.shape[2] == 1 else left_DBN @ right_DNO


def _outputs(tables: _Tables, x_DBN: Tensor, state_DBS: Tensor | None) -> Tensor:
    """What a chunk gives `[D, B, N]`: of its own inputs, and of the state before it."""
    count = x_DBN.shape[2]
    y_DBN = _product(x_DBN, tables.toeplitz_DNN[:, :count, :count])
    return y_DBN if state_DBS is None else torch.baddbmm(y_DBN, state_DBS, tables.read_DSN[..., :count])


def _next_state(tables: _Tables, x_DBN: Tensor, state_DBS: Tensor | None) -> Tensor:
    """The state `[D, B, S]` after a chunk."""
    count = x_DBN.shape[2]
    new_DBS = _product(x_DBN, tables.write_DNS[:, tables.write_DNS.shape[1] - count :])
    if state_DBS is None:
        return new_DBS
    real, imaginary = state_DBS.chunk(2, dim=2)
    turn_D1P = tables.powers_DPN[..., count - 1][:, None]
    turned = (real * turn_D1P.real - imaginary * turn_D1P.imag, real * turn_D1P.imag + imaginary * turn_D1P.real)
    return new_DBS + torch.cat(turned, dim=2)


class StateSpaceBlock(MlpBlock):
    """A state-space layer with a gated output behind a LayerNorm, added to what came in, then the MLP."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.mixing_norm = nn.LayerNorm(config.width)
        self.systems = StateSpace(config.width)
        self.mixing_out = Linear(config.width, 2 * config.width, bias=False)
        self.add_mlp(config)

    def forward(
        self, x_BND: Tensor, valid_BN: Tensor | None, memory: Memory | None, keep: bool
    ) -> tuple[Tensor, Memory | None]:
        """Give `[B, N, D]` and the memory after it; tokens that are not valid feed nothing into the systems."""
        in_BND = self.mixing_norm(x_BND)
        if valid_BN is not None:
            in_BND = in_BND * valid_BN[..., None]
        with torch.autocast(x_BND.device.type, enabled=False):  # powers and long sums need float32
            y_BND, memory = self.systems(in_BND, memory, keep)
        value, gate = self.mixing_out(functional.gelu(y_BND).to(x_BND.dtype)).chunk(2, dim=-1)
        return self.mlp(x_BND + value * gate.sigmoid()), memory


class StateSpaceDecoder(nn.Module):
    """A stack of such blocks over ``[signal tokens, BOS, text tokens]``; a token sees itself and what came before.

    A padded token feeds nothing into the systems, but time passes: what came before it fades as over any token.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(StateSpaceBlock(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width)

    def new_cache(self, capacity: int) -> StateCache:  # noqa: ARG002 - the interface of every context network
        """Make an empty memory for a sequence that is run in parts; its size doesn't hang on their length."""
        return StateCache(len(self.blocks))

    def forward(self, x_BND: Tensor, valid_BM: Tensor | None = None, cache: StateCache | None = None) -> Tensor:
        """Give contexts `[B, N, D]`.

        `valid_BM` is False at padded tokens, which no other token then sees; it covers tokens seen earlier through the
        cache too. None where nothing is padded.
        """
        valid_BN = None if valid_BM is None else valid_BM[:, -x_BND.shape[1] :]
        for index, block in enumerate(self.blocks):
            memory = None if cache is None else cache.memories[index]
            x_BND, memory = block(x_BND, valid_BN, memory, cache is not None)
            if cache is not None:
                cache.memories[index] = memory
        return self.norm(x_BND)
