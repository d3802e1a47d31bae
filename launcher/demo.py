"""`make demo`: the whole system on this machine, from nothing to an open round, then in the foreground until Ctrl-C.

A second run goes on where the first one was. Everything it starts, it stops; `make stop` does so where it was killed.
"""

import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from urllib.error import URLError

from launcher.errors import DemoError
from launcher.processes import ROOT, environment, log_path, stop_processes
from launcher.services import ensure_services, home, stop_services

DEFAULT_PORT = 8000
PORTS_TRIED = 100
PORT_MAX = 65535
READY_TIMEOUT_S = 60


def main() -> int:
    """Run the demo; return the exit status."""
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGHUP, _interrupt)
    folder = home()
    try:
        with only_one(folder):
            try:
                return run(folder, os.environ.get("DATA", ""), os.environ.get("SET", ""))
            finally:
                signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C does not cut the stopping short
                say("\nStopping ...")
                stop_processes(folder)
                stop_services(folder)
                say("Everything is stopped; `make demo` goes on from here.")
    except KeyboardInterrupt:
        return 0
    except DemoError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1


def say(words: str) -> None:
    """Print, where someone still listens: a closed terminal or pipe must not keep anything from being stopped."""
    with suppress(OSError):
        print(words, flush=True)


def run(folder: Path, data: str, changes: str) -> int:
    """Start everything, go through the steps, print where to sign in, stay until something ends."""
    stop_processes(folder)  # what a killed demo left would hold the port and the jobs
    embedded = not os.environ.get("DATABASE_URL")
    print("Starting PostgreSQL and Valkey" if embedded else "Using the servers that are named", flush=True)
    ensure_services()
    prepare_database(embedded)
    port = free_port(wanted_port(os.environ.get("PORT", "")))
    runner = start_runner(port, folder)

    def check() -> None:
        if runner.poll() is not None:
            raise DemoError(f"A process ended that should run on: {last_lines(log_path('runner', folder))}")

    from annotator.errors import AnnotatorError
    from ecgfm_core.errors import EcgfmError
    from launcher import people, steps

    try:
        steps.go(data, changes, check)
    except (AnnotatorError, EcgfmError) as error:
        raise DemoError(str(error)) from error
    address = f"http://127.0.0.1:{port}"
    wait_until_ready(address, check)
    waiting = people.ensure_people()
    print(f"\nReady: {address}")
    if waiting:
        print("Sign in as one of these; the passwords are shown this once:")
        print(people.table(people.give_passwords(waiting)))
    else:
        print("The passwords were shown by the first run; `make passwords` gives new ones.")
    print("Ctrl-C stops everything.", flush=True)
    runner.wait()
    check()
    return 0


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Refuse a second demo on the same folder."""
    (folder / "run").mkdir(parents=True, exist_ok=True)
    with (folder / "run" / "demo.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            print(f"A demo runs on {folder} already (process {lock.read().strip()}). Stop it with Ctrl-C there, or")
            print("choose another folder with ECGFM_HOME.")
            sys.exit(1)
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def prepare_database(embedded: bool) -> None:
    """Migrate; where the database is ours alone, put back at once the jobs whose worker was stopped."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "annotator.settings")
    os.environ.setdefault("LOG_LEVEL", "WARNING")
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)
    if embedded:
        from launcher import steps

        steps.put_back_held_jobs()


def wanted_port(text: str) -> int:
    """Return the port that PORT names."""
    if text and not (text.isdecimal() and 1 <= int(text) <= PORT_MAX):
        raise DemoError(f"PORT={text!r}: a number from 1 to {PORT_MAX} is allowed, as in make demo PORT=9000.")
    return int(text or DEFAULT_PORT)


def free_port(wanted: int) -> int:
    """Return the first port from `wanted` on that nothing listens on."""
    for port in range(wanted, wanted + PORTS_TRIED):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with suppress(OSError, OverflowError):
                probe.bind(("127.0.0.1", port))
                return port
    raise DemoError(f"No port from {wanted} to {wanted + PORTS_TRIED - 1} is free. Name another: make demo PORT=9000")


def start_runner(port: int, folder: Path) -> subprocess.Popen[bytes]:
    """Start web, workers and scheduler under their runner, out of reach of this terminal's Ctrl-C."""
    log = log_path("runner", folder)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as file:
        return subprocess.Popen(
            [sys.executable, "-m", "launcher.processes", f"127.0.0.1:{port}"],
            cwd=ROOT, env=environment(folder), stdin=subprocess.DEVNULL, stdout=file, stderr=file,
            start_new_session=True,
        )  # fmt: skip


def wait_until_ready(address: str, check: Callable[[], None]) -> None:
    """Wait until the web server says that it can serve."""
    deadline = time.monotonic() + READY_TIMEOUT_S
    while True:
        with suppress(URLError, OSError), urllib.request.urlopen(f"{address}/ready", timeout=5):
            return
        check()
        if time.monotonic() > deadline:
            raise DemoError(f"The web server did not answer at {address}/ready within {READY_TIMEOUT_S} s.")
        time.sleep(0.2)


def last_lines(path: Path, count: int = 8) -> str:
    """Return the end of a log, with its path."""
    lines = path.read_text(errors="replace").splitlines()[-count:] if path.exists() else []
    return "\n  ".join([str(path), *lines])


def _interrupt(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
