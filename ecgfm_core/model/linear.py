"""The linear layer of all networks: on processors with AVX-512 its three float32 products go through oneDNN.

There PyTorch hands float32 products to MKL, which on AMD's processors keeps to 256-bit instructions: oneDNN's are 2.2
times as fast. Elsewhere, and for other types and devices, PyTorch's own layer is used.

M row, I feature in, O feature out.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

_HAS_FAST_PRODUCT = (
    torch.backends.mkldnn.is_available()
    and torch.backends.cpu.get_cpu_capability() == "AVX512"
    and hasattr(torch.ops.mkldnn, "_linear_pointwise")
)


def linear(x: Tensor, weight_OI: Tensor, bias_O: Tensor | None = None) -> Tensor:
    """Give ``x @ weight_OI.T + bias_O`` for `x` of any leading axes; the same as PyTorch's to within rounding."""
    fast = _HAS_FAST_PRODUCT and x.device.type == "cpu" and x.dtype == weight_OI.dtype == torch.float32 and x.numel()
    if not fast or torch.is_autocast_enabled("cpu"):
        return functional.linear(x, weight_OI, bias_O)
    if torch.is_grad_enabled() and (x.requires_grad or weight_OI.requires_grad):
        return _Linear.apply(x, weight_OI, bias_O)
    return _product(x, weight_OI, bias_O)


class Linear(nn.Linear):
    """`torch.nn.Linear` by `linear`: same weights, same names, same result."""

    def forward(self, x: Tensor) -> Tensor:
        """Give `[..., O]` for `[..., I]`."""
        return linear(x, self.weight, self.bias)


def _product(x: Tensor, weight_OI: Tensor, bias_O: Tensor | None = None) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(x, weight_OI, bias_O, "none", [], "")


class _Linear(torch.autograd.Function):
    """The product and its two gradients, all three by oneDNN, which reads transposed arrays without a copy."""

    @staticmethod
    def forward(context: Any, x: Tensor, weight_OI: Tensor, bias_O: Tensor | None) -> Tensor:
        context.save_for_backward(x, weight_OI)
        return _product(x, weight_OI, bias_O)

    @staticmethod
    @once_differentiable
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight_OI = context.saved_tensors
        gradient_MO = gradient.reshape(-1, gradient.shape[-1])
        of_x = of_weight_OI = of_bias_O = None
        if context.needs_input_grad[0]:
            of_x = _product(gradient_MO, weight_OI.T).view(x.shape)
        if context.needs_input_grad[1]:
            x_MI = x.reshape(-1, x.shape[-1])
            # The wider side as columns is the faster form.
            wide = gradient_MO.shape[1] > x_MI.shape[1]
            of_weight_OI = _product(x_MI.T, gradient_MO.T).T if wide else _product(gradient_MO.T, x_MI.T)
        if context.needs_input_grad[2]:
            of_bias_O = gradient_MO.sum(0)
        return of_x, of_weight_OI, of_bias_O
