"""Losses: what is padded or unknown counts for nothing, negatives are half and half, guessing costs 1."""

import math
from collections.abc import Callable

import pytest
import torch

from ecgfm_core import configs
from ecgfm_core.model.ecgfm import BOS, EOS, UNKNOWN, Ecgfm
from ecgfm_core.training import objectives
from ecgfm_core.training.objectives import TensorBatch, losses_of
from tests.ecgfm_core.tiny_data import TINY

NAN = float("nan")


@pytest.fixture
def model() -> Ecgfm:
    torch.manual_seed(0)
    return Ecgfm(configs.build("tiny_cpu", {**TINY, "negatives": 16}), 2, 40)


def batch_of(**changes: torch.Tensor) -> TensorBatch:
    random = torch.Generator().manual_seed(3)
    values = {
        "waveform_BLT": torch.randn(4, 12, 200, generator=random),
        "sample_count_B": torch.tensor([200, 200, 200, 200]),
        "abnormal_B": torch.tensor([0.0, 1.0, 0.0, 1.0]),
        "labels_BC": torch.tensor([[0.0, 1.0], [1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]),
        "weight_B": torch.ones(4),
        "group_B": torch.tensor([0, 1, 2, 3]),
        "text_BS": torch.tensor([[5, 6, EOS], [7, EOS, 0], [8, 9, EOS], [9, EOS, 0]]),
    }
    return TensorBatch(**{**values, **changes})


def losses(model: Ecgfm, batch: TensorBatch, seed: int = 0) -> dict[str, float]:
    torch.manual_seed(seed)
    found, _ = losses_of(model, batch)
    return {name: value.item() for name, value in found.parts.items()}


def test_an_untrained_network_guesses(model: Ecgfm) -> None:
    found = losses(model, batch_of())
    assert found["text"] == pytest.approx(1, abs=0.1)
    assert found["abnormal"] == pytest.approx(1, abs=0.5)
    assert 0.7 < found["contrastive"] < 1.6
    assert found["retrieval_accuracy"] < 0.35


def test_a_perfect_prediction_costs_little_and_is_always_found(model: Ecgfm) -> None:
    """Contexts that know the coming token are counted as hits: the bookkeeping of horizons is right."""
    batch = batch_of()
    output = model(batch.waveform_BLT, batch.sample_count_B)
    with torch.no_grad():
        output.tokens_BND = torch.randn(4, 50, 32)
        horizons = model.config.horizon_tokens
        ahead = [torch.roll(output.tokens_BND, -horizon, dims=1) for horizon in horizons]
        output.contexts_BND = torch.stack(ahead, dim=2).flatten(2)
    model.predictors = torch.nn.Identity()  # type: ignore[assignment]
    found = {name: value.item() for name, value in objectives.contrastive(model, output, batch.group_B).items()}
    assert found["retrieval_accuracy"] == 1
    assert found["contrastive"] < 0.1
    # Nearly all of what a choice among 32 + 32 negatives can show, fewer where a candidate is the target itself.
    candidates = math.log(1 + model.config.negatives)
    assert 0.9 * candidates < found["information_nats"] < candidates


def test_padded_tokens_are_neither_positives_nor_negatives(model: Ecgfm) -> None:
    counts = torch.tensor([200, 120, 100, 200])
    waveform = batch_of().waveform_BLT
    found = []
    for filling in (0.0, 50.0):
        padded = waveform.clone()
        padded[1, :, 120:], padded[2, :, 100:] = filling, -filling
        found.append(losses(model, batch_of(waveform_BLT=padded, sample_count_B=counts)))
    assert found[0] == pytest.approx(found[1], rel=1e-5)


def spy_on_candidates(
    model: Ecgfm, batch: TensorBatch, monkeypatch: pytest.MonkeyPatch
) -> tuple[torch.Tensor, torch.Tensor]:
    """Give which recording each outside negative came from `[B, J]` and whether it counts."""
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []
    real: Callable[..., tuple[torch.Tensor, torch.Tensor]] = objectives._others

    def spy(valid: torch.Tensor, group: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        places, counted = real(valid, group, count)
        seen.append((places // valid.shape[1], counted))
        return places, counted

    monkeypatch.setattr(objectives, "_others", spy)
    losses(model, batch)
    return seen[0]


def test_outside_negatives_are_of_other_patients(model: Ecgfm, monkeypatch: pytest.MonkeyPatch) -> None:
    group = torch.tensor([7, 7, 8, 9])
    origin, counted = spy_on_candidates(model, batch_of(group_B=group), monkeypatch)
    assert origin.shape == (4, 8)  # half of 16
    assert bool(counted.all())
    assert not bool((group[origin] == group[:, None]).any())


def test_a_batch_of_one_patient_still_has_its_own_negatives(model: Ecgfm, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = batch_of(group_B=torch.tensor([1, 1, 1, 1]))
    _, counted = spy_on_candidates(model, batch, monkeypatch)
    assert not bool(counted.any())
    assert math.isfinite(losses(model, batch)["contrastive"])


def test_unknown_labels_count_for_nothing(model: Ecgfm) -> None:
    known = torch.tensor([[0.0, 1.0], [1.0, 0.0], [NAN, NAN], [NAN, NAN]])
    with_unknown = losses(model, batch_of(labels_BC=known))
    output = model(batch_of().waveform_BLT, batch_of().sample_count_B)
    only_known = batch_of(labels_BC=known.nan_to_num(0.5), weight_B=torch.tensor([1.0, 1.0, 0.0, 0.0]))
    expected = objectives.classification(output, only_known, model.config)["labels"].item()
    assert with_unknown["labels"] == pytest.approx(expected, rel=1e-4)


def test_unknown_labels_give_no_gradient(model: Ecgfm) -> None:
    nothing = torch.full((4, 2), NAN)
    nothing[:, 0] = torch.tensor([0.0, 1.0, 0.0, 1.0])
    found, _ = losses_of(model, batch_of(labels_BC=nothing))
    found.total.backward()
    gradient = model.label_head.out.weight.grad
    assert gradient is not None
    assert bool(gradient[0].any())
    assert not bool(gradient[1].any())
    assert bool(torch.isfinite(gradient).all())


def test_nothing_known_at_all_leaves_the_contrastive_task(model: Ecgfm) -> None:
    empty = batch_of(
        abnormal_B=torch.full((4,), NAN), labels_BC=torch.full((4, 2), NAN), text_BS=torch.zeros(4, 0, dtype=torch.long)
    )
    found = losses(model, empty)
    assert set(found) == {"contrastive", "retrieval_accuracy", "information_nats", "loss"}
    assert found["loss"] == pytest.approx(found["contrastive"])


def test_weights_pull_towards_the_heavier_recording(model: Ecgfm) -> None:
    output = model(batch_of().waveform_BLT, batch_of().sample_count_B)
    each = [
        objectives.classification(output, batch_of(weight_B=torch.eye(4)[row]), model.config)["abnormal"].item()
        for row in range(4)
    ]
    weight = torch.tensor([3.0, 1.0, 0.0, 0.0])
    both = objectives.classification(output, batch_of(weight_B=weight), model.config)["abnormal"].item()
    assert both == pytest.approx((3 * each[0] + each[1]) / 4, rel=1e-5)


def test_text_inputs_begin_with_bos_and_lose_words_at_random() -> None:
    text = torch.randint(4, 40, (200, 12))
    whole, none = objectives.text_inputs(text, 0.0), objectives.text_inputs(text[:, :0], 0.5)
    assert whole is not None
    assert none is None
    assert bool((whole[:, 0] == BOS).all())
    assert torch.equal(whole[:, 1:], text[:, :-1])
    dropped = objectives.text_inputs(text, 0.15)
    assert dropped is not None
    assert bool((dropped[:, 0] == BOS).all())
    assert (dropped[:, 1:] == UNKNOWN).float().mean().item() == pytest.approx(0.15, abs=0.03)


def test_a_recording_without_text_adds_nothing_to_the_text_loss() -> None:
    logits = torch.randn(2, 3, 40)
    text = torch.tensor([[5, 6, EOS], [0, 0, 0]])
    assert objectives.text(logits, text).item() == pytest.approx(objectives.text(logits[:1], text[:1]).item())


def test_a_task_of_weight_zero_is_left_out() -> None:
    model = Ecgfm(configs.build("tiny_cpu", {**TINY, "contrastive_weight": 0, "text_weight": 0}), 2, 40)
    assert set(losses(model, batch_of())) == {"abnormal", "labels", "loss"}


@pytest.mark.parametrize(
    ("weight", "unused"),
    [
        ("contrastive_weight", "predictors"),
        ("classification_weight", "abnormal_head"),
        ("classification_weight", "label_head"),
        ("text_weight", "text_embedding"),
    ],
)
def test_a_task_of_weight_zero_is_not_even_computed(weight: str, unused: str) -> None:
    model = Ecgfm(configs.build("tiny_cpu", {**TINY, weight: 0}), 2, 40)
    called: list[str] = []
    for name, module in model.named_children():
        module.register_forward_hook(lambda *_, name=name: called.append(name))
    found, output = losses_of(model, batch_of())
    found.total.backward()
    assert unused not in called
    assert "decoder" in called
    assert (output.text_logits_BSV is None) == (weight == "text_weight")
    assert all(one.grad is None for one in getattr(model, unused).parameters())


def test_one_batch_can_be_overfitted() -> None:
    torch.manual_seed(0)
    config = configs.build("tiny_cpu", {**TINY, "label_smoothing": 0, "negatives": 16})
    model, batch = Ecgfm(config, 2, 40), batch_of()
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    for _ in range(80):
        found, _ = losses_of(model, batch, word_dropout=0.0)
        optimizer.zero_grad()
        found.total.backward()
        optimizer.step()
    parts = {name: value.item() for name, value in found.parts.items()}
    assert parts["abnormal"] < 0.05
    assert parts["labels"] < 0.05
    assert parts["text"] < 0.1
    assert parts["contrastive"] < 0.6
