"""Embedded PostgreSQL and Valkey: one of each a folder, on sockets only, found and stopped again whatever happened."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
import redis

from launcher.services import (
    SOCKET_PATH_MAX,
    postgres_process,
    start_postgres,
    start_valkey,
    stop_services,
    valkey_process,
    valkey_socket,
)

ROOT = Path(__file__).resolve().parents[2]
START = "from pathlib import Path; from launcher.services import *; print({call}(Path({folder!r})))"


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """An ECGFM_HOME of its own, short enough for a socket, that PostgreSQL's own account may enter."""
    path = Path(tempfile.mkdtemp(prefix="ecgfm-services-"))
    path.chmod(0o711)
    yield path
    stop_services(path)
    shutil.rmtree(path, ignore_errors=True)


def started(call: str, folder: Path) -> subprocess.Popen[str]:
    """Start a server from a process of its own."""
    code = START.format(call=call, folder=str(folder))
    return subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True)


def listening(process: psutil.Process) -> list[object]:
    """Return the TCP and UDP sockets of a process and its children."""
    return [one for part in (process, *process.children(recursive=True)) for one in part.net_connections(kind="inet")]


def test_two_starts_at_once_make_one_server(folder):
    for call, find in (("start_postgres", postgres_process), ("start_valkey", valkey_process)):
        starters = [started(call, folder) for _ in range(3)]
        urls = {starter.communicate(timeout=90)[0].strip() for starter in starters}
        assert len(urls) == 1
        assert find(folder) is not None
        data = str(folder / call.removeprefix("start_"))
        holders = [one for one in psutil.process_iter(["cmdline"]) if data in (one.info["cmdline"] or [])]
        assert len(holders) == 1


def test_servers_outlive_their_starter_and_listen_on_sockets_only(folder):
    postgres_url, valkey_url = start_postgres(folder), start_valkey(folder)
    for process in (postgres_process(folder), valkey_process(folder)):
        assert process is not None
        assert listening(process) == []
    with psycopg.connect(postgres_url) as connection:
        assert connection.execute("SHOW listen_addresses").fetchone() == ("",)
        assert connection.execute("SHOW max_connections").fetchone() == ("200",)
        assert connection.execute("CREATE EXTENSION vector") is not None
    assert valkey_url.startswith("redis+socket:///")


def test_sockets_are_closed_to_other_accounts(folder):
    start_postgres(folder)
    start_valkey(folder)
    for path in (folder / "postgres" / ".s.PGSQL.5432", valkey_socket(folder)):
        assert path.stat().st_mode & 0o077 == 0


def test_a_killed_postgres_is_started_again_with_its_data(folder):
    url = start_postgres(folder)
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE kept (n int)")
    killed = postgres_process(folder)
    assert killed is not None
    children = killed.children(recursive=True)
    killed.send_signal(signal.SIGKILL)
    psutil.wait_procs([killed, *children], timeout=10)
    assert postgres_process(folder) is None
    with psycopg.connect(start_postgres(folder)) as connection:
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (0,)


def test_a_stale_pid_file_that_names_a_stranger_is_not_believed(folder):
    stop_services(folder)
    (folder / "postgres" / "postmaster.pid").write_text(f"{os.getpid()}\n{folder}/postgres\n0\n5432\n\n\n\nready\n")
    assert postgres_process(folder) is None
    assert start_postgres(folder)
    assert postgres_process(folder) is not None


def test_valkey_keeps_what_it_holds_over_a_stop(folder):
    path = str(valkey_socket(folder))
    start_valkey(folder)
    with redis.Redis(unix_socket_path=path) as client:
        client.set("kept", "yes")
    assert stop_services(folder)
    start_valkey(folder)
    with redis.Redis(unix_socket_path=path) as client:
        assert client.get("kept") == b"yes"


def test_stop_says_what_it_stopped_and_then_nothing(folder):
    start_postgres(folder)
    start_valkey(folder)
    assert stop_services(folder) == ["PostgreSQL", "Valkey"]
    assert stop_services(folder) == []
    assert stop_services(folder / "never made") == []


def test_a_long_path_gets_a_short_private_socket(tmp_path):
    deep = tmp_path / ("x" * SOCKET_PATH_MAX)
    path = valkey_socket(deep)
    assert len(str(path)) < SOCKET_PATH_MAX
    assert path == valkey_socket(deep)
    assert path.parent.stat().st_mode & 0o077 == 0
    path.parent.rmdir()


def test_a_valkey_that_can_not_start_says_where_to_look(tmp_path):
    (tmp_path / "valkey").mkdir()
    (tmp_path / "valkey" / "appendonlydir").write_text("in the way")
    with pytest.raises(SystemExit, match=r"valkey\.log.*BROKER_URL"):
        start_valkey(tmp_path)
