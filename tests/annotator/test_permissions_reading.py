"""Every address of the reading side times every role times anonymous: who is let in, and that nobody else is."""

import pytest
from django.urls import reverse

from annotator.api.reading_urls import urlpatterns
from annotator.models import Role
from tests.annotator.reading_world import client, person, scheme

READER, JUDGE, ADMIN, RESEARCHER = Role.READER, Role.ADJUDICATOR, Role.ADMIN, Role.RESEARCHER
MAY = {
    ("api-claims", "get"): {READER},
    ("api-claims", "post"): {READER},
    ("api-claim-heartbeat", "post"): {READER},
    ("api-claim-give-back", "post"): {READER},
    ("api-claim-skip", "post"): {READER},
    ("api-claim-draft", "put"): {READER},
    ("api-claim-first-read", "post"): {READER},
    ("api-claim-final-read", "post"): {READER},
    ("api-worklist", "get"): {READER},
    ("api-scheme", "get"): {READER, JUDGE, ADMIN, RESEARCHER},
    ("api-annotations", "get"): {READER, JUDGE, ADMIN},
    ("api-annotation-revise", "post"): {READER},
    ("api-adjudications", "get"): {JUDGE},
    ("api-adjudication-claim", "post"): {JUDGE},
    ("api-adjudication", "get"): {JUDGE},
    ("api-adjudication-settle", "post"): {JUDGE},
    ("api-adjudication-give-back", "post"): {JUDGE},
    ("api-adjudication-heartbeat", "post"): {JUDGE},
    ("api-known-answer", "put"): {ADMIN},
    ("api-known-answer", "delete"): {ADMIN},
    ("api-rounds", "get"): {ADMIN, JUDGE},
    ("api-rounds", "post"): {ADMIN},
    ("api-round", "get"): {ADMIN, JUDGE},
    ("api-round-fill", "post"): {ADMIN},
    ("api-round-open", "post"): {ADMIN},
    ("api-round-close", "post"): {ADMIN},
    ("api-round-report", "get"): {ADMIN, JUDGE},
}
METHODS = ("get", "post", "put", "patch", "delete")


def address(pattern):
    return reverse(pattern.name, kwargs={"pk": 1} if "<int:pk>" in str(pattern.pattern) else {})


@pytest.mark.django_db
@pytest.mark.parametrize("role", [*Role, None])
@pytest.mark.parametrize("pattern", urlpatterns, ids=lambda pattern: pattern.name)
def test_who_may_do_what(pattern, role):
    scheme()
    api = client(person("someone", role) if role else None)
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
    assert {name for name, _ in MAY} == {pattern.name for pattern in urlpatterns}


@pytest.mark.django_db
def test_a_deactivated_person_is_let_nowhere():
    who = person("gone")
    api = client(who)
    who.is_active = False
    who.save()
    assert api.get("/api/v1/claims").status_code == 401
