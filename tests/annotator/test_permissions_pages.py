"""Every page that is no admin page times every role times anonymous; no page without a rule."""

import pytest
from django.urls import get_resolver, reverse

from annotator.api import job_urls, reading_urls
from annotator.models import Role, User
from annotator.pages import desk_urls, manage_urls
from tests.annotator.test_permissions_jobs import routes

READER, JUDGE, ADMIN, RESEARCHER = Role.READER, Role.ADJUDICATOR, Role.ADMIN, Role.RESEARCHER
MAY = {
    "worklist": set(Role),  # everyone but readers is sent on to the page they start from
    "desk": {READER},
    "adjudications": {JUDGE},
    "adjudication": {JUDGE},
    "tokens": set(Role),
    "releases": {RESEARCHER, ADMIN},
}
OPEN = {"login", "logout", "health", "ready"}  # ready and health are asked by machines, see test_health


def address(name: str) -> str:
    return reverse(name, kwargs={"pk": 1} if name == "adjudication" else {})


@pytest.mark.django_db
@pytest.mark.parametrize("role", [*Role, None])
@pytest.mark.parametrize("name", MAY)
def test_who_sees_which_page(client, name, role):
    if role:
        client.force_login(User.objects.create_user("someone", role=role))
    for method in (client.get, client.post):
        answer = method(address(name))
        if role is None:
            assert (answer.status_code, answer.url.partition("?")[0]) == (302, reverse("login"))
        elif role in MAY[name]:
            assert answer.status_code in (200, 302)
            assert not answer.get("Location", "").startswith(reverse("login"))
        else:
            assert answer.status_code == 403


def test_every_page_stands_in_a_table():
    assert {pattern.name for pattern in desk_urls.urlpatterns} == set(MAY) | {"login", "logout"}
    known = {pattern.name for urls in (desk_urls, manage_urls, job_urls, reading_urls) for pattern in urls.urlpatterns}
    assert {pattern.name for _, pattern in routes(get_resolver())} == known | OPEN
