"""The state-space context network: a known linear system, the same in parts as at once, at every length.

What both context networks promise together (no future, no text in the heads, padding, cached generation) is in
`test_model`. Sums of float32 in another order agree to within 1e-4 of their size.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from ecgfm_core import configs, manifest
from ecgfm_core.errors import ConfigError, TrainingError
from ecgfm_core.model.decoder import Decoder
from ecgfm_core.model.ecgfm import CONTEXTS, Ecgfm
from ecgfm_core.model.scoring_run import ScoringOptions, predict
from ecgfm_core.model.state_space import CHUNK, StateSpace, StateSpaceDecoder
from ecgfm_core.training.checkpoint import load_checkpoint
from ecgfm_core.training.dataset import Cache, targets_of
from ecgfm_core.training.loop import Plan, Trainer
from ecgfm_core.training.pretrain import TrainingOptions, pretrain
from tests.ecgfm_core.tiny_data import TINY, make

WIDTH = 8
STREAM = int(TINY["width"])
LENGTHS = [1, 2, 15, 16, 17, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK + 5]
CONTEXT_NAMES = ["transformer", "state_space"]


def decoder_of(context: str) -> Decoder | StateSpaceDecoder:
    """A context network whose residual branches weigh enough to be seen."""
    torch.manual_seed(0)
    config = configs.build("tiny_cpu", {**TINY, "layers": 2, "context": context})
    decoder = CONTEXTS[context](config)
    decoder.requires_grad_(False)
    with torch.no_grad():
        for weight in decoder.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    return decoder


def system(seed: int = 0) -> StateSpace:
    """A layer away from its first values."""
    torch.manual_seed(seed)
    layer = StateSpace(WIDTH)
    with torch.no_grad():
        for weight in layer.parameters():
            weight.add_(0.2 * torch.randn_like(weight))
    return layer


def tokens(count: int, batch: int = 3, width: int = WIDTH) -> Tensor:
    return torch.randn(batch, count, width, generator=torch.Generator().manual_seed(count))


def by_recurrence(layer: StateSpace, x_BND: Tensor) -> Tensor:
    """The definition, a token at a time in double precision: ``s' = A s + u`` held a step, ``y = 2 Re(C s) + D u``."""
    double = layer.double()
    step_D1 = double.log_step_D.exp()[:, None]
    frequency_P = torch.pi * torch.arange(double.log_decay_DP.shape[1])
    poles_DP = torch.complex(-0.5 * double.log_decay_DP.exp(), frequency_P * double.log_frequency_DP.exp())
    turn_DP = torch.exp(poles_DP * step_D1)
    gain_DP = (turn_DP - 1) / poles_DP
    read_DP = torch.view_as_complex(double.read_DP2)
    state_BDP = torch.zeros(len(x_BND), *poles_DP.shape, dtype=torch.complex128)
    outputs = []
    for x_BD in x_BND.double().unbind(1):
        state_BDP = turn_DP * state_BDP + gain_DP * x_BD[..., None]
        outputs.append(2 * (read_DP * state_BDP).real.sum(-1) + double.skip_D * x_BD)
    return torch.stack(outputs, dim=1)


@pytest.mark.parametrize("count", LENGTHS)
def test_the_layer_is_the_recurrence_that_defines_it(count: int) -> None:
    x_BND = tokens(count)
    y_BND, memory = system()(x_BND, None, keep=False)
    assert memory is None
    expected = by_recurrence(system(), x_BND)
    torch.testing.assert_close(y_BND.double(), expected, atol=1e-4 * float(expected.detach().abs().max()), rtol=0)


def test_one_pole_gives_the_geometric_series_that_is_known() -> None:
    """With one real pole -1/2 and a step of ln 4, an impulse halves at each token."""
    layer = StateSpace(1)
    with torch.no_grad():
        layer.read_DP2.zero_()
        layer.read_DP2[0, 0, 0] = 1.0
        layer.log_step_D.fill_(torch.log(torch.log(torch.tensor(4.0))))
        layer.skip_D.zero_()
    impulse = torch.zeros(1, CHUNK + 6, 1)
    impulse[0, 0] = 1.0
    y_N = layer(impulse, None, keep=False)[0][0, :, 0]
    # Held over its step the impulse weighs (1 - 1/2) / (1/2) = 1, and a pair counts twice.
    torch.testing.assert_close(y_N, 2.0 * 0.5 ** torch.arange(CHUNK + 6))


@pytest.mark.parametrize("context", CONTEXT_NAMES)
@pytest.mark.parametrize("parts", [[1] * 9, [62, 1, 1, 1], [5, CHUNK + 20, 1, CHUNK, 7]])
@pytest.mark.parametrize("padded", [False, True])
def test_in_parts_as_at_once(context: str, parts: list[int], padded: bool) -> None:
    decoder, total = decoder_of(context), sum(parts)
    x_BND = tokens(total, width=STREAM)
    valid_BN = torch.ones(3, total, dtype=torch.bool)
    valid_BN[1, 4 : min(40, total - 2)] = False
    at_once = decoder(x_BND, valid_BN if padded else None)
    cache, first, found = decoder.new_cache(total), 0, []
    for part_BND in x_BND.split(parts, dim=1):
        first += part_BND.shape[1]
        found.append(decoder(part_BND, valid_BN[:, :first] if padded else None, cache))
    torch.testing.assert_close(torch.cat(found, dim=1)[valid_BN], at_once[valid_BN], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("at", [0, CHUNK - 1, CHUNK, CHUNK + 30])
def test_the_future_changes_nothing_before_it(at: int) -> None:
    decoder = decoder_of("state_space")
    x_BND = tokens(2 * CHUNK, width=STREAM)
    changed = x_BND.clone()
    changed[:, at:] *= -1.0
    before, after = decoder(x_BND), decoder(changed)
    torch.testing.assert_close(after[:, :at], before[:, :at], atol=1e-5, rtol=1e-5)
    assert not torch.allclose(after[:, at], before[:, at])


def test_the_first_token_is_remembered_to_the_end() -> None:
    decoder = decoder_of("state_space")
    x_BND = tokens(2 * CHUNK, width=STREAM).requires_grad_()
    decoder(x_BND)[:, -1].square().sum().backward()
    assert x_BND.grad is not None
    assert bool(x_BND.grad[:, 0].any())


def test_padded_tokens_feed_nothing_and_text_after_them_still_sees_the_signal() -> None:
    decoder = decoder_of("state_space")
    x_BND = tokens(60, width=STREAM)
    valid_BN = torch.ones(3, 60, dtype=torch.bool)
    valid_BN[:, 20:50] = False
    padding, signal = x_BND.clone(), x_BND.clone()
    padding[:, 20:50] = 100.0
    signal[:, :20] *= -1.0
    found = decoder(x_BND, valid_BN)
    torch.testing.assert_close(decoder(padding, valid_BN)[valid_BN], found[valid_BN], atol=1e-5, rtol=1e-5)
    assert not torch.allclose(decoder(signal, valid_BN)[:, 50:], found[:, 50:], atol=1e-3)


def test_the_state_has_one_size_whatever_it_has_seen() -> None:
    decoder = decoder_of("state_space")
    assert isinstance(decoder, StateSpaceDecoder)
    sizes = []
    for count in (1, 100):
        cache = decoder.new_cache(count)
        decoder(tokens(count, width=STREAM), None, cache)
        sizes.append([memory.state_DBS.shape for memory in cache.memories if memory is not None])
    assert sizes[0] == sizes[1] == [(STREAM, 3, 2 * configs.STATE_PAIRS)] * 2


def test_gradients_are_those_of_the_definition() -> None:
    """Every weight learns, and at the rate that the token-by-token recurrence gives it."""
    layer, x_BND = system(), tokens(CHUNK + 9)
    layer(x_BND, None, keep=False)[0].square().mean().backward()
    slow = system().double()
    by_recurrence(slow, x_BND).square().mean().backward()
    for (name, weight), other in zip(layer.named_parameters(), slow.parameters(), strict=True):
        assert weight.grad is not None, name
        assert other.grad is not None, name
        assert bool(weight.grad.any()), name
        error = (weight.grad.double() - other.grad).abs().max() / other.grad.abs().max()
        assert error < 1e-4, name


@pytest.mark.parametrize("context", CONTEXT_NAMES)
@pytest.mark.parametrize("name", ["tiny_cpu", "small"])
def test_a_config_counts_its_parameters_to_one_in_a_hundred(name: str, context: str) -> None:
    config = configs.build(name, {"context": context})
    model = Ecgfm(config, 27, config.vocabulary + 260)
    assert config.parameter_count() == pytest.approx(sum(weight.numel() for weight in model.parameters()), rel=0.01)


def test_an_unknown_context_is_refused() -> None:
    with pytest.raises(ConfigError, match="context is 'rnn'; transformer or state_space is allowed"):
        configs.build("tiny_cpu", {"context": "rnn"})


CONFIG = {**TINY, "context": "state_space", "epochs": 2, "validate_epochs": 2}


def test_it_pretrains_and_scores_and_its_checkpoint_says_what_it_is(tmp_path: Path) -> None:
    manifest_path, waveforms = make(tmp_path, 16, 8)
    config = configs.build("tiny_cpu", CONFIG)
    folder = pretrain(
        manifest_path=manifest_path, waveform_folder=waveforms, config=config, seed=1, out=tmp_path / "run",
        options=TrainingOptions(threads=1, device="cpu"),
    )  # fmt: skip
    known = load_checkpoint(folder)
    assert known.config == config
    assert isinstance(known.model.decoder, StateSpaceDecoder)
    options = ScoringOptions(threads=1, device="cpu", with_text=True)
    scored = predict(
        checkpoint_folder=folder, manifest_path=manifest_path, waveform_folder=waveforms, out=tmp_path / "scores",
        options=options,
    )  # fmt: skip
    assert scored == 24
    header = json.loads((folder / "checkpoint.json").read_text())
    header["config"]["context"] = "transformer"
    (folder / "checkpoint.json").write_text(json.dumps(header))
    with pytest.raises(TrainingError, match="can't be read"):
        load_checkpoint(folder)


def test_stopped_and_gone_on_with_it_has_the_weights_of_an_unbroken_run(tmp_path: Path) -> None:
    manifest_path, waveforms = make(tmp_path, 16, 8)
    config, entries = configs.build("tiny_cpu", CONFIG), manifest.read(manifest_path)
    cache = Cache.open(tmp_path / "cache", entries, waveforms, 100.0, lambda *_: None)
    targets = targets_of(entries, ["59931005"], lambda _: [])

    def trainer() -> Trainer:
        torch.manual_seed(0)
        return Trainer(Ecgfm(config, 1, 10), Plan(np.arange(16), config, 0), torch.device("cpu"))

    unbroken, stopped, gone_on = trainer(), trainer(), trainer()
    for _ in range(3):
        unbroken.step(cache, targets)
    stopped.step(cache, targets)
    stopped.save(tmp_path / "state.safetensors")
    assert gone_on.resume(tmp_path / "state.safetensors") == 1
    for _ in range(2):
        gone_on.step(cache, targets)
    for left, right in zip(unbroken.averaged.parameters(), gone_on.averaged.parameters(), strict=True):
        assert torch.equal(left, right)
