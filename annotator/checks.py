"""What production refuses to start with; called by the settings themselves, so that nothing runs before."""

import os

from django.core.exceptions import ImproperlyConfigured

ENVIRONMENTS = ("local", "production")
SECRET_LENGTH_MIN = 50
SECRET_DISTINCT_MIN = 5
PLACEHOLDERS = ("change-me", "changeme", "django-insecure", "secret", "example")
HOW_TO_MAKE_ONE = 'Make one with: python3 -c "import secrets; print(secrets.token_urlsafe(64))"'


def check_environment(name: str) -> None:
    """Refuse a misspelt ECGFM_ENV: it would run a production system with local settings."""
    if name not in ENVIRONMENTS:
        raise ImproperlyConfigured(f"ECGFM_ENV is {name!r}; allowed are {' and '.join(ENVIRONMENTS)}.")


def check_gate(*, margin: float, positives_min: int) -> None:
    """Refuse a gate that no checkpoint could pass or fail: each scoring run ends with a comparison."""
    if not 0 < margin <= 0.5 or positives_min < 1:
        raise ImproperlyConfigured(
            f"GATE_MARGIN is {margin:g} and GATE_POSITIVES_MIN {positives_min}; a margin above 0 to 0.5 (0.02 for "
            "example) and 1 or more positives (100 for example) are allowed."
        )


def check_production(*, secrets: dict[str, str], debug: bool, allowed_hosts: list[str]) -> None:
    """Refuse guessable secrets, DEBUG, an open host list and servers that are not named."""
    for name, value in secrets.items():
        _check_secret(name, value)
    values = list(secrets.values())
    if len(set(values)) < len(values):
        raise ImproperlyConfigured(
            f"{' and '.join(secrets)} hold the same value; a leak of one would open the other. {HOW_TO_MAKE_ONE}"
        )
    if debug:
        raise ImproperlyConfigured(
            "ECGFM_DEBUG is on; in production it shows settings and patients' data to strangers. Remove it."
        )
    _check_hosts(allowed_hosts)
    for name in ("DATABASE_URL", "BROKER_URL"):
        if not os.environ.get(name):
            raise ImproperlyConfigured(
                f"{name} is not set; in production nothing is guessed. deploy/env.example shows its form."
            )


def _check_secret(name: str, value: str) -> None:
    """Refuse a secret that is missing, a placeholder or short; its value is never shown."""
    if not value:
        raise ImproperlyConfigured(f"{name} is not set. {HOW_TO_MAKE_ONE}")
    if value.lower().startswith(PLACEHOLDERS):
        raise ImproperlyConfigured(f"{name} still holds a placeholder that everyone knows. {HOW_TO_MAKE_ONE}")
    if len(value) < SECRET_LENGTH_MIN or len(set(value)) < SECRET_DISTINCT_MIN:
        raise ImproperlyConfigured(
            f"{name} has {len(value)} characters, {len(set(value))} of them different; "
            f"at least {SECRET_LENGTH_MIN} and {SECRET_DISTINCT_MIN} are needed. {HOW_TO_MAKE_ONE}"
        )


def _check_hosts(allowed_hosts: list[str]) -> None:
    """Refuse an empty or an open list."""
    if not allowed_hosts:
        raise ImproperlyConfigured(
            "ALLOWED_HOSTS is empty. Name the hosts people type, separated by commas: ecg.example.org"
        )
    for host in allowed_hosts:
        if "*" in host or not host.strip("."):
            raise ImproperlyConfigured(
                f"ALLOWED_HOSTS holds {host!r}, which lets any host name in. Name those people type: ecg.example.org"
            )
