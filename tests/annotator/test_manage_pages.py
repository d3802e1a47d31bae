"""Who may see and do what on the admin pages."""

import pytest
from django.test import Client
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
    "manage-round-reorder": "round",
    "manage-prospective-test": "prospective", "manage-prospective-end": "prospective",
    "manage-prospective-read": "prospective", "manage-prospective-again": "prospective",
    "manage-unreadable-sheet": "recording", "manage-unreadable-put-back": "recording",
    "manage-unreadable-confirm": "recording",
    "manage-release": "release", "manage-release-cancel": "release",
    "manage-person-password": "person", "manage-person-role": "person", "manage-person-deactivate": "person",
    "manage-person-activate": "person",
}  # fmt: skip
POST_ONLY = {
    "manage-unreadable-put-back", "manage-unreadable-confirm",
    "manage-upload", "manage-import-cancel", "manage-training-cancel", "manage-go-back", "manage-promote",
    "manage-score",
    "manage-vouch", "manage-vouch-withdraw",
    "manage-round-fill", "manage-round-open", "manage-round-close", "manage-round-reorder",
    "manage-release-cancel", "manage-person-password",
    "manage-person-role", "manage-person-deactivate", "manage-person-activate",
    "manage-prospective-end", "manage-prospective-read", "manage-prospective-again",
}  # fmt: skip
RESEARCHERS_READ = {"manage-prospective", "manage-prospective-test"}
NAMES = [pattern.name for pattern in manage_urls.urlpatterns]
LIVE = [
    "manage", "manage-import", "manage-training", "manage-training-run", "manage-checkpoints", "manage-round",
    "manage-releases", "manage-release", "manage-prospective-test",
]  # fmt: skip
PAGES = [name for name in NAMES if name not in POST_ONLY]


def address(name: str, world: dict | None = None) -> str:
    """The address of a page; without a world, of a row that is not there."""
    kind = ROWS.get(name)
    if kind is None:
        return reverse(name)
    field = "number" if kind == "release" else "pk"
    return reverse(name, kwargs={field: getattr(world[kind], field) if world else 999})


@pytest.mark.parametrize("name", NAMES)
def test_every_address_refuses_every_role_but_the_admin(client, name):
    place = address(name)
    for method in (client.get, client.post):
        client.logout()
        answer = method(place)
        assert answer.status_code == 302
        assert answer.url.startswith(reverse("login"))
    for role in set(Role) - {Role.ADMIN}:
        client.force_login(someone(f"some-{role}", role))
        for method in (client.get, client.post):
            reads = role == Role.RESEARCHER and name in RESEARCHERS_READ and method == client.get
            assert method(place).status_code == ((404 if name in ROWS else 200) if reads else 403), (name, role)
    assert not AuditEvent.objects.exists()


def test_an_admin_sees_every_page(client):
    world = small_world()
    client.force_login(admin())
    for name in PAGES:
        answer = client.get(address(name, world))
        assert answer.status_code == 200, name
        assert "<h1>" in answer.content.decode() or answer["Content-Type"].startswith(("text/csv", "image/svg")), name


def test_a_live_part_is_not_a_whole_page(client):
    world = small_world()
    client.force_login(admin())
    for name in LIVE:
        part = client.get(address(name, world), {"live": "1"})
        assert part.status_code == 200, name
        assert "<html" not in part.content.decode(), name
        assert part["Cache-Control"] == "no-store", name


def test_empty_pages_say_what_to_do(client):
    client.force_login(admin())
    said = {name: client.get(address(name)).content.decode() for name in PAGES if name not in ROWS}
    assert "Import recordings" in said["manage"]
    assert "Import a folder or a zip file" in said["manage-datasets"]
    assert "Choose a config and datasets" in said["manage-training"]
    assert "Train a model" in said["manage-checkpoints"]
    assert "plan the first below" in said["manage-rounds"]
    assert "No release yet" in said["manage-releases"]
    assert "No prospective test yet" in said["manage-prospective"]
    assert "Nothing to decide" in said["manage-unreadable"]
    assert "Nothing yet" in said["manage-audit"]


def test_what_acts_takes_post_alone_and_what_is_not_there_is_not_found(client):
    client.force_login(admin())
    for name in POST_ONLY:
        assert client.get(address(name)).status_code == 405, name
    for name in ROWS:
        method = client.post if name in POST_ONLY else client.get
        assert method(address(name), {"role": "reader"}).status_code == 404, name


def test_a_button_without_its_token_is_refused():
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(admin())
    assert strict.post(address("manage-go-back")).status_code == 403
