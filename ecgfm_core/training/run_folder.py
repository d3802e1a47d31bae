"""A run's folder: one run at a time, progress and metrics for others to read, and clean ends. No torch.

A process ends in one of four ways: 0 done; 1 failed, with the reason in ``failure.txt``; 2 a wrong command; 3 stopped
by a signal, to be gone on with by the same command.
"""

import fcntl
import json
import os
import signal
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import IO, Any

from ecgfm_core.errors import TrainingError

EXIT_FAILED, EXIT_STOPPED = 1, 3
STOPPED = "stopped"  # a file that says how the run ended where ``torchrun`` gives its own exit status
_PARENT_LOOK_S = 0.5
_STOP_GRACE_S = 20.0
_PROGRESS_EVERY_S = 0.5


class Stopped(Exception):
    """Someone asked the process to stop; what is saved can be gone on with."""


def write_json(path: Path, values: object) -> None:
    """Write JSON whole or not at all."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_text(json.dumps(values, ensure_ascii=False, indent=1, sort_keys=True), encoding="utf-8")
    partial.replace(path)


class RunFolder:
    """The folder of one run. Of its processes the one that `leads` writes it; the others say their failures only."""

    def __init__(self, path: Path, leads: bool = True) -> None:
        self.path, self.leads = path, leads
        self._stop = threading.Event()
        self._lock: IO[str] | None = None
        self._progress_at = 0.0

    @contextmanager
    def held(self, parent: int | None = None) -> Iterator["RunFolder"]:
        """Hold the folder; SIGTERM, SIGINT and the parent's end ask to stop; a reason of failure is written down.

        Raises
        ------
        TrainingError
            If another process holds it.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        if self.leads:
            self._take()
        before = {number: signal.signal(number, self._on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
        starter = os.getppid()
        watch = threading.Thread(target=self._watch, args=(starter, parent or starter), daemon=True)
        self._finished = threading.Event()
        watch.start()
        try:
            yield self
        except Stopped:
            if self.leads:
                (self.path / STOPPED).touch()
            raise
        except Exception as error:
            self.fail(str(error) or type(error).__name__)
            raise
        finally:
            self._finished.set()
            for number, handler in before.items():
                signal.signal(number, handler)
            if self._lock:
                self._lock.close()

    def _take(self) -> None:
        self._lock = (self.path / "lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.close()
            raise TrainingError(f"{self.path} is held by another process; wait for it or stop it first") from None
        for ended in ("failure.txt", STOPPED):
            (self.path / ended).unlink(missing_ok=True)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._stop.set()

    def _watch(self, starter: int, parent: int) -> None:
        """Stop when the parent is gone: a killed worker must leave no orphan that trains on.

        Between the parent and this process ``torchrun`` may stand, the `starter` then. The kernel's own death signal
        (prctl) is not used: it fires when the starting *thread* ends, not the process.
        """
        while not self._finished.wait(_PARENT_LOOK_S):
            if os.getppid() != starter or (starter != parent and _parent_of(starter) not in (parent, None)):
                self._stop.set()
                if not self._finished.wait(_STOP_GRACE_S):
                    os._exit(EXIT_STOPPED)

    @property
    def stop_asked(self) -> bool:
        """True once someone asked to stop."""
        return self._stop.is_set()

    def check_stop(self) -> None:
        """Raise `Stopped` once someone asked to stop."""
        if self._stop.is_set():
            raise Stopped

    def bind(self, identity: dict[str, Any]) -> None:
        """Tie the folder to one command; refuses to go on with another one."""
        path = self.path / "run.json"
        if not self.leads:
            return
        if path.exists():
            known = json.loads(path.read_text(encoding="utf-8"))
            asked = json.loads(json.dumps(identity))
            if different := sorted(key for key in {*known, *asked} if known.get(key) != asked.get(key)):
                raise TrainingError(
                    f"{self.path} belongs to a run with another {', '.join(different)}; go on with the same "
                    "command, or name a new folder"
                )
        else:
            write_json(path, identity)

    def progress(self, message: str, *, step: int = 0, total_steps: int = 0, force: bool = False, **more: Any) -> None:
        """Say where the run stands, at most twice a second unless `force`."""
        now = time.monotonic()
        if self.leads and (force or now - self._progress_at >= _PROGRESS_EVERY_S):
            self._progress_at = now
            values = {"message": message, "step": step, "total_steps": total_steps, "epoch": 0, "records_per_s": 0.0}
            write_json(self.path / "progress.json", {**values, "eta_s": None, **more, "pid": os.getpid()})

    def fail(self, reason: str) -> None:
        """Write the reason of a failure, in words; of several processes' the first, which the others follow from."""
        with suppress(FileExistsError), (self.path / "failure.txt").open("x", encoding="utf-8") as file:
            file.write(reason + "\n")

    def append_metrics(self, step: int, values: Mapping[str, float | None]) -> None:
        """Add one line a value to ``metrics.jsonl``; None is left out."""
        if not self.leads:
            return
        with (self.path / "metrics.jsonl").open("a", encoding="utf-8") as file:
            for name, value in values.items():
                if value is not None:
                    file.write(json.dumps({"step": step, "name": name, "value": value}) + "\n")

    def keep_metrics_until(self, step: int) -> None:
        """Drop metrics after `step`, which a resumed run will write again, and a line cut short."""
        path = self.path / "metrics.jsonl"
        if self.leads and path.exists():
            kept = [line for line in path.read_text(encoding="utf-8").splitlines() if _step_of(line) <= step]
            partial = path.with_name(".metrics.jsonl.writing")
            partial.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
            partial.replace(path)


def _parent_of(pid: int) -> int | None:
    """Give the parent of a process; None where the system does not say."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return None


def _step_of(line: str) -> float:
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return float("inf")


def read_metrics(path: Path) -> Iterable[dict[str, Any]]:
    """Read ``metrics.jsonl`` of a run folder, leaving out a line that is being written."""
    file = path / "metrics.jsonl"
    for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else ():
        if _step_of(line) < float("inf"):
            yield json.loads(line)
