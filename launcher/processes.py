"""The processes of a system on one host, run in the foreground by honcho; `python -m launcher.processes`.

deploy/compose.yaml runs the same commands, one a container; a test compares the two.
"""

import os
import shlex
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from launcher.services import STOP_TIMEOUT_S, has_ended, home, still_running

ROOT = Path(__file__).resolve().parent.parent
LOG_LIMIT_BYTES = 10_000_000
# Threads wait for the database most of the time; workers are replaced now and then, against slow leaks. With one socket
# for both workers, gunicorn 27 leaves new connections waiting for as long as those it has keep it busy (seconds).
WEB_OPTIONS = ("--workers", "2", "--threads", "16", "--reuse-port", "--no-control-socket", "--max-requests", "100000",
               "--max-requests-jitter", "10000")  # fmt: skip
# In the environment of everything the runner starts, and of what that starts: `stop_processes` knows them by it.
MARK = "ECGFM_RUNNER"
TRAINING_THREADS_MAX = 4
ASK_TIMEOUT_S = 10  # honcho kills what has not ended after 5


@dataclass(frozen=True)
class ProcessType:
    """One kind of process: its command, and the queues it serves where it is a worker."""

    name: str
    command: tuple[str, ...]
    queues: tuple[str, ...] = ()


def worker(name: str, queues: tuple[str, ...], concurrency: int) -> ProcessType:
    """Return a Celery worker for these queues."""
    options = ("--queues", ",".join(queues), "--concurrency", str(concurrency), "--without-mingle", "--without-gossip")
    command = ("celery", "--app", "workers.app", "worker", "--hostname", f"{name}@%h", *options)
    return ProcessType(name, command, queues)


def process_types(bind: str) -> tuple[ProcessType, ...]:
    """Return what runs: a web server at `bind`, workers for long jobs, for training and for the loop, the scheduler."""
    return (
        ProcessType("web", ("gunicorn", "annotator.wsgi:application", "--bind", bind, *WEB_OPTIONS)),
        # Two at once, so that arrivals are looked after while a long import runs.
        worker("worker", ("data", "score"), 2),
        # By itself, so that no job of hours stands before a re-ordering, a lease or a lost job.
        worker("loop", ("loop",), 1),
        worker("trainer", ("train",), 1),
        ProcessType("beat", ("celery", "--app", "workers.app", "beat", "--schedule", "{home}/run/beat", "--pidfile=")),
    )


def environment(folder: Path) -> dict[str, str]:
    """Return the environment the processes run in."""
    # SIGTERM ends a worker at once: a job it ran is taken up again from its row.
    ours = {"ECGFM_HOME": str(folder), MARK: str(folder), "REMAP_SIGTERM": "SIGQUIT", "PYTHONUNBUFFERED": "1"}
    # Numbers are crunched in processes of their own, on all cores of a small machine; elsewhere one thread each.
    threads = {"TRAINING_THREADS": str(min(TRAINING_THREADS_MAX, os.cpu_count() or 1)), "OMP_NUM_THREADS": "1"}
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)))
    return {**threads, **os.environ, **ours, "PATH": path}


def shell_command(process: ProcessType, folder: Path) -> str:
    """Return the command for the shell, its output in a log file of its own."""
    arguments = [argument.replace("{home}", str(folder)) for argument in process.command]
    return f"exec {shlex.join(arguments)} >>{shlex.quote(str(log_path(process.name, folder)))} 2>&1"


def log_path(name: str, folder: Path) -> Path:
    """Return where a process's output goes; the runner's own is `runner`."""
    return folder / "logs" / f"{name}.log"


def run(bind: str, folder: Path) -> int:
    """Run all processes until one ends or a signal comes, then end the others; return the exit status."""
    from honcho.manager import Manager

    (folder / "run").mkdir(parents=True, exist_ok=True)
    (folder / "logs").mkdir(parents=True, exist_ok=True)
    (folder / "run" / "runner.pid").write_text(str(os.getpid()))
    manager = Manager()
    for process in process_types(bind):
        log = log_path(process.name, folder)
        if log.exists() and log.stat().st_size > LOG_LIMIT_BYTES:
            log.replace(log.with_suffix(".log.1"))
        manager.add_process(process.name, shell_command(process, folder), env=environment(folder), cwd=str(ROOT))
    manager.loop()
    return int(manager.returncode or 0)


def marked_processes(folder: Path) -> list[psutil.Process]:
    """Return every process that a runner of this folder started, itself included."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == str(folder) and not has_ended(process):
                found.append(process)
        except (psutil.Error, OSError):
            continue  # another account's, or gone
    return [process for process in found if process.pid != os.getpid()]


def stop_processes(folder: Path) -> list[str]:
    """End all that a runner of this folder started and say which; what does not end when asked is killed."""
    processes = marked_processes(folder)
    names = [_words(process) for process in processes]
    runners = [process for process in processes if process.pid == _runner_pid(folder)]
    # A living runner asks each of its processes once; a second signal would be taken for impatience.
    for process in runners or processes:
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    alive = still_running(processes, ASK_TIMEOUT_S)
    deadline = time.monotonic() + STOP_TIMEOUT_S
    while alive and time.monotonic() < deadline:
        for process in alive:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        still_running(alive, timeout_s=2)
        alive = marked_processes(folder)
    return names


def _runner_pid(folder: Path) -> int:
    try:
        return int((folder / "run" / "runner.pid").read_text())
    except (OSError, ValueError):
        return 0


def _words(process: psutil.Process) -> str:
    with suppress(psutil.Error):
        return shlex.join(process.cmdline())
    return f"process {process.pid}"


if __name__ == "__main__":
    sys.exit(run(sys.argv[1], home()))
