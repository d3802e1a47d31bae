"""Production refuses to start with anything guessed, and says what to do; secrets are never shown."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from annotator import checks
from tests.deploy.test_images import production_environment

ROOT = Path(__file__).resolve().parents[2]
GOOD = {"SECRET_KEY": "kfJ2-93hf" * 8, "PATIENT_HASH_KEY": "Lw8_zq01x" * 8}


def start(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Load the settings in a fresh process."""
    return subprocess.run(
        [sys.executable, "-c", "import annotator.settings"],
        env=environment, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_a_complete_environment_starts(tmp_path):
    done = start(production_environment(tmp_path))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("SECRET_KEY", "", "SECRET_KEY is not set"),
        ("SECRET_KEY", "change-me", "placeholder"),
        ("SECRET_KEY", "django-insecure-" + "k3j4h5" * 10, "placeholder"),
        ("SECRET_KEY", "a1b2c3d4e5", "has 10 characters"),
        ("SECRET_KEY", "ab" * 40, "2 of them different"),
        ("PATIENT_HASH_KEY", "", "PATIENT_HASH_KEY is not set"),
        ("ALLOWED_HOSTS", "", "ALLOWED_HOSTS is empty"),
        ("ALLOWED_HOSTS", "*", "lets any host name in"),
        ("ALLOWED_HOSTS", "ecg.example.org,.", "lets any host name in"),
        ("ECGFM_DEBUG", "true", "ECGFM_DEBUG is on"),
        ("DATABASE_URL", "", "DATABASE_URL is not set"),
        ("BROKER_URL", "", "BROKER_URL is not set"),
        ("ECGFM_ENV", "prod", "ECGFM_ENV is 'prod'; allowed are local and production"),
    ],
)
def test_an_unsafe_value_is_refused_by_name(name, value, words, tmp_path):
    environment = {**production_environment(tmp_path), name: value}
    done = start(environment)
    assert done.returncode != 0
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("django.core.exceptions.ImproperlyConfigured")
    assert words in last
    secret = environment["SECRET_KEY"]
    assert not secret or name != "SECRET_KEY" or secret in ("change-me",) or secret not in done.stderr


@pytest.mark.parametrize(("margin", "positives_min"), [(0, 100), (0.6, 100), (float("nan"), 100), (0.02, 0)])
def test_a_gate_that_can_not_judge_is_refused(margin, positives_min):
    with pytest.raises(ImproperlyConfigured, match="GATE_MARGIN"):
        checks.check_gate(margin=margin, positives_min=positives_min)


def test_one_value_for_both_secrets_is_refused():
    same = dict.fromkeys(GOOD, GOOD["SECRET_KEY"])
    with pytest.raises(ImproperlyConfigured, match="hold the same value"):
        checks.check_production(secrets=same, debug=False, allowed_hosts=["ecg.example.org"])


def test_subdomains_may_be_allowed(monkeypatch):
    monkeypatch.setenv("DATABASE_URL", "postgresql://db/ecgfm")
    monkeypatch.setenv("BROKER_URL", "redis://valkey/0")
    checks.check_production(secrets=GOOD, debug=False, allowed_hosts=[".example.org"])


def test_production_never_starts_embedded_servers(tmp_path):
    environment = {**production_environment(tmp_path), "DATABASE_URL": ""}
    command = [sys.executable, "manage.py", "check"]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert "DATABASE_URL is not set" in done.stderr
    assert not (tmp_path / "postgres").exists()


def test_local_secrets_are_made_once_and_private(tmp_path):
    environment = {"PATH": os.environ["PATH"], "ECGFM_HOME": str(tmp_path)}
    show = [
        sys.executable,
        "-c",
        "from annotator.settings import SECRET_KEY, PATIENT_HASH_KEY as p; print(SECRET_KEY, p)",
    ]
    starts = [subprocess.Popen(show, env=environment, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    shown = {one.communicate(timeout=60)[0] for one in starts}
    assert len(shown) == 1
    assert len(set(shown.pop().split())) == 2
    assert {path.stat().st_mode & 0o077 for path in (tmp_path / "secrets").iterdir()} == {0}
