"""The runner and its end: all that it started stops, strangers do not, whatever was killed."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from launcher.demo import free_port
from launcher.processes import MARK, environment, log_path, marked_processes, process_types, stop_processes
from launcher.services import postgres_process, start_postgres, start_valkey, valkey_process

ROOT = Path(__file__).resolve().parents[2]
SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]


@pytest.fixture
def folder(monkeypatch) -> Iterator[Path]:
    """An ECGFM_HOME with running servers."""
    path = Path(tempfile.mkdtemp(prefix="ecgfm-run-"))
    path.chmod(0o711)
    monkeypatch.setenv("ECGFM_HOME", str(path))
    monkeypatch.setenv("DATABASE_URL", start_postgres(path))
    monkeypatch.setenv("BROKER_URL", start_valkey(path))
    yield path
    stop(path)
    shutil.rmtree(path, ignore_errors=True)


def stop(folder: Path) -> str:
    """Run `make stop`'s command."""
    plain = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "BROKER_URL", MARK)}
    done = subprocess.run(
        [sys.executable, "-m", "launcher.stop"],
        cwd=ROOT, env={**plain, "ECGFM_HOME": str(folder)}, capture_output=True, text=True, timeout=90, check=True,
    )  # fmt: skip
    return done.stdout


def runner(folder: Path) -> subprocess.Popen[bytes]:
    """Start all processes on a free port and wait until each kind is up."""
    started = subprocess.Popen(
        [sys.executable, "-m", "launcher.processes", f"127.0.0.1:{free_port(20000 + os.getpid() % 20000)}"],
        cwd=ROOT, env=environment(folder), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        lines = [" ".join(process.cmdline()) for process in alive(folder)]
        if all(any(word in line for line in lines) for word in ("gunicorn", "worker@", "loop@", "trainer@", "beat")):
            return started
        time.sleep(0.2)
    logs = [log_path(process.name, folder) for process in process_types("")]
    raise AssertionError("\n".join(path.read_text()[-1000:] for path in logs if path.exists()))


def alive(folder: Path) -> list[psutil.Process]:
    """Return the marked processes that can still say their command line."""
    found = []
    for process in marked_processes(folder):
        try:
            if process.cmdline():
                found.append(process)
        except psutil.NoSuchProcess:
            continue
    return found


def test_a_killed_runner_leaves_nothing_that_stop_does_not_find(folder):
    started = runner(folder)
    stranger = subprocess.Popen(SLEEP, env={**os.environ, MARK: f"{folder}-of-another"})
    started.send_signal(signal.SIGKILL)
    started.wait()
    assert len(alive(folder)) >= 5
    words = stop(folder)
    assert "PostgreSQL" in words
    assert "Valkey" in words
    assert alive(folder) == []
    assert postgres_process(folder) is None
    assert valkey_process(folder) is None
    assert stranger.poll() is None
    stranger.kill()
    stranger.wait()
    assert "nothing was running" in stop(folder)


def test_one_process_that_ends_ends_all_and_the_runner_says_so(folder):
    started = runner(folder)
    beat = next(one for one in alive(folder) if "beat" in one.cmdline() and "workers.app" in one.cmdline())
    beat.kill()
    assert started.wait(timeout=30) != 0
    deadline = time.monotonic() + 20
    while alive(folder) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert alive(folder) == []
    assert postgres_process(folder) is not None


def test_a_process_that_ignores_the_question_is_killed(tmp_path):
    stubborn = "from signal import *; signal(SIGTERM, SIG_IGN); print('up', flush=True); import time; time.sleep(600)"
    process = subprocess.Popen(
        [sys.executable, "-c", stubborn], env={**os.environ, MARK: str(tmp_path)}, stdout=subprocess.PIPE
    )
    assert process.stdout
    process.stdout.readline()
    assert len(stop_processes(tmp_path)) == 1
    assert process.wait(timeout=5) == -signal.SIGKILL


def test_stopping_ends_neither_the_stopper_nor_its_like(tmp_path, monkeypatch):
    monkeypatch.setenv(MARK, str(tmp_path))
    assert stop_processes(tmp_path) == []
