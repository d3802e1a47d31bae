"""Which imports may go which way; pyproject.toml holds the contracts."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("torch", "sklearn", "modAL", "tokenizers")


def heavy_after(code: str) -> set[str]:
    """Return which heavy packages a fresh process has loaded after some code."""
    ask = f"{code}; import sys; print('loaded', *[name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", ask], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return set(done.stdout.splitlines()[-1].split()[1:])


@pytest.mark.parametrize(
    "code",
    [
        "import django, os; os.environ['DJANGO_SETTINGS_MODULE'] = 'annotator.settings'; django.setup()",
        "import annotator.wsgi; from django.urls import get_resolver; get_resolver().url_patterns",
        "import ecgfm_core.configs, ecgfm_core.manifest, ecgfm_core.datasets, ecgfm_core.model, ecgfm_core.training",
    ],
    ids=["django", "web", "core"],
)
def test_a_fresh_process_loads_nothing_heavy(code):
    assert heavy_after(code) == set()


def test_the_detector_sees_what_is_loaded():
    assert heavy_after("import tokenizers") == {"tokenizers"}


def test_import_contracts_hold():
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout[-3000:]
    assert "0 broken" in done.stdout


def test_web_side_and_workers_name_the_same_tasks():
    code = "from workers.app import app; app.loader.import_default_modules(); print(*sorted(app.tasks))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    from annotator.jobs import TASKS

    registered = {name for name in done.stdout.splitlines()[-1].split() if not name.startswith("celery.")}
    assert registered == set(TASKS)
