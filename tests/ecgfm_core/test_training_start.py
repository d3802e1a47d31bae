"""A training that begins with the encoder and context network of another one, and never judges by what that saw."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from ecgfm_core import configs, manifest
from ecgfm_core.errors import TrainingError
from ecgfm_core.training.checkpoint import load_checkpoint
from ecgfm_core.training.pretrain import TrainingOptions, pretrain
from tests.ecgfm_core.tiny_data import TINY, make

SHORT = {**TINY, "epochs": 1}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make(tmp_path_factory.mktemp("data"), 16, 8)


def train(data: tuple[Path, Path], out: Path, start: Path | None = None, **changes: object) -> Path:
    return pretrain(
        manifest_path=data[0], waveform_folder=data[1], config=configs.build("tiny_cpu", {**SHORT, **changes}), seed=1,
        out=out, options=TrainingOptions(threads=1, device="cpu", start=start),
    )  # fmt: skip


@pytest.fixture(scope="module")
def first(data: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(data, tmp_path_factory.mktemp("first") / "run")


def test_the_backbone_is_taken_over_and_the_heads_are_new(data: tuple[Path, Path], first: Path, tmp_path: Path) -> None:
    follow = train(data, tmp_path / "run", first, learning_rate=1e-9, contrastive_weight=0, text_tokens_max=20)
    one, other = load_checkpoint(first), load_checkpoint(follow)
    for name, weight in one.model.state_dict().items():
        same = torch.allclose(weight, other.model.state_dict()[name], atol=1e-5)
        assert same == name.startswith(("encoder.", "decoder.", "predictors.")), name
    assert other.provenance["start_sha256"] == one.sha256
    assert "start_sha256" not in one.provenance
    assert json.loads((tmp_path / "run" / "run.json").read_text())["start"] == one.sha256


def test_what_the_start_saw_counts_as_trained_on(data: tuple[Path, Path], first: Path, tmp_path: Path) -> None:
    entries = manifest.read(data[0])
    manifest.write(tmp_path / "m.jsonl", [replace(one, split="train", group="") for one in entries[16:]])
    follow = load_checkpoint(train((tmp_path / "m.jsonl", data[1]), tmp_path / "run", first))
    assert follow.trained_on is not None
    assert len(follow.trained_on) == 24


def test_a_start_that_saw_the_validation_split_is_refused(data: tuple[Path, Path], first: Path, tmp_path: Path) -> None:
    turned = {"train": "validate", "validate": "train"}
    entries = [replace(one, split=turned[one.split]) for one in manifest.read(data[0])]
    manifest.write(tmp_path / "m.jsonl", entries)
    with pytest.raises(TrainingError, match="trained on 16 recordings of the validation split"):
        train((tmp_path / "m.jsonl", data[1]), tmp_path / "run", first)


def test_another_network_is_refused(data: tuple[Path, Path], first: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="another network"):
        train(data, tmp_path / "run", first, width=16)
    with pytest.raises(TrainingError, match="another config, start"):
        train(data, tmp_path / "run")


def test_marks_are_those_of_the_training_split(data: tuple[Path, Path], first: Path) -> None:
    trained = load_checkpoint(first).trained_on
    assert trained is not None
    assert len(trained) == 16
    assert (np.diff(trained.astype(object)) > 0).all()
