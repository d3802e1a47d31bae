"""One row of a task's table, trained, kept and used: a network with a head, its classes and its thresholds.

N recording, C class.
"""

import csv
import functools
import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from ecgfm_core import configs, manifest
from ecgfm_core.downstream import bootstrap, challenge, learn, metrics
from ecgfm_core.downstream.bench import BenchOptions, digest, seen, setup, unlabelled
from ecgfm_core.downstream.learn import Classifier, Recipe
from ecgfm_core.downstream.progress import Bar
from ecgfm_core.downstream.results import weights_in_order
from ecgfm_core.downstream.task import Task
from ecgfm_core.errors import EcgfmError, TrainingError
from ecgfm_core.model.device import choose_device, in_words
from ecgfm_core.training.checkpoint import Checkpoint, file_sha256
from ecgfm_core.training.dataset import Cache, no_known_lead
from ecgfm_core.training.run_folder import RunFolder, write_json

FORMAT_VERSION = 1
NETWORK = "network"
_WEIGHTS, _HEADER = "weights.safetensors", "network.json"
_ADVICE = "choose a smaller config"


@dataclass
class Finetuned:
    """A network that knows a task.

    Attributes
    ----------
    classes, thresholds_C : names of the outputs, and the probability from which each counts as present
    header : the rest: titles, metrics, where it came from
    """

    classifier: Classifier
    classes: tuple[str, ...]
    thresholds_C: np.ndarray
    recipe: Recipe
    header: dict[str, Any]


def finetune(set_key: str, source: Path, task_name: str, row: str, seed: int, out: Path, options: BenchOptions) -> Path:
    """Train one row on a task and keep it in ``out/network``; returns that folder. What is there already stays.

    Raises
    ------
    FormatError
        If the folder is not of the set or a split is empty.
    TrainingError
        If the row is unknown, the checkpoint was trained on recordings that judge it, or the folder is another's.
    Stopped
        When asked to stop; the network is trained from its first step then.
    """
    with RunFolder(out).held(options.parent) as folder, in_words(_ADVICE), unlabelled():
        prepared = setup(
            set_key, source, task_name, out, options, folder, {"command": "finetune", "row": row, "seed": seed}
        )
        task, start, cache = prepared.task, prepared.start, prepared.cache
        if (out / NETWORK).exists():
            return out / NETWORK
        rows = learn.Rows(task.rows("train"), task.rows("validate"), task.rows("test"))
        with Bar("training", "step", folder) as bar:
            classifier = learn.train(
                row, start=start, cache=cache, targets_NC=task.targets_NC, rows=rows, recipe=options.recipe, seed=seed,
                progress=bar.to,
            )  # fmt: skip
        give = functools.partial(learn.probabilities, classifier, cache, recipe=options.recipe)
        figures = _figures(task, give(rows=rows.validate), give(rows=rows.asked), prepared.weights)
        header = {
            "set": task.set_name, "task": task.name, "row": row, "seed": seed, "data_sha256": digest(task),
            "titles": {name: task.title(name) for name in task.classes}, "remarks": list(task.remarks),
            "start": {"sha256": start.sha256, "provenance": start.provenance, "seen_recordings": seen(start, task)},
            **figures,
        }  # fmt: skip
        _save(out / NETWORK, classifier, task.classes, options.recipe, start, header)
        return out / NETWORK


def _figures(
    task: Task, validated_NC: np.ndarray, tested_NC: np.ndarray, weights: challenge.Weights | None
) -> dict[str, Any]:
    """Choose thresholds on the validation split and judge on the test split."""
    validate, test = task.rows("validate"), task.rows("test")
    thresholds_C = metrics.best_f1_thresholds(task.targets_NC[validate], validated_NC)
    groups, target_NC = [task.entries[row].group for row in test], task.targets_NC[test]
    macro = bootstrap.interval(metrics.resampled_macro_auroc, target_NC, tested_NC, 0, groups=groups)
    once_1N = np.ones((1, len(validate)))
    validated = metrics.resampled_macro_auroc(task.targets_NC[validate], validated_NC, once_1N)[0]
    found: dict[str, Any] = {
        "thresholds": thresholds_C.tolist(),
        "validate": {"macro_auroc": None if np.isnan(validated) else float(validated)},
        "test": {
            "macro_auroc": macro.to_dict(),
            "classes": dict(zip(task.classes, metrics.by_class(target_NC, tested_NC, thresholds_C), strict=True)),
        },
    }  # fmt: skip
    if weights is not None:
        weights = weights_in_order(weights, task.classes)
        chosen_C = challenge.choose_thresholds(task.targets_NC[validate], validated_NC, weights, thresholds_C)
        found["challenge_thresholds"] = chosen_C.tolist()
        found["test"]["challenge"] = challenge.score(target_NC == 1, tested_NC >= chosen_C, weights)
    return found


def _save(
    folder: Path,
    classifier: Classifier,
    classes: tuple[str, ...],
    recipe: Recipe,
    start: Checkpoint,
    header: dict[str, Any],
) -> None:
    """Write the network, whole or not at all."""
    partial = folder.with_name(f".{folder.name}.writing")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    save_file(
        {name: tensor.detach().cpu().contiguous() for name, tensor in classifier.state_dict().items()},
        partial / _WEIGHTS,
    )
    write_json(
        partial / _HEADER,
        {
            "format_version": FORMAT_VERSION, "classes": list(classes), "config": start.config.to_dict(),
            "label_count": len(start.label_codes), "token_count": start.tokenizer.count, "recipe": asdict(recipe),
            "sha256": file_sha256(partial / _WEIGHTS), **header,
        },
    )  # fmt: skip
    partial.rename(folder)


def load(folder: Path, device: torch.device | None = None) -> Finetuned:
    """Read what `finetune` wrote.

    Raises
    ------
    TrainingError
        If a file is missing, damaged or of another format.
    """
    try:
        header = json.loads((folder / _HEADER).read_text(encoding="utf-8"))
        if header["format_version"] != FORMAT_VERSION:
            raise TrainingError(f"{folder}: format {header['format_version']}; format {FORMAT_VERSION} is known")
        if file_sha256(folder / _WEIGHTS) != header["sha256"]:
            raise TrainingError(f"{folder}: {_WEIGHTS} is damaged (its sha256 differs); restore it or train again")
        config = configs.from_dict(header["config"])
        classifier = learn.untrained(
            header["row"], config, header["label_count"], header["token_count"], len(header["classes"])
        )
        classifier.load_state_dict(load_file(folder / _WEIGHTS))
        thresholds_C, recipe = np.array(header["thresholds"]), Recipe(**header["recipe"])
    except EcgfmError:
        raise
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise TrainingError(f"{folder} can't be read ({error}); restore it or run ecgfm finetune again") from error
    return Finetuned(classifier.to(device or "cpu").eval(), tuple(header["classes"]), thresholds_C, recipe, header)


def apply(out: Path, manifest_path: Path, waveforms: Path, options: BenchOptions) -> tuple[Path, list[str]]:
    """Write ``probabilities.csv`` beside a trained network: a row a recording of the manifest, a column a class.

    Gives its path, and the reasons why recordings without a known lead were left out.
    """
    with unlabelled():
        found = load(out / NETWORK, choose_device(options.device, options.threads))
    asked = manifest.read(manifest_path)
    refused = [words for entry in asked if (words := no_known_lead(entry))]
    entries = [entry for entry in asked if not no_known_lead(entry)]
    if not entries:
        raise TrainingError(f"Manifest {manifest_path.name}: none of its {len(asked)} recordings has a known lead")
    with RunFolder(out).held(options.parent) as folder, in_words(_ADVICE), unlabelled():
        with Bar("preparing", "recording", folder) as bar:
            cache = Cache.open(
                out / "apply-cache", entries, waveforms, found.classifier.backbone.config.sampling_rate_hz, bar.to
            )
        probability_NC = learn.probabilities(found.classifier, cache, np.arange(len(entries)), found.recipe)
        shutil.rmtree(out / "apply-cache", ignore_errors=True)
    partial, path = out / ".probabilities.csv.writing", out / "probabilities.csv"
    with partial.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(("id", *found.classes))
        table.writerows(
            (one.id, *(f"{value:.6f}" for value in row)) for one, row in zip(entries, probability_NC, strict=True)
        )
    partial.replace(path)
    return path, refused
