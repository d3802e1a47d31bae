"""Give the test run a PostgreSQL and a Valkey of its own, before Django reads its settings; loaded with `-p`."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from launcher.services import ensure_services, stop_services

HOME = Path(tempfile.mkdtemp(prefix="ecgfm-test-"))
HOME.chmod(0o711)  # run as root, PostgreSQL belongs to a user of its own
os.environ["ECGFM_HOME"] = str(HOME)
for _name in ("DATABASE_URL", "BROKER_URL"):
    # A run against other servers says so on purpose: TEST_DATABASE_URL, TEST_BROKER_URL.
    os.environ.pop(_name, None)
    if os.environ.get(f"TEST_{_name}"):
        os.environ[_name] = os.environ[f"TEST_{_name}"]
ensure_services()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop what was started."""
    stop_services(HOME)
    shutil.rmtree(HOME, ignore_errors=True)
