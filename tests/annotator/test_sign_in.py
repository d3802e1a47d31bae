"""Who is locked out after wrong passwords, behind a proxy and without one."""

import pytest

from annotator.models import Role
from annotator.pages.sign_in import client_address
from annotator.services import people


@pytest.fixture
def password(db):
    return people.create_user(username="ann", role=Role.READER, by=None)[1]


def wrong(client, **headers):
    return client.post("/sign-in", {"username": "ann", "password": "wrong"}, **headers)


def test_ten_wrong_passwords_lock_the_name_from_there_alone(client, password, settings):
    settings.BEHIND_PROXY = True
    for _ in range(settings.AXES_FAILURE_LIMIT):
        last = wrong(client, HTTP_X_FORWARDED_FOR="198.51.100.7")
    assert last.status_code == 429
    right = {"username": "ann", "password": password}
    assert client.post("/sign-in", right, HTTP_X_FORWARDED_FOR="198.51.100.7").status_code == 429
    assert client.post("/sign-in", right, HTTP_X_FORWARDED_FOR="198.51.100.8").status_code == 302


@pytest.mark.parametrize(
    ("behind", "forwarded", "seen"),
    [
        (False, "198.51.100.7", "127.0.0.1"),
        (True, "198.51.100.7", "198.51.100.7"),
        (True, "203.0.113.1, 198.51.100.7", "198.51.100.7"),
        (True, "", "127.0.0.1"),
    ],
)
def test_the_address_is_the_one_that_the_nearest_proxy_saw(rf, settings, behind, forwarded, seen):
    settings.BEHIND_PROXY = behind
    assert client_address(rf.get("/", HTTP_X_FORWARDED_FOR=forwarded)) == seen


@pytest.mark.django_db
def test_files_are_refused_where_no_view_asks_for_them(client, password):
    client.post("/sign-in", {"username": "ann", "password": password})
    answer = client.post("/api/v1/tokens", {"name": "x"})
    assert answer.status_code == 415
