"""The convolutional encoder: waveform to tokens, one hop apart, none of which sees the future.

B batch, L lead, T time sample, N token, C features into a convolution, D width.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from ecgfm_core.configs import Config
from ecgfm_core.model.linear import Linear


class CausalConvolution(nn.Module):
    """A convolution over tokens, padded with the past only, written as one matrix product.

    On a CPU that is faster than the library's convolution where channels are few, and `[B, N, D]` stays all through.
    """

    def __init__(self, channels: int, width: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride
        self.weights = Linear(kernel * channels, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, x_BTC: Tensor) -> Tensor:
        """Give `[B, T // stride, D]`; token n ends with sample ``stride * (n + 1) - 1``."""
        padded_BTC = functional.pad(x_BTC, (0, 0, self.kernel - self.stride, 0))
        token_count = x_BTC.shape[1] // self.stride
        end = self.stride * (token_count - 1) + 1
        taps = [padded_BTC[:, tap : tap + end : self.stride] for tap in range(self.kernel)]
        return functional.gelu(self.norm(self.weights(torch.cat(taps, dim=-1))))


class Encoder(nn.Module):
    """Causal convolutions with LayerNorm over the features of a token, and nothing that mixes tokens further apart."""

    def __init__(self, config: Config, lead_count: int) -> None:
        super().__init__()
        channels = (lead_count, *[config.width] * (len(config.kernels) - 1))
        self.layers = nn.ModuleList(
            CausalConvolution(channels_in, config.width, kernel, stride)
            for channels_in, kernel, stride in zip(channels, config.kernels, config.strides, strict=True)
        )
        self.out = Linear(config.width, config.width)

    def forward(self, waveform_BLT: Tensor) -> Tensor:
        """Turn millivolt `[B, L, T]` into tokens `[B, T // hop, D]`."""
        x_BND = waveform_BLT.transpose(1, 2)
        for index, layer in enumerate(self.layers):
            y_BND = layer(x_BND)
            x_BND = x_BND + y_BND if index and y_BND.shape == x_BND.shape else y_BND
        return self.out(x_BND)
