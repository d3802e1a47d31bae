"""The any-lead encoder: absent leads change nothing, nothing looks ahead, and it starts as the twelve-lead one."""

from dataclasses import replace

import pytest
import torch

from ecgfm_core import configs
from ecgfm_core.errors import ConfigError
from ecgfm_core.model.any_lead import AnyLeadEncoder
from ecgfm_core.model.ecgfm import Ecgfm
from ecgfm_core.model.encoder import Encoder
from tests.ecgfm_core.tiny_data import TINY

CONFIG = configs.build("tiny_cpu", {**TINY, "encoder": "any_lead"})


def trained_like() -> AnyLeadEncoder:
    """An encoder whose every weight counts."""
    torch.manual_seed(3)
    encoder = AnyLeadEncoder(CONFIG)
    for weight in encoder.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    return encoder.eval()


def crops(batch: int = 3) -> torch.Tensor:
    return torch.randn(batch, 12, 200, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", configs.names())
def test_with_all_leads_it_starts_as_the_encoder_it_was_taken_from(name: str) -> None:
    torch.manual_seed(0)
    config = configs.build(name, {"width": 64, "heads": 4, "layers": 1})
    teacher, student = Encoder(config, 12), AnyLeadEncoder(config)
    student.start_from(teacher)
    torch.testing.assert_close(student(crops()), teacher(crops()), atol=1e-4, rtol=1e-4)


def test_tokens_have_the_shape_of_the_twelve_lead_encoder() -> None:
    assert trained_like()(crops()).shape == Encoder(CONFIG, 12)(crops()).shape == (3, 50, 32)


def test_an_absent_lead_has_no_say() -> None:
    """What is learned of an absent lead changes nothing; what is learned of a present one does."""
    encoder, waveform_BLT = trained_like(), crops()
    waveform_BLT[:, 2:] = 0
    before = encoder(waveform_BLT)
    with torch.no_grad():
        encoder.stem.embedding_scale_LF[2:] += 1
        encoder.stem.embedding_shift_LF[2:] += 1
        encoder.stem.score_embedding_LS[2:] += 1
    torch.testing.assert_close(encoder(waveform_BLT), before)
    with torch.no_grad():
        encoder.stem.embedding_shift_LF[1] += 1
    assert not torch.allclose(encoder(waveform_BLT), before, atol=1e-3)


def test_the_same_signal_on_another_lead_gives_other_tokens() -> None:
    encoder, one, other = trained_like(), torch.zeros(1, 12, 200), torch.zeros(1, 12, 200)
    one[:, 1] = other[:, 6] = crops()[0, 0]
    assert not torch.allclose(encoder(one), encoder(other), atol=1e-3)


def test_each_crop_of_a_batch_has_leads_of_its_own() -> None:
    encoder, waveform_BLT = trained_like(), crops()
    waveform_BLT[0, 1:] = 0
    waveform_BLT[1, :6] = 0
    for row in range(3):
        torch.testing.assert_close(encoder(waveform_BLT)[row], encoder(waveform_BLT[row : row + 1])[0])


def test_no_token_sees_the_future() -> None:
    encoder, waveform_BLT = trained_like(), crops(1)
    changed_BLT = waveform_BLT.clone()
    changed_BLT[..., 120:] = torch.randn(12, 80)
    before, after = encoder(waveform_BLT), encoder(changed_BLT)
    torch.testing.assert_close(before[:, :30], after[:, :30])
    assert not torch.allclose(before[:, 30:], after[:, 30:])


def test_a_crop_without_any_lead_gives_numbers() -> None:
    encoder, waveform_BLT = trained_like(), crops()
    waveform_BLT[1] = 0
    tokens_BND = encoder(waveform_BLT)
    tokens_BND.sum().backward()
    assert tokens_BND.isfinite().all()
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in encoder.parameters())


def test_the_configuration_chooses_the_encoder() -> None:
    assert isinstance(Ecgfm(CONFIG, 1, 300).encoder, AnyLeadEncoder)
    assert isinstance(Ecgfm(replace(CONFIG, encoder="twelve_lead"), 1, 300).encoder, Encoder)
    with pytest.raises(ConfigError, match="encoder is 'three_lead'; twelve_lead or any_lead is allowed"):
        configs.build("tiny_cpu", {"encoder": "three_lead"})
