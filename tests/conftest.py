"""What every test may ask for, and which tests there are in this place."""

import os
import shutil
from pathlib import Path

import pytest
from django.db import connection

from tests.browser import browser as browser  # a fixture for all

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("ECGFM_DATA") or ROOT.parent / "shared" / "data").resolve()
REAL_MISSING = not DATA.is_dir()
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
collect_ignore = ["real"] if REAL_MISSING else []


def pytest_configure(config: pytest.Config) -> None:
    """Refuse to go on without the real recordings where they are demanded."""
    if REAL_MISSING and os.environ.get("ECGFM_REQUIRE_REAL"):
        raise pytest.UsageError(
            f"ECGFM_REQUIRE_REAL is set, but there is no folder {DATA} with real recordings. Name it with ECGFM_DATA."
        )


def pytest_report_header() -> str:
    """Say whether the tests on real recordings are among them."""
    if REAL_MISSING:
        return f"tests/real is left out: there is no folder {DATA} (ECGFM_DATA names another)"
    return f"tests/real reads {DATA}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say it again at the end, where it is read."""
    if REAL_MISSING:
        terminalreporter.write_line(pytest_report_header())


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real recordings."""
    return DATA


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of an installed Chromium; a missing one is a failure with what to install, never a skip."""
    named = os.environ.get("ECGFM_CHROMIUM", "")
    found = next(filter(None, map(shutil.which, [named] if named else BROWSERS)), None)
    if found is None:
        pytest.fail(
            f"No {' or '.join([named] if named else BROWSERS)} was found, which the tests in a browser need. "
            "Install one (Debian: apt-get install chromium) or name it with ECGFM_CHROMIUM=/path.",
            pytrace=False,
        )
    return found


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup, django_db_blocker):
    """Let the flush between transactional tests empty the append-only tables; UPDATE and DELETE stay refused."""
    with django_db_blocker.unblock(), connection.cursor() as cursor:
        cursor.execute("SELECT tgrelid::regclass::text FROM pg_trigger WHERE tgname = 'append_only_truncate'")
        for (table,) in cursor.fetchall():
            cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER append_only_truncate")
