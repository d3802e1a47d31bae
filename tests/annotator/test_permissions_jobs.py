"""Every address of recordings, jobs, releases and tokens times every role times anonymous; no route without a rule."""

import pytest
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from rest_framework.test import APIClient
from rest_framework.views import APIView

from annotator.api import job_urls, reading_urls
from annotator.models import Role, User
from annotator.permissions import DenyUnlessRole

READER, JUDGE, ADMIN, RESEARCHER = Role.READER, Role.ADJUDICATOR, Role.ADMIN, Role.RESEARCHER
SENDER = Role.SENDER
MAY = {
    ("api-recordings", "get"): {ADMIN},
    ("api-recording", "get"): {ADMIN},
    ("api-waveform", "get"): {READER, JUDGE, ADMIN},
    ("api-unreadable", "get"): {ADMIN},
    ("api-recording-quality", "post"): {ADMIN},
    ("api-datasets", "get"): {ADMIN},
    ("api-datasets", "post"): {ADMIN},
    ("api-imports", "get"): {ADMIN},
    ("api-imports", "post"): {ADMIN},
    ("api-import", "get"): {ADMIN},
    ("api-training-runs", "get"): {ADMIN},
    ("api-training-runs", "post"): {ADMIN},
    ("api-training-run", "get"): {ADMIN},
    ("api-training-run-metrics", "get"): {ADMIN},
    ("api-training-run-cancel", "post"): {ADMIN},
    ("api-checkpoints", "get"): {ADMIN},
    ("api-checkpoint-go-back", "post"): {ADMIN},
    ("api-checkpoint-gate", "get"): {ADMIN},
    ("api-checkpoint-promote", "post"): {ADMIN},
    ("api-checkpoint-score", "post"): {ADMIN},
    ("api-scoring-runs", "get"): {ADMIN},
    ("api-prospective", "get"): {ADMIN, RESEARCHER},
    ("api-prospective", "post"): {ADMIN},
    ("api-prospective-end", "post"): {ADMIN},
    ("api-prospective-figures", "get"): {ADMIN, RESEARCHER},
    ("api-arrivals", "post"): {ADMIN, SENDER},
    ("api-arrival", "get"): {ADMIN, SENDER},
    ("api-releases", "get"): {ADMIN, RESEARCHER},
    ("api-releases", "post"): {ADMIN},
    ("api-release", "get"): {ADMIN, RESEARCHER},
    ("api-release-file", "get"): {ADMIN, RESEARCHER},
    ("api-release-download", "get"): {ADMIN, RESEARCHER},
    ("api-tokens", "get"): set(Role),
    ("api-tokens", "post"): set(Role),
    ("api-token", "delete"): set(Role),
    ("api-schema", "get"): set(Role),
    ("api-docs", "get"): set(Role),
}
VALUES = {"pk": 1, "arrival_pk": 1, "number": 1, "sha256": "0" * 64, "path": "README.txt", "token_id": "none"}
METHODS = ("get", "post", "put", "patch", "delete")


def address(pattern: URLPattern) -> str:
    return reverse(pattern.name, kwargs={name: VALUES[name] for name in pattern.pattern.converters})


@pytest.mark.django_db
@pytest.mark.parametrize("role", [*Role, None])
@pytest.mark.parametrize("pattern", job_urls.urlpatterns, ids=lambda pattern: pattern.name)
def test_who_may_do_what(pattern, role):
    api = APIClient(raise_request_exception=False)
    if role:
        api.force_login(User.objects.create_user("someone", role=role), "annotator.sign_in.Backend")
    for method in METHODS:
        allowed = MAY.get((pattern.name, method))
        status = getattr(api, method)(address(pattern), {}, format="json" if method != "get" else None).status_code
        if role is None:
            assert status == 401, method
        elif allowed is None:
            assert status in (403, 405), method
        elif role in allowed:
            assert status not in (401, 403, 405, 500), method
        else:
            assert status == 403, method


def test_the_table_names_every_address():
    assert {name for name, _ in MAY} == {pattern.name for pattern in job_urls.urlpatterns}


def routes(resolver: URLResolver, under: str = "") -> list[tuple[str, URLPattern]]:
    found = []
    for entry in resolver.url_patterns:
        route = under + str(entry.pattern)
        found += routes(entry, route) if isinstance(entry, URLResolver) else [(route, entry)]
    return found


def test_every_api_route_stands_in_one_of_the_two_lists_and_names_its_roles():
    listed = {pattern.name for pattern in (*job_urls.urlpatterns, *reading_urls.urlpatterns)}
    api = [(route, pattern) for route, pattern in routes(get_resolver()) if route.startswith("api/")]
    assert len(api) > 40
    for route, pattern in api:
        assert pattern.name in listed, route
        view = pattern.callback.view_class
        assert issubclass(view, APIView), route
        own = [one for one in view.__mro__ if one.__module__.startswith("annotator.")]
        assert any({"permission_classes", "get_permissions"} & set(vars(one)) for one in own), route


@pytest.mark.django_db
def test_a_view_that_names_no_role_refuses_everyone():
    admin = User.objects.create_user("boss", role=ADMIN)
    request = type("Request", (), {"user": admin})()
    assert not DenyUnlessRole().has_permission(request, APIView())
