"""Claim an item and answer it over HTTP: answers a second, latencies, items handed out twice, errors.

    python benchmarks/claims.py [--items 1000 100000] [--readers 1 16 64] [--seconds 8] [--blind] [--absent 0.03]

Starts PostgreSQL, Valkey and gunicorn of its own in a temporary folder, with the web processes that the launcher
starts, and asks 127.0.0.1 alone. Each cell has a fresh round and readers with sessions of their own; a reader claims,
answers and goes on. `--blind` adds the first read, a third request; `--absent` is the share of items that are repeats
of readers who stay away. The readers run on the same processors as the
server; `web_ms`, `db_ms` and `load_ms` are processor time an answer in gunicorn, PostgreSQL and the readers, which a
busy machine does not change as much as the rest.
"""

import argparse
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
AF, SINUS = "164889003", "426783006"
CSRF = "c" * 32
WARM_UP_S = 3


def main() -> None:
    """Run the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, nargs="+", default=[1_000, 100_000])
    parser.add_argument("--readers", type=int, nargs="+", default=[1, 16, 64])
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--blind", action="store_true")
    parser.add_argument("--absent", type=float, default=0)
    options = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="ecgfm-claims-"))
    home.chmod(0o711)
    try:
        print_table(run(home, options))
    finally:
        from launcher.services import stop_services

        stop_services(home)
        shutil.rmtree(home, ignore_errors=True)


def run(home: Path, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Start everything, measure each cell, stop the server."""
    prepare(home)
    cookies = sessions(max(options.readers))
    port = free_port()
    server = start_server(port, home)
    try:
        wait_for(port)
        make_round(1_000, blind=options.blind)
        measure(port, cookies[:8], WARM_UP_S, blind=options.blind)
        rows: list[dict[str, Any]] = []
        for items in options.items:
            for readers in options.readers:
                make_round(items, blind=options.blind, absent=options.absent)
                before = processor_ms(server.pid, home)
                row = {"items": items, "readers": readers} | measure(
                    port, cookies[:readers], options.seconds, blind=options.blind
                )
                after = processor_ms(server.pid, home)
                rows.append(row | {f"{name}_ms": (after[name] - before[name]) / row["answers"] for name in after})
                print_table(rows[-1:], header=len(rows) == 1)
        return rows
    finally:
        server.terminate()
        server.wait(20)


def prepare(home: Path) -> None:
    """Start the services and make the database."""
    os.environ["ECGFM_HOME"] = str(home)
    os.environ["DJANGO_SETTINGS_MODULE"] = "annotator.settings"
    os.environ["LOG_LEVEL"] = "ERROR"
    for name in ("DATABASE_URL", "BROKER_URL"):
        os.environ.pop(name, None)
    from launcher.services import ensure_services

    ensure_services()
    import django

    django.setup()
    from django.core.management import call_command

    from annotator.services.schemes import ensure_scheme

    call_command("migrate", verbosity=0)
    ensure_scheme()


def sessions(count: int) -> list[str]:
    """Make readers and return a cookie header for a session of each."""
    from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY

    from annotator.models import User
    from annotator.sign_in import SessionStore

    cookies = []
    for number in range(count):
        user = User.objects.create_user(f"reader{number}")
        session = SessionStore()
        session[SESSION_KEY] = str(user.pk)
        session[BACKEND_SESSION_KEY] = "annotator.sign_in.Backend"
        session[HASH_SESSION_KEY] = user.get_session_auth_hash()
        session.save()
        cookies.append(f"sessionid={session.session_key}; csrftoken={CSRF}")
    return cookies


def make_round(count: int, *, blind: bool, absent: float = 0) -> None:
    """Close what is open and open a round of `count` items over recordings that are made once.

    Of them, `absent` is reserved for readers who won't come.
    """
    from django.db import connection
    from django.utils import timezone

    from annotator.models import Dataset, LabelScheme, Recording, Round, User

    dataset, _ = Dataset.objects.get_or_create(name="bench")
    have = Recording.objects.count()
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO annotator_waveform SELECT lpad(n::text, 64, '0'), "
            "'{I,II,III,aVR,aVL,aVF,V1,V2,V3,V4,V5,V6}', 500, 5000, 0.001, true, '' "
            "FROM generate_series(%s + 1, %s) n",
            [have, count],
        )
        cursor.execute(
            "INSERT INTO annotator_recording (dataset_id, name, waveform_id, patient_hash, split, sex, centre,"
            " report_text, quality, source_abnormal, imported_at, age_years)"
            " SELECT %s, n::text, lpad(n::text, 64, '0'), '', 'train', 'F', '',"
            " 'sinus rhythm', '{}', false, now(), 60 FROM generate_series(%s + 1, %s) n",
            [dataset.pk, have, count],
        )
        admin, _ = User.objects.get_or_create(username="boss", defaults={"role": "admin"})
        Round.objects.update(state=Round.State.CLOSED)
        made = Round.objects.create(
            number=Round.objects.count() + 1, scheme=LabelScheme.objects.get(), strategy="random", budget=count,
            reveal="after_first_read" if blind else "never", state="open", opened_at=timezone.now(), created_by=admin,
        )  # fmt: skip
        cursor.execute(
            "INSERT INTO annotator_queueitem (round_id, recording_id, copy, rank, origin, reason, state)"
            " SELECT %s, id, 1, row_number() OVER (ORDER BY id) - 1, 'strategy', 'why', 'waiting'"
            " FROM annotator_recording ORDER BY id LIMIT %s",
            [made.pk, count],
        )
        gone, _ = User.objects.get_or_create(username="gone")
        cursor.execute(
            "UPDATE annotator_queueitem SET origin = 'repeat', reserved_for_id = %s"
            " WHERE round_id = %s AND random() < %s",
            [gone.pk, made.pk, absent],
        )
        cursor.execute("ANALYZE")


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start_server(port: int, home: Path) -> "subprocess.Popen[bytes]":
    """Start the web processes as the launcher does, on a port of their own."""
    from launcher.processes import process_types

    web = next(kind for kind in process_types(f"127.0.0.1:{port}") if kind.name == "web")
    with (home / "web.log").open("wb") as log:
        return subprocess.Popen([sys.executable, "-m", *web.command], stdout=log, stderr=log)


def wait_for(port: int) -> None:
    """Wait until the server answers."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.1)
    sys.exit("gunicorn did not start within 30 s.")


def processor_ms(server: int, home: Path) -> dict[str, float]:
    """Return the processor time that gunicorn, PostgreSQL and this process have used."""
    from launcher.services import postgres_process

    postgres = postgres_process(home)
    assert postgres is not None
    roots = {"web": psutil.Process(server), "db": postgres}
    used = {"load": sum(psutil.Process().cpu_times()[:2]) * 1000}
    for name, root in roots.items():
        family = [root, *root.children(recursive=True)]
        used[name] = sum(sum(process.cpu_times()[:2]) for process in family) * 1000
    return used


class Connection:
    """A connection that is kept open and costs next to nothing, so that the processors are the server's."""

    def __init__(self, port: int, cookie: str) -> None:
        self.port, self.socket = port, None
        self.head = (
            f"Host: 127.0.0.1:{port}\r\nCookie: {cookie}\r\nX-CSRFToken: {CSRF}\r\n"
            "Content-Type: application/json\r\nContent-Length: "
        )

    def post(self, path: str, body: str) -> tuple[int, bytes]:
        """Send a request; return status and body."""
        if self.socket is None:
            self.socket = socket.create_connection(("127.0.0.1", self.port), timeout=60)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.sendall(f"POST {path} HTTP/1.1\r\n{self.head}{len(body)}\r\n\r\n{body}".encode())
        received = self.socket.recv(65536)
        while b"\r\n\r\n" not in received:
            received += self._more()
        head, _, content = received.partition(b"\r\n\r\n")
        lower = head.lower()
        length = int(lower.partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        while len(content) < length:
            content += self._more()
        if b"connection: close" in lower:
            self.close()
        return int(head.split(b" ", 2)[1]), content

    def _more(self) -> bytes:
        assert self.socket is not None
        more = self.socket.recv(65536)
        if not more:
            raise ConnectionResetError
        return more

    def close(self) -> None:
        """End the connection; the next request opens one."""
        if self.socket is not None:
            self.socket.close()
            self.socket = None


class Reader(threading.Thread):
    """One reader with a connection and a session."""

    def __init__(self, port: int, cookie: str, until: float, blind: bool) -> None:
        super().__init__(daemon=True)
        self.connection = Connection(port, cookie)
        self.until, self.stages = until, ("first", "final") if blind else ("final",)
        self.items: list[int] = []
        self.times_ms: dict[str, list[float]] = {"claim": [], "first": [], "final": []}
        self.answers = 0
        self.errors: Counter[str] = Counter()

    def run(self) -> None:
        """Claim and answer until the time is over or nothing waits."""
        while time.monotonic() < self.until:
            item = (self.post("claim", "claims") or {}).get("item")
            if item is None:
                return
            self.items.append(item["id"])
            code = AF if item["id"] % 10 == 0 else SINUS
            for stage in self.stages:
                body = {"idempotency_key": str(uuid4()), "statements": [{"code": code}], "duration_ms": 9000}
                stored = self.post(stage, f"claims/{item['id']}/{stage}-read", body)
            self.answers += stored is not None

    def post(self, name: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Send one request and note its time."""
        start = time.perf_counter()
        try:
            status, content = self.connection.post(f"/api/v1/{path}", json.dumps(body or {}))
        except OSError as error:
            self.errors[type(error).__name__] += 1
            self.connection.close()
            return None
        self.times_ms[name].append((time.perf_counter() - start) * 1000)
        if status >= 300:
            self.errors[f"{status} {content[:150].decode(errors='replace')}"] += 1
            return None
        return json.loads(content)


def measure(port: int, cookies: list[str], seconds: float, *, blind: bool) -> dict[str, Any]:
    """Let the readers read for a while; return the figures."""
    start = time.monotonic()
    readers = [Reader(port, cookie, start + seconds, blind) for cookie in cookies]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    wall_s = time.monotonic() - start
    items = [item for reader in readers for item in reader.items]
    errors = sum((reader.errors for reader in readers), Counter())
    for words, count in errors.most_common(3):
        print(f"    {count} x {words}", file=sys.stderr)
    answers = sum(reader.answers for reader in readers)
    figures: dict[str, Any] = {"answers": answers, "per_s": answers / wall_s}
    for name in ("claim", "final"):
        times = sorted(value for reader in readers for value in reader.times_ms[name])
        figures |= {f"{name}_p50": statistics.median(times), f"{name}_p99": times[int(len(times) * 0.99)]}
    return figures | {"doubles": len(items) - len(set(items)), "errors": sum(errors.values())}


def print_table(rows: list[dict[str, Any]], *, header: bool = True) -> None:
    """Print rows of figures; times in ms."""
    for number, row in enumerate(rows):
        if header and number == 0:
            print(" ".join(f"{name:>10}" for name in row))
        print(
            " ".join(f"{value:>10.1f}" if isinstance(value, float) else f"{value:>10}" for value in row.values()),
            flush=True,
        )


if __name__ == "__main__":
    main()
