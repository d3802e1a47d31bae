"""Watching over a subprocess: heartbeats while it runs, a clean stop when asked, no orphan when fenced off."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings

from annotator.errors import WrongState
from annotator.models.jobs import Job, JobState
from annotator.services import job_state
from ecgfm_core.training.run_folder import EXIT_STOPPED, STOPPED

POLL_S = 1.0
STOP_GRACE_S = 60.0
LOCK_WAIT_S = 60.0
LOG_TAIL_BYTES = 8000
# Threads that wait must not spin: they would take the core that their own slowest one, the web server or the database
# needs, and training beside them becomes several times slower.
WAITING = {"OMP_WAIT_POLICY": "PASSIVE"}
MALLOC = {"MALLOC_MMAP_THRESHOLD_": "268435456", "MALLOC_TRIM_THRESHOLD_": "536870912", "MALLOC_TOP_PAD_": "67108864"}


@dataclass(frozen=True)
class Ended:
    """How a process ended; `log` holds its last lines."""

    exit_code: int
    cancelled: bool
    log: str
    failure: str


def run(
    job: Job,
    attempt: int,
    folder: Path,
    arguments: Sequence[str],
    on_tick: Callable[[], dict[str, Any] | None],
    count: int = 1,
) -> Ended:
    """Run `ecgfm ARGUMENTS` on a run folder; raises WrongState, with the process killed, if another worker has the job.

    `on_tick` is called every second and returns the job's progress; `count` processes are started by ``torchrun``.
    """
    _wait_for_lock(job, attempt, folder)
    log_path, failure = folder / "log.txt", folder / "failure.txt"
    for ended in (failure, folder / STOPPED):
        ended.unlink(missing_ok=True)  # of an earlier attempt: this process may die before it removes them itself
    together = ["torch.distributed.run", "--standalone", f"--nproc-per-node={count}", "-m"] if count > 1 else []
    with log_path.open("ab") as log:
        process = subprocess.Popen(  # noqa: S603 - our own command line
            [sys.executable, "-m", *together, "ecgfm_core.cli", *arguments],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, env=environment(),
        )  # fmt: skip
    try:
        cancelled = _watch(process, job, attempt, on_tick)
    finally:
        _kill(process)
    said = failure.read_text(encoding="utf-8").strip() if failure.exists() else ""
    stopped = process.returncode == EXIT_STOPPED or (folder / STOPPED).exists()
    return Ended(process.returncode, cancelled or stopped, tail(log_path), said)


def environment() -> dict[str, str]:
    """Return the environment of a training or scoring process: few threads, and a malloc that keeps its arenas."""
    threads = str(settings.TRAINING_THREADS)
    ours = {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
    return {**WAITING, **MALLOC, **os.environ, **ours, "PYTHONUNBUFFERED": "1"}


def end(job: Job, attempt: int, ended: Ended) -> None:
    """End the row of a process that did not succeed: cancelled, queued again if it was stopped from outside, failed."""
    log = {"log": ended.log} if hasattr(job, "log") else {}
    if ended.cancelled and job_state.beat(job, attempt) == JobState.CANCELLING:
        job_state.cancelled(job, attempt, **log)
    elif ended.cancelled:
        job_state.release(job, attempt)
    else:
        job_state.fail(job, attempt, words(ended), **log)


def words(ended: Ended) -> str:
    """Say why a process failed."""
    last = ended.log.strip().rpartition("\n")[2]
    return ended.failure or f"The process ended with status {ended.exit_code}. Its last words: {last or 'none'}"


def progress(folder: Path, unit: str) -> dict[str, Any] | None:
    """Return what a process says of its progress, as done, total, unit and more; None before it says anything."""
    try:
        said = json.loads((folder / "progress.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return {**said, "done": said.get("step", 0), "total": said.get("total_steps", 0), "unit": unit}


def tail(path: Path) -> str:
    """Return the last lines of a log."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - LOG_TAIL_BYTES))
        return file.read().decode("utf-8", "replace").replace("\0", "")


def _wait_for_lock(job: Job, attempt: int, folder: Path) -> None:
    """Wait until an earlier process, whose worker died, has let go of the folder."""
    deadline = time.monotonic() + LOCK_WAIT_S
    with (folder / "lock").open("w") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except OSError:
                if time.monotonic() > deadline:
                    raise WrongState(f"{folder.name} is still held by an earlier process.") from None
            job_state.beat(job, attempt, {"message": "Waiting for an earlier process to end"})
            time.sleep(POLL_S)


def _watch(
    process: "subprocess.Popen[bytes]", job: Job, attempt: int, on_tick: Callable[[], dict[str, Any] | None]
) -> bool:
    """Beat each second until the process ends; return whether it was asked to stop."""
    kill_at: float | None = None
    while True:
        ended = process.poll() is not None
        state = job_state.beat(job, attempt, on_tick())
        if ended:
            return kill_at is not None
        if state == JobState.CANCELLING and kill_at is None:
            process.send_signal(signal.SIGTERM)
            kill_at = time.monotonic() + STOP_GRACE_S
        if kill_at is not None and time.monotonic() > kill_at:
            _kill(process)
        try:
            process.wait(POLL_S)
        except subprocess.TimeoutExpired:
            continue


def _kill(process: "subprocess.Popen[bytes]") -> None:
    """End the process and its own children, if it still runs."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
