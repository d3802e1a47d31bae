"""Who may see and do what on the admin pages."""

import pytest
from django.urls import reverse

from annotator.models import AuditEvent, Role
from annotator.pages import manage_urls
from tests.annotator.manage_world import admin, small_world, someone

pytestmark = pytest.mark.django_db

# name -> which row of the small world its address names
ROWS = {
    "manage-import": "run", "manage-import-csv": "run", "manage-import-cancel": "run",
    "manage-training-run": "training", "manage-training-cancel": "training",
    "manage-promote": "checkpoint", "manage-score": "checkpoint",
    "manage-round": "round", "manage-round-fill": "round", "manage-round-open": "round", "manage-round-close": "round",
    "manage-release": "release", "manage-release-cancel": "release",
    "manage-person-password": "person", "manage-person-role": "person", "manage-person-deactivate": "person",
    "manage-person-activate": "person",
}  # fmt: skip
POST_ONLY = {
    "manage-upload", "manage-import-cancel", "manage-training-cancel", "manage-go-back", "manage-promote",
    "manage-score",
    "manage-round-fill", "manage-round-open", "manage-round-close", "manage-release-cancel", "manage-person-password",
    "manage-person-role", "manage-person-deactivate", "manage-person-activate",
}  # fmt: skip
NAMES = [pattern.name for pattern in manage_urls.urlpatterns]
PAGES = [name for name in NAMES if name not in POST_ONLY]


def address(name: str, world: dict) -> str:
    row = world[ROWS[name]] if name in ROWS else None
    if row is None:
        return reverse(name)
    return reverse(name, kwargs={"number": row.number} if "release" in name else {"pk": row.pk})


@pytest.fixture
def world():
    return small_world()


@pytest.mark.parametrize("name", NAMES)
def test_every_address_refuses_every_role_but_the_admin(client, name):
    kind = "number" if ROWS.get(name) == "release" else "pk"
    place = reverse(name, kwargs={kind: 1} if name in ROWS else {})
    for method in (client.get, client.post):
        client.logout()
        answer = method(place)
        assert answer.status_code == 302
        assert answer.url.startswith(reverse("login"))
    for role in set(Role) - {Role.ADMIN}:
        client.force_login(someone(f"some-{role}", role))
        for method in (client.get, client.post):
            assert method(place).status_code == 403, (name, role)
    assert not AuditEvent.objects.exists()


@pytest.mark.parametrize("name", PAGES)
def test_an_admin_sees_every_page(client, world, name):
    client.force_login(admin())
    answer = client.get(address(name, world))
    assert answer.status_code == 200
    if name != "manage-import-csv":
        assert "<h1>" in answer.content.decode()


@pytest.mark.parametrize("name", PAGES)
def test_empty_pages_say_what_to_do(client, name):
    if name in ROWS:
        return
    client.force_login(admin())
    assert client.get(reverse(name)).status_code == 200


@pytest.mark.parametrize("name", sorted(POST_ONLY))
def test_what_acts_takes_post_alone(client, world, name):
    client.force_login(admin())
    assert client.get(address(name, world)).status_code == 405


@pytest.mark.parametrize("name", [name for name in ROWS if name in PAGES])
def test_a_row_that_is_not_there_is_not_found(client, name):
    client.force_login(admin())
    ids = {"number": 999} if "release" in name else {"pk": 999}
    assert client.get(reverse(name, kwargs=ids)).status_code == 404


def test_a_button_without_its_token_is_refused(world):
    from django.test import Client

    strict = Client(enforce_csrf_checks=True)
    strict.force_login(admin())
    assert strict.post(reverse("manage-go-back")).status_code == 403


@pytest.mark.parametrize(
    "name", ["manage", "manage-import", "manage-training", "manage-training-run", "manage-round", "manage-release"]
)
def test_a_live_part_is_not_a_whole_page(client, world, name):
    client.force_login(admin())
    part = client.get(address(name, world), {"live": "1"})
    assert part.status_code == 200
    assert "<html" not in part.content.decode()
    assert part["Cache-Control"] == "no-store"
