"""What a load balancer asks: is the process up, and can it serve?"""

from collections.abc import Callable

from django.contrib.auth.decorators import login_not_required
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from annotator import jobs


@never_cache
@login_not_required
@require_safe
def health(request: HttpRequest) -> JsonResponse:  # noqa: ARG001
    """Say that the process answers; touches nothing else."""
    return JsonResponse({"status": "up"})


@never_cache
@login_not_required
@require_safe
def ready(request: HttpRequest) -> JsonResponse:  # noqa: ARG001
    """Say whether database, migrations and broker are there; 503 where one is not."""
    checks = {"database": check_database(), "migrations": check_migrations(), "broker": check_broker()}
    is_ready = all(words == "ok" for words in checks.values())
    return JsonResponse({"ready": is_ready, **checks}, status=200 if is_ready else 503)


def _in_words(check: Callable[[], str], failed: str) -> str:
    """Run a check; strangers read the answer, so a failure names no host and no account."""
    try:
        return check()
    except Exception as error:  # whatever the driver raises, the answer is the same
        return f"{failed} ({type(error).__name__}); the log of the web process says more"


def check_database() -> str:
    """Return ok, or what is wrong with the database."""
    return _in_words(_query, "the database does not answer")


def _query() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return "ok"


def check_migrations() -> str:
    """Return ok, or how many migrations wait."""
    return _in_words(_waiting_migrations, "unknown: the database does not answer")


def _waiting_migrations() -> str:
    executor = MigrationExecutor(connection)
    waiting = len(executor.migration_plan(executor.loader.graph.leaf_nodes()))
    return f"{waiting} not applied; run: python manage.py migrate" if waiting else "ok"


def check_broker() -> str:
    """Return ok, or what is wrong with the broker."""
    return _in_words(jobs.ping, "the broker does not answer")
