"""`make demo` on a folder of recordings: to a claimed item, again in no time, and nothing left behind."""

import http.cookiejar
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from ecgfm_core.datasets.simulated.writing import write_dataset
from launcher.demo import free_port
from launcher.errors import DemoError
from launcher.processes import marked_processes
from launcher.services import postgres_process, stop_services, valkey_process

ROOT = Path(__file__).resolve().parents[2]
START_TIMEOUT_S = 400
SMALL_TRAINING = "epochs=1 steps_min=2 batch=8 width=32 layers=1 heads=2"


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """An ECGFM_HOME, with a folder of recordings in it."""
    path = Path(tempfile.mkdtemp(prefix="ecgfm-demo-"))
    path.chmod(0o711)
    write_dataset(path / "My recordings", 60, seed=1, sampling_rate_hz=100.0, label_error_rate=0.1)
    yield path
    run("launcher.stop", path)
    stop_services(path)
    shutil.rmtree(path, ignore_errors=True)


def demo_environment(folder: Path, **more: str) -> dict[str, str]:
    """Return the environment of a newcomer's shell."""
    left_out = ("DATABASE_URL", "BROKER_URL", "DJANGO_SETTINGS_MODULE")
    plain = {name: value for name, value in os.environ.items() if name not in left_out}
    data = {"DATA": str(folder / "My recordings"), "SET": SMALL_TRAINING, "PORT": str(free_port(21000))}
    return {**plain, "ECGFM_HOME": str(folder), **data, **more}


def run(module: str, folder: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """Run one of the launcher's commands to its end."""
    command = [sys.executable, "-m", module]
    environment = demo_environment(folder, **more)
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)


def start(folder: Path) -> tuple[subprocess.Popen[bytes], str]:
    """Start the demo and return it with what it printed once it is ready."""
    out = folder / "out.txt"
    with out.open("wb") as file:
        command = [sys.executable, "-m", "launcher.demo"]
        demo = subprocess.Popen(command, cwd=ROOT, env=demo_environment(folder), stdout=file, stderr=file)
    deadline = time.monotonic() + START_TIMEOUT_S
    while "Ctrl-C stops everything." not in out.read_text():
        assert demo.poll() is None, out.read_text()
        assert time.monotonic() < deadline, out.read_text()
        time.sleep(0.2)
    return demo, out.read_text()


def claim(address: str, name: str, password: str) -> dict[str, object]:
    """Sign in as a person would and claim an item."""
    jar = http.cookiejar.CookieJar()
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))

    def post(path: str, body: bytes, kind: str) -> bytes:
        token = next(cookie.value for cookie in jar if cookie.name == "csrftoken")
        headers = {"X-CSRFToken": str(token), "Content-Type": kind, "Referer": address}
        return opener.open(urllib.request.Request(address + path, body, headers)).read()

    opener.open(f"{address}/sign-in")
    form = urllib.parse.urlencode({"username": name, "password": password}).encode()
    post("/sign-in", form, "application/x-www-form-urlencoded")
    return json.loads(post("/api/v1/claims", b"{}", "application/json"))


def nothing_runs(folder: Path) -> bool:
    """Whether neither processes nor servers of this folder are left."""
    return not marked_processes(folder) and postgres_process(folder) is None and valkey_process(folder) is None


def test_from_nothing_to_a_claimed_item_and_again(folder):
    demo, said = start(folder)
    address = re.search(r"Ready: (\S+)", said)
    logins = dict(re.findall(r"^  (\w+) +([a-z0-9-]{15,})$", said, re.MULTILINE))
    assert set(logins) == {"reader", "adjudicator", "admin", "researcher", "sender"}
    assert address
    assert claim(address[1], "reader", logins["reader"])["item"]

    second = run("launcher.demo", folder)
    assert second.returncode == 1
    assert "runs on" in second.stdout

    demo.send_signal(signal.SIGINT)
    assert demo.wait(timeout=60) == 0
    assert nothing_runs(folder)

    demo, said = start(folder)
    assert "make passwords" in said
    assert logins["reader"] not in said
    assert "Training" not in said

    demo.send_signal(signal.SIGKILL)
    demo.wait()
    assert not nothing_runs(folder)
    assert "stopped" in run("launcher.stop", folder).stdout
    assert nothing_runs(folder)


def test_a_closed_terminal_stops_everything(folder):
    command = [sys.executable, "-m", "launcher.demo"]
    with subprocess.Popen(command, cwd=ROOT, env=demo_environment(folder), stdout=subprocess.PIPE, text=True) as demo:
        while "Ctrl-C stops everything." not in (line := demo.stdout.readline()):
            assert line, "the demo ended before it was ready"
        demo.stdout.close()  # nobody listens any more
        demo.send_signal(signal.SIGHUP)
        demo.wait(60)
    assert nothing_runs(folder)


def test_new_passwords_are_given_on_demand(folder):
    done = run("launcher.people", folder)
    assert len(re.findall(r"^  \w+ +[a-z0-9-]{15,}$", done.stdout, re.MULTILINE)) == 5
    assert nothing_runs(folder)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"DATA": "nowhere/at/all"}, "there is no folder or zip file"),
        ({"PORT": "eighty"}, "a number from 1 to 65535"),
        ({"SET": "epochs"}, "not of the form field=value"),
    ],
)
def test_what_can_not_work_is_said_and_everything_stopped(folder, more, words):
    done = run("launcher.demo", folder, **more)
    assert done.returncode == 1
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert nothing_runs(folder)


def test_a_taken_port_is_passed_over():
    port = free_port(22000)
    assert free_port(port) >= port
    with pytest.raises(DemoError, match="make demo PORT=9000"):
        free_port(70000)
