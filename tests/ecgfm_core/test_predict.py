"""Scoring: averaged over windows, in chunks that a broken run goes on from, the same for every batch size."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ecgfm_core import configs, manifest, waveform
from ecgfm_core.errors import FormatError, TrainingError
from ecgfm_core.leads import STANDARD_LEADS
from ecgfm_core.model import scoring_run
from ecgfm_core.model.score import score
from ecgfm_core.model.scoring_run import ScoringOptions, predict
from ecgfm_core.predict import Part, done, part_path, read_part, read_parts, refused, write_part
from ecgfm_core.recording import Recording
from ecgfm_core.signal import random_kernels
from ecgfm_core.training.checkpoint import Checkpoint, load_checkpoint
from ecgfm_core.training.dataset import prepare
from ecgfm_core.training.pretrain import TrainingOptions, pretrain
from tests.ecgfm_core.tiny_data import TINY, beats, entry_of, make


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """Manifest, waveforms and a checkpoint that knows the classes."""
    folder = tmp_path_factory.mktemp("trained")
    manifest_path, waveforms = make(folder, 24, 8, seconds=5.0)
    config = configs.build("tiny_cpu", {**TINY, "epochs": 60, "learning_rate": 5e-3, "validate_epochs": 60})
    options = TrainingOptions(threads=1, device="cpu")
    checkpoint = pretrain(
        manifest_path=manifest_path,
        waveform_folder=waveforms,
        config=config,
        seed=0,
        out=folder / "run",
        options=options,
    )
    return manifest_path, waveforms, checkpoint


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring_run, "PART_RECORDINGS", 10)


def run(trained: tuple[Path, Path, Path], out: Path, text: bool = False, **sampled: float) -> int:
    return predict(
        checkpoint_folder=trained[2], manifest_path=trained[0], waveform_folder=trained[1], out=out,
        options=ScoringOptions(threads=1, device="cpu", with_text=text, **sampled),  # type: ignore[arg-type]
    )  # fmt: skip


def test_every_recording_is_scored_in_manifest_order(trained: tuple[Path, Path, Path], tmp_path: Path) -> None:
    assert run(trained, tmp_path) == 32
    parts = list(read_parts(tmp_path))
    assert [len(part.ids) for part in parts] == [10, 10, 10, 2]
    assert np.concatenate([part.ids for part in parts]).tolist() == list(range(32))
    assert parts[0].embedding.dtype == np.float16
    assert parts[0].embedding.shape == (10, 128 + random_kernels.WIDTH)
    assert parts[0].label_probabilities.shape == (10, 2)
    assert set(parts[0].texts) == {""}
    done = json.loads((tmp_path / "done.json").read_text())
    assert (done["count"], done["parts"], done["label_codes"]) == (32, 4, ["426783006", "59931005"])
    abnormal = np.concatenate([part.abnormal_probability for part in parts])
    assert abnormal[1::2].mean() > abnormal[::2].mean() + 0.2


def test_a_broken_run_goes_on_and_ends_the_same(trained: tuple[Path, Path, Path], tmp_path: Path) -> None:
    run(trained, tmp_path / "whole")
    run(trained, tmp_path / "broken")
    (tmp_path / "broken" / "done.json").unlink()
    part_path(tmp_path / "broken", 2).unlink()
    kept = part_path(tmp_path / "broken", 1).stat().st_mtime_ns
    with pytest.raises(FormatError, match="not finished"):
        list(read_parts(tmp_path / "broken"))
    run(trained, tmp_path / "broken")
    assert part_path(tmp_path / "broken", 1).stat().st_mtime_ns == kept
    for one, other in zip(read_parts(tmp_path / "whole"), read_parts(tmp_path / "broken"), strict=True):
        np.testing.assert_array_equal(one.abnormal_probability, other.abnormal_probability)
        np.testing.assert_array_equal(one.embedding, other.embedding)


def test_an_out_folder_of_another_command_is_refused(trained: tuple[Path, Path, Path], tmp_path: Path) -> None:
    run(trained, tmp_path)
    with pytest.raises(TrainingError, match="another text"):
        run(trained, tmp_path, text=True)


def test_text_is_written_on_request(trained: tuple[Path, Path, Path], tmp_path: Path) -> None:
    run(trained, tmp_path, text=True)
    texts = [text for part in read_parts(tmp_path) for text in part.texts]
    assert len(texts) == 32
    assert all(texts)
    assert sum("sinus" in text for text in texts) > 16


def texts_in(out: Path) -> list[str]:
    return [text for part in read_parts(out) for text in part.texts]


def test_sampled_text_hangs_on_its_seed_alone(trained: tuple[Path, Path, Path], tmp_path: Path) -> None:
    for name, sampled in {"a": (3.0, 1), "b": (3.0, 1), "c": (3.0, 2), "greedy": (0.0, 1)}.items():
        run(trained, tmp_path / name, text=True, temperature=sampled[0], seed=sampled[1])
    part_path(tmp_path / "b", 1).unlink()
    run(trained, tmp_path / "b", text=True, temperature=3.0, seed=1)
    assert texts_in(tmp_path / "a") == texts_in(tmp_path / "b")
    assert len({tuple(texts_in(tmp_path / name)) for name in ("a", "c", "greedy")}) == 3
    with pytest.raises(TrainingError, match="another seed"):
        run(trained, tmp_path / "a", text=True, temperature=3.0, seed=2)


@pytest.mark.parametrize(("temperature", "seed"), [(-1.0, 0), (float("nan"), 0), (0.7, -1)])
def test_what_cannot_be_sampled_from_is_refused(temperature: float, seed: int) -> None:
    with pytest.raises(TrainingError, match="allowed"):
        ScoringOptions(temperature=temperature, seed=seed)


def checkpoint_of(trained: tuple[Path, Path, Path]) -> Checkpoint:
    return load_checkpoint(trained[2])


def test_scores_do_not_hang_on_the_company(trained: tuple[Path, Path, Path]) -> None:
    """Alone or beside longer and shorter recordings, a recording gets the same figures."""
    model = checkpoint_of(trained).model
    waveforms = [prepare(entry, trained[1], 100.0) for entry in manifest.read(trained[0])[:6]]
    waveforms[2], waveforms[4] = waveforms[2][:, :130], np.tile(waveforms[4], (1, 5))
    together = score(model, waveforms)
    for row, waveform_LT in enumerate(waveforms):
        alone = score(model, [waveform_LT])
        np.testing.assert_allclose(alone.abnormal_N[0], together.abnormal_N[row], atol=1e-4)
        np.testing.assert_allclose(alone.embedding_ND[0], together.embedding_ND[row], atol=2e-3)


def test_a_recording_is_the_mean_of_its_windows(trained: tuple[Path, Path, Path]) -> None:
    model = checkpoint_of(trained).model
    waveform_LT = prepare(manifest.read(trained[0])[0], trained[1], 100.0)[:, :400]
    whole = score(model, [waveform_LT])
    halves = score(model, [waveform_LT[:, :200], waveform_LT[:, 200:]])
    np.testing.assert_allclose(whole.abnormal_N[0], halves.abnormal_N.mean(), atol=1e-4)
    np.testing.assert_allclose(whole.embedding_ND[0], halves.embedding_ND.mean(axis=0), atol=2e-3)


def test_unlabelled_recordings_of_other_leads_are_scored(trained: tuple[Path, Path, Path], tmp_path: Path) -> None:
    entries = [replace(one, labels={}, abnormal=None, text="", split="train") for one in manifest.read(trained[0])[:3]]
    manifest.write(tmp_path / "m.jsonl", entries)
    assert run((tmp_path / "m.jsonl", trained[1], trained[2]), tmp_path / "out") == 3
    assert len(next(read_parts(tmp_path / "out")).ids) == 3


def test_a_missing_waveform_fails_in_words(trained: tuple[Path, Path, Path], tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="can't be read"):
        run((trained[0], tmp_path / "nowhere", trained[2]), tmp_path / "out")
    assert "can't be read" in (tmp_path / "out" / "failure.txt").read_text()


def recording_with(folder: Path, number: int, names: tuple[str, ...], rate_hz: float) -> manifest.ManifestEntry:
    rows_LT = beats(False, np.random.default_rng(number), 5.0, rate_hz)[: len(names)]
    packed = waveform.pack(Recording(f"n{number}", names, rows_LT, rate_hz))
    waveform.store(packed, folder)
    return entry_of(packed, number, 0, "test")


def test_any_leads_at_any_rate_are_scored_and_a_recording_without_a_known_lead_is_refused(
    trained: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    known = [("MLII", "V1"), ("lead ii", "i"), ("V5",), ("ABP", "mcl1")]
    sets = [*known[:2], ("Vz", "ECG 1"), *known[2:], ("ABP",)]
    rates = (360.0, 257.0, 128.0, 1000.0, 100.0, 250.0)
    entries = [
        recording_with(tmp_path / "w", n, one, rate) for n, (one, rate) in enumerate(zip(sets, rates, strict=False))
    ]
    manifest.write(tmp_path / "m.jsonl", entries)
    run((tmp_path / "m.jsonl", tmp_path / "w", trained[2]), tmp_path / "out")
    part = next(read_parts(tmp_path / "out"))
    assert part.ids.tolist() == [0, 1, 3, 4]
    used = [{STANDARD_LEADS[lead] for lead in np.flatnonzero(row)} for row in part.leads_used]
    assert used == [{"II", "V1"}, set(STANDARD_LEADS[:6]), {"V5"}, {"V1"}]
    assert np.isfinite(part.abnormal_probability).all()
    reasons = refused(tmp_path / "out")
    assert list(reasons) == [2, 5]
    assert reasons[2].startswith("Recording 2: leads Vz, ECG 1; at least one of I, II, III, aVR")
    said = done(tmp_path / "out")
    assert (said["count"], said["refused"], said["taken_as"]) == (4, 2, {"MLII": "II", "mcl1": "V1"})
    kept = part_path(tmp_path / "out", 0).stat().st_mtime_ns
    assert run((tmp_path / "m.jsonl", tmp_path / "w", trained[2]), tmp_path / "out") == 4
    assert part_path(tmp_path / "out", 0).stat().st_mtime_ns == kept


def test_a_run_of_refused_recordings_alone_ends_well(trained: tuple[Path, Path, Path], tmp_path: Path) -> None:
    manifest.write(tmp_path / "m.jsonl", [recording_with(tmp_path / "w", 7, ("Vx", "Vy"), 500.0)])
    assert run((tmp_path / "m.jsonl", tmp_path / "w", trained[2]), tmp_path / "out") == 0
    assert list(refused(tmp_path / "out")) == [7]


def test_a_damaged_part_is_named(tmp_path: Path) -> None:
    part = Part(
        np.arange(2), np.zeros(2), np.zeros((2, 3)), np.zeros((2, 4)), ["a", "Übergang"], np.ones((2, 12), bool)
    )
    write_part(part_path(tmp_path, 0), part)
    assert read_part(part_path(tmp_path, 0)).texts == ["a", "Übergang"]
    write_part(part_path(tmp_path, 1), replace(part, texts=["only one"]))
    with pytest.raises(FormatError, match="one length is needed"):
        read_part(part_path(tmp_path, 1))
    part_path(tmp_path, 0).write_bytes(b"PK damaged")
    with pytest.raises(FormatError, match=r"part-00000.npz can't be read"):
        read_part(part_path(tmp_path, 0))


def test_the_command_scores(trained: tuple[Path, Path, Path], tmp_path: Path) -> None:
    words = [sys.executable, "-m", "ecgfm_core.cli", "predict", "--checkpoint", str(trained[2]), "--threads", "1"]
    words += ["--manifest", str(trained[0]), "--waveforms", str(trained[1]), "--out", str(tmp_path), "--device", "cpu"]
    found = subprocess.run(words, check=False, capture_output=True, text=True)
    assert (found.returncode, found.stderr) == (0, "")
    assert "32 recordings scored" in found.stdout
    assert json.loads((tmp_path / "progress.json").read_text())["step"] == 32
