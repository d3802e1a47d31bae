"""Train the transferred encoder: a copy of a twelve-lead network whose encoder takes any leads, the rest frozen.

B batch, L lead, T time sample.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ecgfm_core import configs, manifest
from ecgfm_core.configs import Config
from ecgfm_core.errors import TrainingError
from ecgfm_core.leads import STANDARD_LEADS, as_standard, choose, complete
from ecgfm_core.manifest import ManifestEntry
from ecgfm_core.model.any_lead import AnyLeadEncoder
from ecgfm_core.model.device import choose_device, in_words
from ecgfm_core.model.ecgfm import Ecgfm
from ecgfm_core.model.encoder import Encoder
from ecgfm_core.training.checkpoint import Checkpoint, file_sha256, load_checkpoint, refuse_seen, waveform_marks
from ecgfm_core.training.dataset import Cache, Targets, batch_of, targets_of
from ecgfm_core.training.distributed import Team
from ecgfm_core.training.loop import Plan, Trainer
from ecgfm_core.training.pretrain import CHECKPOINT, Run, TrainingOptions
from ecgfm_core.training.run_folder import RunFolder
from ecgfm_core.training.transfer_objectives import (
    CONTEXT_WEIGHT,
    DEVICE_WEIGHT,
    EMBEDDING_WEIGHT,
    HEAD_WEIGHT,
    TOKEN_WEIGHT,
    answers_of,
    coral,
    draw_leads,
    parts_of,
    with_leads,
)

ANY = "any"
DEFAULTS = {"epochs": 40, "learning_rate": 1e-3, "validate_epochs": 10}
# What is the teacher's and can't be changed.
_FIXED = ("sampling_rate_hz", "kernels", "strides", "width", "layers", "heads", "encoder", "context", "vocabulary")
_DEVICE_SHARE = 4  # a quarter of a batch goes with as many crops of unpaired recordings
_VALIDATED_SETS = {"12": STANDARD_LEADS, "II": ("II",)}
_VALIDATED_AT_ONCE = 64
_MEMORY_ADVICE = "lower batch (raise accumulate as much) or crop_s"


@dataclass(frozen=True)
class Task:
    """What to train: the teacher, the leads (`any`, or names joined by commas) and recordings of other devices."""

    teacher_folder: Path
    leads: str = ANY
    unpaired_path: Path | None = None

    @property
    def kept(self) -> tuple[str, ...] | None:
        """The fixed lead set; None where it is drawn anew for every crop."""
        return None if self.leads == ANY else choose(self.leads)


def student_config(teacher: Config, changes: Mapping[str, Any]) -> Config:
    """Give the teacher's configuration for a transferred encoder, with some fields of the training changed.

    Raises
    ------
    ConfigError
        If a field is unknown or a value not allowed.
    TrainingError
        If a field decides the network's shape, or the teacher is itself a transferred one.
    """
    if teacher.encoder != "twelve_lead":
        raise TrainingError(f"The teacher's encoder is {teacher.encoder}; a checkpoint that pretrain wrote is needed")
    if fixed := sorted(set(changes) & set(_FIXED)):
        raise TrainingError(f"Transfer: {', '.join(fixed)} can't be set; the network has the teacher's shape")
    return replace(configs.change(teacher, {**DEFAULTS, **changes}), encoder="any_lead")


def transfer(
    *,
    task: Task,
    manifest_path: Path,
    waveform_folder: Path,
    changes: Mapping[str, Any],
    seed: int,
    out: Path,
    options: TrainingOptions,
) -> Path:
    """Train the transferred encoder on a manifest's training split; returns the checkpoint's folder.

    Recordings that lack some of the twelve leads are left out: the teacher has no answer for them.

    Raises
    ------
    TrainingError
        With the reason, which ``failure.txt`` holds too.
    Stopped
        When asked to stop; the state is saved.
    """
    team = Team.of_environment()
    with RunFolder(out, team.leads).held(options.parent) as folder, team.in_words(), in_words(_MEMORY_ADVICE):
        device = choose_device(team.device_name(options.device), options.threads)
        teacher = load_checkpoint(task.teacher_folder, device)
        config = student_config(teacher.config, changes)
        origin = {
            "teacher_sha256": teacher.sha256,
            "leads": task.leads,
            "manifest_sha256": file_sha256(manifest_path) if manifest_path.exists() else "",
            "unpaired_sha256": file_sha256(task.unpaired_path) if task.unpaired_path else "",
        }
        folder.bind({"command": "transfer", "config": config.to_dict(), "seed": seed, **origin})
        if (out / CHECKPOINT).exists():
            return out / CHECKPOINT
        run = _TransferRun(folder, team, paired(manifest.read(manifest_path)), config, seed, teacher)
        refuse_seen(teacher, (run.entries[row].sha256 for row in run.validate_rows))
        run.kept = task.kept
        if task.unpaired_path:
            run.unpaired = run.open_unpaired(task.unpaired_path, options, waveform_folder)
        cache = run.open_cache(options, waveform_folder)
        with team.joined(device):
            run.train(device, cache)
            if team.leads:
                run.finish({**origin, **run.provenance()})
        return out / CHECKPOINT


def paired(entries: Sequence[ManifestEntry]) -> list[ManifestEntry]:
    """Give the recordings with all twelve leads, or what those follow from, that are not in the test split."""
    held = [one for one in entries if one.split != "test" and complete(as_standard(one.lead_names)) == STANDARD_LEADS]
    if sum(one.split == "train" for one in held) < 2:
        raise TrainingError(
            f"{len(held)} of {len(entries)} recordings have all twelve leads and are not in the test split; 2 or more "
            "of the training split are needed"
        )
    return held


@dataclass(frozen=True)
class Unpaired:
    """Recordings of other devices, and the standard leads that each has."""

    cache: Cache
    entries: tuple[ManifestEntry, ...]
    targets: Targets
    leads: tuple[tuple[str, ...], ...]

    def crops(
        self, kept: tuple[str, ...] | None, count: int, config: Config, random: np.random.Generator
    ) -> tuple[tuple[str, ...], np.ndarray, np.ndarray]:
        """Cut `count` crops with the same leads: a recording's own or, half the time, some of them."""
        own = self.leads[random.integers(len(self.leads))]
        chosen = tuple(name for name in own if kept is None or name in kept)
        if kept is None and random.random() < 0.5:
            chosen = tuple(name for name in own if random.random() < 0.5) or own[:1]
        fitting = [row for row, has in enumerate(self.leads) if set(chosen) <= set(has)]
        rows = random.choice(fitting, count)
        batch = batch_of(self.cache, self.targets, rows, config, random)
        crops = [
            with_leads(crop, chosen, self.entries[row].calibrated)
            for crop, row in zip(batch.waveform_BLT, rows, strict=True)
        ]
        return chosen, np.stack(crops), batch.sample_count_B


@dataclass
class _Batch:
    """Crops with all leads and with fewer; the first `like_device` have the leads of the device's crops."""

    like_device: int
    whole_BLT: Tensor
    fewer_BLT: Tensor
    sample_count_B: Tensor
    device_BLT: Tensor | None = None
    device_count_B: Tensor | None = None


class _TransferPass(nn.Module):
    """The teacher's answers from all leads, the student's from fewer, and how far they are apart."""

    def __init__(self, student: Ecgfm, teacher: Ecgfm) -> None:
        super().__init__()
        self.student, self.teacher = student, teacher

    def forward(self, batch: _Batch) -> tuple[Tensor, dict[str, Tensor]]:
        with torch.no_grad():
            wanted = answers_of(self.teacher, self.teacher(batch.whole_BLT, batch.sample_count_B))
        output = self.student(batch.fewer_BLT, batch.sample_count_B)
        parts = parts_of(answers_of(self.student, output), wanted)
        loss = TOKEN_WEIGHT * parts["tokens"] + CONTEXT_WEIGHT * parts["contexts"]
        loss = loss + EMBEDDING_WEIGHT * parts["embeddings"] + HEAD_WEIGHT * parts.get("heads", 0.0)
        if batch.device_BLT is not None and batch.device_count_B is not None:
            like = slice(batch.like_device)
            valid = None if output.valid_BN is None else output.valid_BN[like]
            tokens_BND = self.student.encoder(batch.device_BLT)
            device_valid = self.student.valid_tokens(batch.device_count_B, tokens_BND.shape[1])
            parts["device"] = coral(_flat(tokens_BND, device_valid), _flat(output.tokens_BND[like], valid))
            loss = loss + DEVICE_WEIGHT * parts["device"]
        parts["loss"] = loss
        return loss, {name: value.detach() for name, value in parts.items()}


def _flat(tokens_BND: Tensor, valid_BN: Tensor | None) -> Tensor:
    """Put the valid tokens of all crops one below the other, their features normalised."""
    normed_BND = nn.functional.layer_norm(tokens_BND.float(), tokens_BND.shape[-1:])
    return normed_BND.flatten(0, 1) if valid_BN is None else normed_BND[valid_BN]


class _TransferTrainer(Trainer):
    """A trainer of the student's encoder alone."""

    parts = ("tokens", "contexts", "embeddings", "heads", "device", "loss")

    def __init__(
        self, run: "_TransferRun", student: Ecgfm, plan: Plan, device: torch.device, team: Team | None
    ) -> None:
        self.teacher, self.kept, self.unpaired = run.teacher.model.requires_grad_(False), run.kept, run.unpaired
        self.calibrated = [entry.calibrated for entry in run.entries]
        student.requires_grad_(False).encoder.requires_grad_(True)
        super().__init__(student, plan, device, team)

    def forward_pass(self) -> nn.Module:
        """Make the module that compares student and teacher."""
        return _TransferPass(self.model, self.teacher)

    def batch(self, cache: Cache, targets: Targets, rows: np.ndarray, random: np.random.Generator) -> _Batch:
        """Cut crops, take leads away, and add crops of other devices where there are any."""
        crops = batch_of(cache, targets, rows, self.config, random)
        sets: list[tuple[str, ...]] = [self.kept or draw_leads(random) for _ in rows]
        device: list[np.ndarray] = []
        like = 0
        if self.unpaired:
            like = max(1, len(rows) // _DEVICE_SHARE)
            chosen, *device = self.unpaired.crops(self.kept, like, self.config, random)
            sets[:like] = [chosen] * like
        fewer_BLT = np.stack([
            with_leads(crop, names, self.calibrated[row])
            for crop, names, row in zip(crops.waveform_BLT, sets, rows, strict=True)
        ])  # fmt: skip
        arrays = (crops.waveform_BLT, fewer_BLT, crops.sample_count_B, *device)
        return _Batch(like, *(torch.from_numpy(array).to(self.device) for array in arrays))


class _TransferRun(Run):
    """The parts of a running transfer; `kept` is the fixed lead set, where there is one."""

    kept: tuple[str, ...] | None = None
    unpaired: Unpaired | None = None

    @property
    def teacher(self) -> Checkpoint:
        """The network that is copied, which a transfer always starts with."""
        assert self.start is not None, "transfer gives it"
        return self.start

    def open_unpaired(self, path: Path, options: TrainingOptions, waveform_folder: Path) -> Unpaired:
        """Prepare the recordings of other devices, those of the test split left out.

        Raises
        ------
        TrainingError
            If none of them has a lead that is asked for.
        """
        entries = [one for one in manifest.read(path) if one.split != "test"]
        leads = [tuple(name for name in as_standard(one.lead_names) if name) for one in entries]
        usable = [row for row, has in enumerate(leads) if has and (self.kept is None or set(has) & set(self.kept))]
        if not usable:
            raise TrainingError(
                f"Unpaired {path}: none of {len(entries)} recordings outside the test split has a lead to align; "
                f"{', '.join(self.kept or STANDARD_LEADS)} can be"
            )
        held = tuple(entries[row] for row in usable)
        folder, rate = options.cache or self.folder.path / "cache", self.config.sampling_rate_hz
        cache = Cache.open(folder, held, waveform_folder, rate, self._preparing)
        return Unpaired(cache, held, targets_of(held, (), lambda _: []), tuple(leads[row] for row in usable))

    def make_trainer(self, device: torch.device) -> Trainer:
        """Copy the teacher, with an encoder that takes any leads and starts from the teacher's."""
        self.tokenizer = self.teacher.tokenizer
        self.targets = targets_of(self.entries, self.teacher.label_codes, lambda _: [])
        torch.manual_seed(self.seed)
        student = Ecgfm(self.config, len(self.teacher.label_codes), self.tokenizer.count)
        known = self.teacher.model.state_dict()
        student.load_state_dict({k: v for k, v in known.items() if not k.startswith("encoder.")}, strict=False)
        encoder, of_teacher = student.encoder, self.teacher.model.encoder
        assert isinstance(encoder, AnyLeadEncoder), "the student's config says so"
        assert isinstance(of_teacher, Encoder), "student_config refuses other teachers"
        encoder.start_from(of_teacher)
        return _TransferTrainer(self, student, self.plan, device, self.team)

    @torch.inference_mode()
    def validate(self) -> dict[str, float | None]:
        """How far the answers from some lead sets are from the teacher's, on the validation split."""
        found: dict[str, float | None] = {}
        device, rows = self.trainer.device, self.validate_rows
        sets = _VALIDATED_SETS if self.kept is None else {",".join(self.kept): self.kept}
        for name, kept in sets.items():
            for first in range(0, len(rows), _VALIDATED_AT_ONCE):
                part = rows[first : first + _VALIDATED_AT_ONCE]
                crops = batch_of(self.cache, self.targets, part, self.config, None)
                fewer = [
                    with_leads(crop, kept, self.entries[row].calibrated)
                    for crop, row in zip(crops.waveform_BLT, part, strict=True)
                ]
                whole_BLT, fewer_BLT, count_B = (
                    torch.from_numpy(one).to(device)
                    for one in (crops.waveform_BLT, np.stack(fewer), crops.sample_count_B)
                )
                wanted = answers_of(self.teacher.model, self.teacher.model(whole_BLT, count_B))
                given = answers_of(self.trainer.averaged, self.trainer.averaged(fewer_BLT, count_B))
                for kind, value in parts_of(given, wanted).items():
                    key = f"validate_{kind}_{name}"
                    found[key] = (found.get(key) or 0.0) + value.item() * len(part) / len(rows)
        return found

    def trained_on(self) -> np.ndarray | None:
        """Add the recordings of other devices."""
        marks = super().trained_on()
        if marks is None or self.unpaired is None:
            return marks
        return np.union1d(marks, waveform_marks(one.sha256 for one in self.unpaired.entries))
