"""Weights and training state on disk: safetensors and JSON, never pickle, whole or not at all."""

import json
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from ecgfm_core.configs import Config, from_dict
from ecgfm_core.errors import EcgfmError, TrainingError
from ecgfm_core.model.ecgfm import Ecgfm
from ecgfm_core.model.text import TextTokenizer
from ecgfm_core.training.run_folder import write_json

FORMAT_VERSION = 1
_BACKBONE = ("encoder", "decoder", "predictors")
_WEIGHTS, _TOKENIZER, _HEADER = "weights.safetensors", "tokenizer.json", "checkpoint.json"
_TRAINED_ON = "trained_on.npy"
_MARK_DIGITS = 16


@dataclass
class Checkpoint:
    """A trained network with all that is needed to use it and to say where it came from.

    `trained_on` holds the sorted `waveform_marks` of every recording trained on, so that a test can refuse a network
    that has seen its recordings; None where that is not known.
    """

    model: Ecgfm
    config: Config
    label_codes: tuple[str, ...]
    tokenizer: TextTokenizer
    metrics: dict[str, Any]
    provenance: dict[str, Any]
    sha256: str = ""
    trained_on: np.ndarray | None = None

    def seen(self, sha256s: Iterable[str]) -> int:
        """Count those of these recordings, by waveform, that it was trained on; 0 where it does not say."""
        return 0 if self.trained_on is None else len(np.intersect1d(self.trained_on, waveform_marks(sha256s)))


def waveform_marks(sha256s: Iterable[str]) -> np.ndarray:
    """Give the first 64 bits of each waveform's sha256 as sorted, unique uint64: 8 bytes a recording."""
    return np.unique(np.array([int(one[:_MARK_DIGITS], 16) for one in sha256s], dtype=np.uint64))


def file_sha256(path: Path) -> str:
    """Give a file's sha256 in hex."""
    digest = sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint folder, whole or not at all."""
    partial = folder.with_name(f".{folder.name}.writing")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in checkpoint.model.state_dict().items()}
    save_file(weights, partial / _WEIGHTS)
    checkpoint.tokenizer.save(partial / _TOKENIZER)
    if checkpoint.trained_on is not None:
        np.save(partial / _TRAINED_ON, checkpoint.trained_on)
    header = {
        "format_version": FORMAT_VERSION,
        "config": checkpoint.config.to_dict(),
        "label_codes": list(checkpoint.label_codes),
        "embedding_width": checkpoint.config.embedding_width,
        "parameter_count": sum(tensor.numel() for tensor in weights.values()),
        "metrics": checkpoint.metrics,
        "provenance": checkpoint.provenance,
        "sha256": {
            name: file_sha256(partial / name)
            for name in (_WEIGHTS, _TOKENIZER, _TRAINED_ON)
            if (partial / name).exists()
        },
    }
    write_json(partial / _HEADER, header)
    partial.rename(folder)


def load_checkpoint(folder: Path, device: torch.device | None = None) -> Checkpoint:
    """Read a checkpoint folder and check its sums.

    Raises
    ------
    TrainingError
        If a file is missing, damaged or of another format.
    """
    try:
        header = json.loads((folder / _HEADER).read_text(encoding="utf-8"))
        if header["format_version"] != FORMAT_VERSION:
            raise TrainingError(
                f"Checkpoint {folder}: format {header['format_version']}; format {FORMAT_VERSION} is known, train again"
            )
        for name in sorted({_WEIGHTS, _TOKENIZER, *header["sha256"]}):
            if file_sha256(folder / name) != header["sha256"][name]:
                raise TrainingError(
                    f"Checkpoint {folder}: {name} is damaged (its sha256 differs); restore it or train again"
                )
        config = from_dict(header["config"])
        tokenizer = TextTokenizer.load(folder / _TOKENIZER)
        model = Ecgfm(config, len(header["label_codes"]), tokenizer.count)
        model.load_state_dict(load_file(folder / _WEIGHTS))
        known = (tuple(header["label_codes"]), tokenizer, header["metrics"], header["provenance"])
        trained_on = np.load(folder / _TRAINED_ON, allow_pickle=False) if _TRAINED_ON in header["sha256"] else None
    except EcgfmError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, SafetensorError) as error:
        raise TrainingError(f"Checkpoint {folder} can't be read ({error}); restore it or train again") from error
    sums = header["sha256"]
    return Checkpoint(model.to(device or "cpu").eval(), config, *known, sha256=sums[_WEIGHTS], trained_on=trained_on)


def refuse_seen(start: Checkpoint, judging: Iterable[str]) -> None:
    """Refuse a network to begin with that was trained on a recording which is to judge (`judging`, sha256s)."""
    if seen := start.seen(judging):
        raise TrainingError(
            f"The start was trained on {seen} recordings of the validation split; choose a start that was not, "
            "or other recordings to validate"
        )


def begin_with(model: Ecgfm, start: Checkpoint, judging: Iterable[str]) -> None:
    """Give a new network the encoder, context network and predictors of a checkpoint; its heads and text stay new.

    Raises
    ------
    TrainingError
        If the two differ in shape, or the checkpoint was trained on a recording that is to judge (`judging`: sha256s).
    """
    refuse_seen(start, judging)
    own, given = model.state_dict(), start.model.state_dict()
    taken = {name: given.get(name) for name in own if name.partition(".")[0] in _BACKBONE}
    other = sorted(name for name, weight in taken.items() if weight is None or weight.shape != own[name].shape)
    if other:
        raise TrainingError(
            f"The start is another network ({len(other)} weights differ in shape, {other[0]} first); give both the "
            "same kernels, width, layers, encoder, context and number of horizons"
        )
    model.load_state_dict({**own, **taken})


def save_state(path: Path, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
    """Write what a run needs to go on, tensors and small values in one file, so that they can't differ in age."""
    partial = path.with_name(f".{path.name}.writing")
    kept = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    save_file(kept, partial, metadata={"values": json.dumps(values)})
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    partial.replace(path)


def load_state(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Read what `save_state` wrote; None where there is nothing yet."""
    if not path.exists():
        return None
    try:
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
            return tensors, json.loads(file.metadata()["values"])
    except (OSError, RuntimeError, ValueError, KeyError, SafetensorError) as error:
        raise TrainingError(f"State {path} can't be read ({error}); delete it to start from the first step") from error
