"""The fast forms that the network computes in give what their plain forms give, values and gradients."""

import pytest
import torch
from torch.nn import functional

from ecgfm_core import configs
from ecgfm_core.model import linear as fast
from ecgfm_core.model.decoder import Block, rotary_angles, rotate
from ecgfm_core.model.ecgfm import Ecgfm
from ecgfm_core.model.encoder import CausalConvolution
from tests.ecgfm_core.tiny_data import TINY

SHAPES = [((3, 62, 128), 384), ((3, 62, 384), 128), ((5, 7), 1), ((2, 1, 32), 700)]


def inputs(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).requires_grad_()


def close(found: tuple[torch.Tensor, ...], expected: tuple[torch.Tensor, ...]) -> None:
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5 * max(1.0, other.abs().max().item()))


@pytest.mark.parametrize("is_biased", [True, False])
@pytest.mark.parametrize(("shape", "width"), SHAPES)
def test_linear_is_the_matrix_product_with_its_gradients(shape: tuple[int, ...], width: int, is_biased: bool) -> None:
    x, weight = inputs(*shape), inputs(width, shape[-1], seed=1)
    given = (x, weight, inputs(width, seed=2)) if is_biased else (x, weight)
    seen = inputs(*shape[:-1], width, seed=3).detach()
    found, expected = fast.linear(*given), functional.linear(*given)
    close((found,), (expected,))
    close(torch.autograd.grad(found, given, seen), torch.autograd.grad(expected, given, seen))
    with torch.inference_mode():
        close((fast.linear(*given),), (expected,))


def test_linear_takes_arrays_in_any_order_of_memory_and_no_rows_at_all() -> None:
    x, weight = inputs(4, 16, 6).mT, inputs(16, 8).mT
    close((fast.linear(x, weight),), (functional.linear(x, weight),))
    assert fast.linear(x[:0], weight).shape == (0, 6, 8)


def test_linear_leaves_other_types_to_torch() -> None:
    x, weight = inputs(3, 8).double(), inputs(4, 8).double()
    assert torch.equal(fast.linear(x, weight), functional.linear(x, weight))
    with torch.autocast("cpu", torch.bfloat16):
        assert fast.linear(x.float(), weight.float()).dtype == torch.bfloat16


def test_gradients_reach_only_what_asks_for_them() -> None:
    x, weight = inputs(3, 8).detach(), inputs(4, 8)
    fast.linear(x, weight).sum().backward()
    assert x.grad is None
    assert weight.grad is not None


@pytest.mark.parametrize(("kernel", "stride"), [(5, 2), (3, 1), (9, 5), (2, 2)])
def test_the_convolution_is_torchs_padded_with_the_past(kernel: int, stride: int) -> None:
    torch.manual_seed(0)
    layer, x_BTC = CausalConvolution(12, 32, kernel, stride), inputs(2, 90, 12)
    kernels = layer.weights.weight.view(32, kernel, 12).permute(0, 2, 1)
    past = functional.pad(x_BTC.mT, (kernel - stride, 0))
    plain = functional.conv1d(past, kernels, layer.weights.bias, stride).mT
    expected = functional.gelu(functional.layer_norm(plain, (32,), layer.norm.weight, layer.norm.bias))
    given = (x_BTC, layer.weights.weight, layer.weights.bias)
    seen = torch.randn_like(expected)
    close((layer(x_BTC),), (expected,))
    close(torch.autograd.grad(layer(x_BTC), given, seen), torch.autograd.grad(expected, given, seen))


def plain_rotation(x: torch.Tensor, angles: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    """Each pair of features, one of either half, as a complex number times one of length 1."""
    first, second = x.chunk(2, dim=-1)
    turned = torch.complex(first, second) * torch.complex(*angles)
    return torch.cat((turned.real, turned.imag), dim=-1)


def test_rotation_is_a_product_of_complex_numbers_with_its_gradient() -> None:
    joined, angles = inputs(2, 9, 3, 4, 8), rotary_angles(5, 9, 8, torch.device("cpu"))
    x = joined.permute(2, 0, 3, 1, 4)[1]
    seen = inputs(*x.shape, seed=1).detach()
    found, expected = rotate(x, angles), plain_rotation(x, angles)
    close((found,), (expected,))
    close(torch.autograd.grad(found, joined, seen), torch.autograd.grad(expected, joined, seen))


def test_attention_is_the_softmax_over_the_past() -> None:
    torch.manual_seed(0)
    config = configs.build("tiny_cpu")
    block, x_BND = Block(config, 0), inputs(2, 37, config.width)
    features = config.width // config.heads
    angles = rotary_angles(0, 37, features, x_BND.device)

    def plain(x: torch.Tensor) -> torch.Tensor:
        joined = block.query_key_value(block.attention_norm(x)).view(2, 37, 3, config.heads, features)
        queries, keys, values = joined.permute(2, 0, 3, 1, 4)
        scores = plain_rotation(queries, angles) @ plain_rotation(keys, angles).mT / features**0.5
        future = torch.ones(37, 37, dtype=torch.bool).triu(1)
        seen = scores.masked_fill(future, float("-inf")).softmax(-1) @ values
        x = x + block.attention_out(seen.transpose(1, 2).reshape(x.shape))
        gate, up = block.gate_up(block.mlp_norm(x)).chunk(2, dim=-1)
        return x + block.down(functional.silu(gate) * up)

    given = (x_BND, *block.parameters())
    seen = torch.randn_like(x_BND)
    found, expected = block(x_BND, angles, None, None), plain(x_BND)
    close((found,), (expected,))
    close(torch.autograd.grad(found, given, seen), torch.autograd.grad(expected, given, seen))


@pytest.mark.parametrize("context", ["transformer", "state_space"])
def test_text_goes_on_from_the_scored_signal_as_if_it_were_run_again(context: str) -> None:
    torch.manual_seed(0)
    model = Ecgfm(configs.build("tiny_cpu", {**TINY, "context": context}), 2, 40).eval()
    waveform, counts = torch.randn(4, 12, 200), torch.tensor([200, 200, 120, 60])
    with torch.inference_mode():
        for several in (counts, torch.full((4,), 200)):
            cache = model.decoder.new_cache(50 + 9)
            kept, again = model.contexts(waveform, several, cache=cache), model.contexts(waveform, several)
            close((kept.contexts_BND,), (again.contexts_BND,))
            assert model.generate(kept, 9, cache=cache).tolist() == model.generate(again, 9).tolist()
