"""One attempt at a training run: freeze what it trains on, run the trainer, keep its curves and its weights."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection, transaction

from annotator.models import TrainingRun
from annotator.selectors import training_pool
from annotator.services import checkpoints, job_state
from ecgfm_core import configs, manifest
from ecgfm_core.training.run_folder import write_json
from workers import processes

CACHE = "prepared"  # below the checkpoints: the next training, on any host, does not prepare the same waveforms again


def train(run: TrainingRun, attempt: int) -> None:
    """Train, or go on training, and end the run's row one way or another."""
    folder = checkpoints.run_folder(run)
    freeze(run, attempt, folder)
    curves = Curves(run, folder)
    ended = processes.run(run, attempt, folder, _arguments(run, folder), curves.tick, process_count(run))
    if ended.exit_code == 0:
        provenance = json.loads((folder / "provenance.json").read_text(encoding="utf-8"))
        checkpoints.store_checkpoint(
            run=run, attempt=attempt, folder=folder / "checkpoint", provenance=provenance, log=ended.log
        )
    else:
        processes.end(run, attempt, ended)


def freeze(run: TrainingRun, attempt: int, folder: Path) -> None:
    """Write manifest and provenance once, from one view of the database, so that every attempt trains on the same."""
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / "manifest.jsonl").exists():
        return
    job_state.beat(run, attempt, {"message": "Collecting recordings and labels"})
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        dataset_ids = list(run.datasets.values_list("pk", flat=True))
        write_json(folder / "provenance.json", checkpoints.provenance_of(run))
        manifest.write(folder / "manifest.jsonl", training_pool.manifest_entries(dataset_ids, training=True))


def process_count(run: TrainingRun) -> int:
    """Say how many processes train: as many as are allowed, or have a GPU each, and share every step evenly.

    How a run is split over processes does not change its steps; of how many parts a step is made, the config decides.
    """
    parts = configs.build(run.config_name, run.config).accumulate
    most = 1 if parts == 1 else settings.TRAINING_PROCESSES or gpu_count()
    return max(count for count in range(1, max(1, most) + 1) if parts % count == 0)


def gpu_count() -> int:
    """Count the GPUs of this host, in a process of its own that keeps none of them busy."""
    words = [sys.executable, "-c", "import torch; print(torch.cuda.device_count())"]
    return int(subprocess.run(words, capture_output=True, text=True, check=True).stdout)  # noqa: S603 - our own


def _arguments(run: TrainingRun, folder: Path) -> list[str]:
    changes = [argument for name, value in run.config.items() for argument in ("--set", f"{name}={_text(value)}")]
    return [
        "pretrain", "--manifest", str(folder / "manifest.jsonl"), "--waveforms", str(settings.WAVEFORM_DIR),
        "--config", run.config_name, *changes, "--seed", str(run.seed), "--out", str(folder),
        "--threads", str(settings.TRAINING_THREADS), "--parent", str(os.getpid()),
        "--cache", str(settings.CHECKPOINT_DIR / CACHE),
    ]  # fmt: skip


def _text(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


class Curves:
    """Follows a run folder: its progress, and the lines its metrics file has gained."""

    def __init__(self, run: TrainingRun, folder: Path) -> None:
        self.run, self.folder, self.offset = run, folder, 0

    def tick(self) -> dict[str, Any] | None:
        """Store new points and return the progress."""
        rows = self._new_rows()
        if rows:
            checkpoints.record_metrics(run=self.run, rows=rows)
        return processes.progress(self.folder, "steps")

    def _new_rows(self) -> list[dict[str, Any]]:
        path = self.folder / "metrics.jsonl"
        if not path.exists():
            return []
        with path.open("rb") as file:
            if self.offset > path.stat().st_size:  # a resumed trainer dropped what it will write again
                self.offset = 0
            file.seek(self.offset)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self.offset += len(whole)
        return [json.loads(line) for line in whole.splitlines() if line.strip()]
