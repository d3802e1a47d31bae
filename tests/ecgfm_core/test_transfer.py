"""A transfer: only the encoder learns, fewer leads come nearer to the teacher, stop and resume equals no stop."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ecgfm_core import configs, manifest, waveform
from ecgfm_core.cli import main
from ecgfm_core.errors import ConfigError, EcgfmError, TrainingError
from ecgfm_core.leads import STANDARD_LEADS, complete
from ecgfm_core.model.any_lead import AnyLeadEncoder
from ecgfm_core.recording import Recording
from ecgfm_core.training.checkpoint import load_checkpoint, waveform_marks
from ecgfm_core.training.dataset import prepare
from ecgfm_core.training.pretrain import TrainingOptions, pretrain
from ecgfm_core.training.run_folder import RunFolder, Stopped, read_metrics
from ecgfm_core.training.transfer import Task, student_config, transfer
from ecgfm_core.training.transfer_objectives import with_leads
from tests.ecgfm_core.tiny_data import TINY, beats, entry_of, make

ONE = TrainingOptions(threads=1, device="cpu")
SHORT = {"epochs": 4, "validate_epochs": 2, "save_every_s": 1000, "learning_rate": 3e-3}


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """Manifest, waveforms and a teacher."""
    folder = tmp_path_factory.mktemp("taught")
    manifest_path, waveforms = make(folder, 24, 8)
    config = configs.build("tiny_cpu", {**TINY, "epochs": 6, "learning_rate": 3e-3})
    checkpoint = pretrain(
        manifest_path=manifest_path, waveform_folder=waveforms, config=config, seed=0, out=folder / "run", options=ONE
    )
    return manifest_path, waveforms, checkpoint


@pytest.fixture
def devices(taught: tuple[Path, Path, Path], tmp_path: Path) -> Path:
    """A manifest of recordings with a monitor's leads, and one with none that is known."""
    random, entries = np.random.default_rng(5), []
    for index, names in enumerate([("MLII", "V1"), ("MLII", "V5"), ("V5",), ("ABP",)]):
        recording = Recording(f"d{index}", names, beats(False, random, 6.0, 250.0)[: len(names)], 250.0)
        packed = waveform.pack(recording)
        waveform.store(packed, taught[1])
        entries.append(replace(entry_of(packed, 900 + index, 0, "train"), group=f"device{index}"))
    manifest.write(tmp_path / "devices.jsonl", entries)
    return tmp_path / "devices.jsonl"


def run(
    taught: tuple[Path, Path, Path], out: Path, leads: str = "any", unpaired: Path | None = None, **changes: Any
) -> Path:
    return transfer(
        task=Task(taught[2], leads, unpaired), manifest_path=taught[0], waveform_folder=taught[1],
        changes={**SHORT, **changes}, seed=1, out=out, options=ONE,
    )  # fmt: skip


def figures(out: Path, name: str) -> list[float]:
    return [one["value"] for one in read_metrics(out) if one["name"] == name]


def test_lead_ii_comes_nearer_to_the_teacher_and_the_rest_stays(
    taught: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    kept = load_checkpoint(run(taught, tmp_path, epochs=30, validate_epochs=1))
    for kind in ("tokens", "contexts", "embeddings"):
        errors = figures(tmp_path, f"validate_{kind}_II")
        assert errors[-1] < 0.7 * errors[0]
    teacher = load_checkpoint(taught[2])
    assert kept.config == replace(student_config(teacher.config, {**SHORT, "epochs": 30, "validate_epochs": 1}))
    assert isinstance(kept.model.encoder, AnyLeadEncoder)
    known = teacher.model.state_dict()
    for name, weight in kept.model.state_dict().items():
        if not name.startswith("encoder."):
            assert torch.equal(weight, known[name]), name
    assert kept.label_codes == teacher.label_codes
    assert kept.provenance["teacher_sha256"] == teacher.sha256
    assert kept.provenance["leads"] == "any"
    assert kept.metrics["validate_tokens_12"] is not None


def test_a_fixed_set_is_the_only_one_seen(taught: tuple[Path, Path, Path], tmp_path: Path) -> None:
    run(taught, tmp_path, "ii, i")
    names = {one["name"] for one in read_metrics(tmp_path) if one["name"].startswith("validate_tokens")}
    assert names == {"validate_tokens_I,II,III,aVR,aVL,aVF"}


def test_stopped_and_gone_on_with_ends_the_same(
    taught: tuple[Path, Path, Path], devices: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(taught, tmp_path / "whole", unpaired=devices)
    looks = iter(range(100))
    with monkeypatch.context() as patched:
        patched.setattr(RunFolder, "stop_asked", property(lambda _self: next(looks) == 5))
        with pytest.raises(Stopped):
            run(taught, tmp_path / "stopped", unpaired=devices)
    assert (tmp_path / "stopped" / "state.safetensors").exists()
    again = run(taught, tmp_path / "stopped", unpaired=devices)
    assert (again / "weights.safetensors").read_bytes() == (whole / "weights.safetensors").read_bytes()
    with pytest.raises(TrainingError, match="another leads"):
        run(taught, tmp_path / "stopped", "II", unpaired=devices)


def test_other_devices_are_matched_and_counted_as_seen(
    taught: tuple[Path, Path, Path], devices: Path, tmp_path: Path
) -> None:
    kept = load_checkpoint(run(taught, tmp_path, unpaired=devices))
    assert figures(tmp_path, "train_device")
    seen = waveform_marks(one.sha256 for one in manifest.read(devices)[:3])
    assert kept.trained_on is not None
    assert np.isin(seen, kept.trained_on).all()
    with pytest.raises(
        TrainingError, match="none of 4 recordings outside the test split has a lead to align; V2 can be"
    ):
        run(taught, tmp_path / "none", "V2", unpaired=devices)


def test_a_teacher_that_saw_the_validation_split_is_refused(taught: tuple[Path, Path, Path], tmp_path: Path) -> None:
    entries = manifest.read(taught[0])
    swapped = [
        replace(one, split={"train": "validate", "validate": "train"}.get(one.split, one.split)) for one in entries
    ]
    manifest.write(tmp_path / "swapped.jsonl", swapped)
    with pytest.raises(TrainingError, match="trained on 24 recordings of the validation split"):
        run((tmp_path / "swapped.jsonl", *taught[1:]), tmp_path / "run")


def test_recordings_without_all_leads_teach_nothing(taught: tuple[Path, Path, Path], tmp_path: Path) -> None:
    entries = [replace(one, lead_names=(*STANDARD_LEADS[:-1], "Vz")) for one in manifest.read(taught[0])]
    manifest.write(tmp_path / "fewer.jsonl", entries)
    with pytest.raises(TrainingError, match="0 of 32 recordings have all twelve leads"):
        run((tmp_path / "fewer.jsonl", *taught[1:]), tmp_path / "run")


@pytest.mark.parametrize("kept", [("II",), ("I", "II"), ("I", "II", "V2"), ("aVF", "V6")])
@pytest.mark.parametrize("calibrated", [True, False])
def test_leads_are_taken_away_as_if_they_had_never_been_recorded(
    tmp_path: Path, kept: tuple[str, ...], calibrated: bool
) -> None:
    waveform_mv = beats(False, np.random.default_rng(2), 4.0) * np.linspace(3, 0.5, 12, dtype=np.float32)[:, None]
    waveform_mv -= np.median(waveform_mv, axis=1, keepdims=True)
    packed = waveform.pack(Recording("r", STANDARD_LEADS, waveform_mv, 100.0))
    waveform.store(packed, tmp_path)
    whole = replace(entry_of(packed, 0, 0, "train"), calibrated=calibrated)
    alone = replace(whole, lead_names=tuple(name if name in kept else "none" for name in STANDARD_LEADS))
    fewer_LT = with_leads(prepare(whole, tmp_path, 100.0), kept, calibrated)
    # The median of a difference is not the difference of medians: what is worked out may lie a little higher or lower.
    levels_L1 = np.median(fewer_LT, axis=1, keepdims=True)
    np.testing.assert_allclose(fewer_LT - levels_L1, prepare(alone, tmp_path, 100.0), atol=0.02)
    assert abs(levels_L1).max() < 0.1
    assert fewer_LT.any(axis=1).tolist() == [name in complete(kept) for name in STANDARD_LEADS]


@pytest.mark.parametrize("calibrated", [True, False])
def test_a_flat_crop_teaches_without_breaking(calibrated: bool) -> None:
    assert not with_leads(np.zeros((12, 200), np.float32), ("II",), calibrated).any()


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"width": 64}, "width can't be set; the network has the teacher's shape"), ({"epoch": 3}, "no field 'epoch'")],
)
def test_what_is_the_teachers_can_not_be_set(changes: dict[str, Any], words: str) -> None:
    with pytest.raises((TrainingError, ConfigError), match=words):
        student_config(configs.build("tiny_cpu"), changes)


def test_a_transferred_network_is_no_teacher() -> None:
    with pytest.raises(TrainingError, match="The teacher's encoder is any_lead; a checkpoint that pretrain wrote"):
        student_config(configs.build("tiny_cpu", {"encoder": "any_lead"}), {})


def test_leads_that_are_none_are_refused(taught: tuple[Path, Path, Path], tmp_path: Path) -> None:
    with pytest.raises(EcgfmError, match="Leads 'II,V9': 'V9' is no lead known here; I, II"):
        run(taught, tmp_path, "II,V9")


def test_the_command_trains_and_predict_takes_what_it_wrote(
    taught: tuple[Path, Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = ["--manifest", str(taught[0]), "--waveforms", str(taught[1]), "--threads", "1", "--device", "cpu"]
    words = ["--checkpoint", str(taught[2]), "--leads", "II", "--set", "epochs=1", "--out", str(tmp_path / "t")]
    assert main(["transfer", *words, *common]) == 0
    checkpoint = tmp_path / "t" / "checkpoint"
    assert capsys.readouterr().out.strip() == f"checkpoint: {checkpoint}"
    assert main(["predict", "--checkpoint", str(checkpoint), "--out", str(tmp_path / "p"), *common]) == 0
    assert json.loads((tmp_path / "p" / "done.json").read_text())["count"] == 32
