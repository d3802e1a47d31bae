"""The network sees what it may see and nothing else; cached and uncached generation agree."""

import pytest
import torch

from ecgfm_core import configs
from ecgfm_core.model.ecgfm import BOS, EOS, PAD, UNKNOWN, Ecgfm, Output
from tests.ecgfm_core.tiny_data import TINY

VOCABULARY, LABELS = 40, 3
SAMPLES, HOP = 200, 4


@pytest.fixture(params=["transformer", "state_space"])
def model(request: pytest.FixtureRequest) -> Ecgfm:
    torch.manual_seed(0)
    config = configs.build("tiny_cpu", {**TINY, "layers": 2, "context": request.param})
    return Ecgfm(config, LABELS, VOCABULARY).eval()


def run(
    model: Ecgfm, waveform: torch.Tensor, counts: list[int] | None = None, text: torch.Tensor | None = None
) -> Output:
    with torch.inference_mode():
        return model(waveform, torch.tensor(counts or [waveform.shape[2]] * len(waveform)), text)


def waves(batch: int = 2) -> torch.Tensor:
    return torch.randn(batch, 12, SAMPLES, generator=torch.Generator().manual_seed(1))


def test_shapes(model: Ecgfm) -> None:
    output = run(model, waves(), text=torch.tensor([[BOS, 5, 6], [BOS, 7, PAD]]))
    assert output.tokens_BND.shape == (2, SAMPLES // HOP, 32)
    assert output.abnormal_logit_B.shape == (2,)
    assert output.label_logits_BC.shape == (2, LABELS)
    assert output.text_logits_BSV is not None
    assert output.text_logits_BSV.shape == (2, 3, VOCABULARY)
    assert model.embed(output).shape == (2, model.config.embedding_width)


@pytest.mark.parametrize("sample", [100, 101, 102, 103])
def test_the_future_changes_no_past_token_and_no_past_context(model: Ecgfm, sample: int) -> None:
    changed = waves()
    changed[:, :, sample:] += 10
    before, after = run(model, waves()), run(model, changed)
    last = sample // HOP  # the first token that may see the change
    torch.testing.assert_close(after.tokens_BND[:, :last], before.tokens_BND[:, :last])
    torch.testing.assert_close(after.contexts_BND[:, :last], before.contexts_BND[:, :last])
    assert not torch.allclose(after.contexts_BND[:, last:], before.contexts_BND[:, last:])


def test_a_token_sees_its_receptive_field_and_no_more(model: Ecgfm) -> None:
    field = model.config.receptive_field_samples
    waveform = waves(1).requires_grad_()
    model.encoder(waveform)[0, 30].sum().backward()
    assert waveform.grad is not None
    seen = waveform.grad.abs().sum(dim=(0, 1)).nonzero()[:, 0]
    assert int(seen.max()) == 31 * HOP - 1
    assert int(seen.max() - seen.min()) + 1 == field


def test_text_cannot_leak_into_heads_or_embedding(model: Ecgfm) -> None:
    one = run(model, waves(), text=torch.tensor([[BOS, 5, 6], [BOS, 7, 8]]))
    other = run(model, waves(), text=torch.tensor([[BOS, 9, 9], [BOS, 9, 9]]))
    none = run(model, waves())
    for output in (other, none):
        torch.testing.assert_close(output.abnormal_logit_B, one.abnormal_logit_B)
        torch.testing.assert_close(output.label_logits_BC, one.label_logits_BC)
        torch.testing.assert_close(model.embed(output), model.embed(one))


def test_text_sees_the_whole_signal_and_no_later_word(model: Ecgfm) -> None:
    text = torch.tensor([[BOS, 5, 6, 7]])
    changed_word, changed_signal = text.clone(), waves(1)
    changed_word[0, 3] = 9
    changed_signal[:, :, :8] += 5
    before = run(model, waves(1), text=text).text_logits_BSV
    later_word = run(model, waves(1), text=changed_word).text_logits_BSV
    signal = run(model, changed_signal, text=text).text_logits_BSV
    assert before is not None and later_word is not None and signal is not None  # noqa: PT018
    torch.testing.assert_close(later_word[:, :3], before[:, :3])
    assert not torch.allclose(signal[:, 0], before[:, 0])


def test_padding_changes_nothing(model: Ecgfm) -> None:
    """A short recording beside a long one gives what it gives alone, whatever lies in the padding."""
    padded = waves()
    padded[1, :, 120:] = 7.0
    text = torch.tensor([[BOS, 5], [BOS, 6]])
    together, alone = run(model, padded, [SAMPLES, 120], text), run(model, waves()[1:, :, :120], [120])
    torch.testing.assert_close(together.abnormal_logit_B[1:], alone.abnormal_logit_B)
    torch.testing.assert_close(model.embed(together)[1:], model.embed(alone), atol=1e-5, rtol=1e-4)
    padded[1, :, 120:] = -3.0
    other = run(model, padded, [SAMPLES, 120], text)
    assert together.text_logits_BSV is not None
    torch.testing.assert_close(other.text_logits_BSV, together.text_logits_BSV)


def uncached(model: Ecgfm, waveform: torch.Tensor, counts: list[int], token_count: int) -> torch.Tensor:
    """Greedy text by a whole forward pass a token."""
    text = torch.full((len(waveform), 1), BOS)
    done = torch.zeros(len(waveform), dtype=torch.bool)
    for _ in range(token_count):
        logits = run(model, waveform, counts, text).text_logits_BSV
        assert logits is not None
        last = logits[:, -1].clone()
        last[:, [PAD, BOS, UNKNOWN]] = float("-inf")
        step = last.argmax(-1).masked_fill(done, PAD)
        done |= step == EOS
        text = torch.cat((text, step[:, None]), dim=1)
        if bool(done.all()):
            break
    return text[:, 1:]


@pytest.mark.parametrize("counts", [[SAMPLES] * 5, [SAMPLES, 120, 90, SAMPLES, 150]])
def test_cached_generation_equals_uncached(model: Ecgfm, counts: list[int]) -> None:
    with torch.no_grad():
        for name, weight in model.decoder.named_parameters():
            if name.endswith(("out.weight", "down.weight")):
                weight.mul_(40)  # so that the text hangs on the signal and rows differ
    written = model.generate(run(model, waves(5), counts), 12)
    assert written.tolist() == uncached(model, waves(5), counts, 12).tolist()
    assert len({tuple(row) for row in written.tolist()}) > 1


def test_sampled_generation_follows_its_generator(model: Ecgfm) -> None:
    output = run(model, waves(4))

    def sample(seed: int) -> list[list[int]]:
        generator = torch.Generator().manual_seed(seed)
        return model.generate(output, 8, temperature=1.0, generator=generator).tolist()

    assert sample(1) == sample(1)
    assert sample(1) != sample(2)


def test_head_gradient_of_zero_keeps_the_labels_out_of_the_backbone() -> None:
    for share, learns in ((0.0, False), (0.5, True)):
        torch.manual_seed(0)
        model = Ecgfm(configs.build("tiny_cpu", {**TINY, "head_gradient": share}), LABELS, VOCABULARY)
        output = model(waves(), torch.tensor([SAMPLES, SAMPLES]))
        (output.abnormal_logit_B.sum() + output.label_logits_BC.sum()).backward()
        gradient = model.encoder.layers[0].weights.weight.grad
        assert (gradient is not None and bool(gradient.any())) is learns
