"""A whole system of its own: home, PostgreSQL, Valkey, web, workers, scheduler, logins."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.error import URLError

import psutil
import psycopg
from psycopg.rows import dict_row

from launcher.processes import ROOT, environment, marked_processes, stop_processes
from launcher.services import start_postgres, start_valkey, stop_services

START_TIMEOUT_S = 60


@contextmanager
def running_system(**settings: str) -> Iterator["System"]:
    """Run a system for the length of a block; on a failure its logs are printed."""
    home = Path(tempfile.mkdtemp(prefix="ecgfm-system-"))
    system = None
    try:
        system = System(home, **settings)
        yield system
    except BaseException:
        print(system.logs() if system else "the system did not start")
        raise
    finally:
        if system:
            system.stop()
        shutil.rmtree(home, ignore_errors=True)


class System:
    """What `make demo` runs, without its steps: an empty system with one login a role."""

    def __init__(self, home: Path, **settings: str) -> None:
        self.home = home
        home.chmod(0o711)  # run as root, PostgreSQL belongs to a user of its own
        self.database_url = start_postgres(home)
        own = {"DATABASE_URL": self.database_url, "BROKER_URL": start_valkey(home), "LOG_LEVEL": "WARNING"}
        self.environment = {**environment(home), **own, **settings}
        self.passwords = self._make_people()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.address = f"http://127.0.0.1:{probe.getsockname()[1]}"
        self.runner = self._start_runner()

    def _make_people(self) -> dict[str, str]:
        """Migrate, and give each role's login a password, as `make passwords` does."""
        done = subprocess.run(
            [sys.executable, "-m", "launcher.people"], cwd=ROOT, env=self.environment, text=True, check=True,
            stdout=subprocess.PIPE,
        )  # fmt: skip
        lines = [line.split() for line in done.stdout.splitlines() if line.startswith("  ")]
        return {line[0]: line[1] for line in lines}

    def _start_runner(self) -> subprocess.Popen[bytes]:
        log = self.home / "logs" / "runner.log"
        log.parent.mkdir(exist_ok=True)
        with log.open("wb") as file:
            runner = subprocess.Popen(
                [sys.executable, "-m", "launcher.processes", self.address.removeprefix("http://")],
                cwd=ROOT, env=self.environment, stdin=subprocess.DEVNULL, stdout=file, stderr=file,
                start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._answers():
            assert time.monotonic() < deadline, f"the web server did not start; logs in {log.parent}: {log.read_text()}"
            time.sleep(0.2)
        return runner

    def _answers(self) -> bool:
        with suppress(URLError, OSError):
            return urllib.request.urlopen(f"{self.address}/ready", timeout=5).status == 200
        return False

    def rows(self, query: str, *parameters: Any) -> list[dict[str, Any]]:
        """Ask the database itself."""
        with psycopg.connect(self.database_url, row_factory=dict_row) as connection:
            return connection.execute(query, parameters).fetchall()

    def kill(self, *words: str) -> int:
        """Send SIGKILL to every process of this system whose command line holds all the words; return how many."""
        killed = 0
        for process in marked_processes(self.home):
            with suppress(psutil.NoSuchProcess):
                if all(word in " ".join(process.cmdline()) for word in words):
                    os.kill(process.pid, signal.SIGKILL)
                    killed += 1
        return killed

    def logs(self) -> str:
        """The ends of all logs, for a failure's message."""
        files = sorted((self.home / "logs").glob("*.log"))
        return "\n".join(f"== {file.name}\n{file.read_text(errors='replace')[-2000:]}" for file in files)

    def stop(self) -> None:
        """Stop everything of this home."""
        stop_processes(self.home)
        stop_services(self.home)
