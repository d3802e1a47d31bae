"""What a load balancer may ask without signing in, and what it learns."""

import pytest
from celery import Celery
from django.db import connection
from django.test import override_settings

from annotator import jobs


@pytest.mark.parametrize("path", ["/health", "/ready"])
@pytest.mark.django_db
def test_anyone_may_ask(client, path):
    answer = client.get(path)
    assert answer.status_code == 200
    assert "no-store" in answer["Cache-Control"]


@pytest.mark.django_db
def test_ready_says_each_part_in_words(client):
    assert client.get("/ready").json() == {"ready": True, "database": "ok", "migrations": "ok", "broker": "ok"}


def test_health_needs_no_database(client):
    assert client.get("/health").json() == {"status": "up"}  # pytest-django refuses any query here


@pytest.mark.django_db
def test_a_migration_that_waits_is_counted(client):
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'annotator' AND name = '0002_append_only'")
    answer = client.get("/ready")
    assert answer.status_code == 503
    assert answer.json()["migrations"].startswith("1 not applied; run: python manage.py migrate")


@pytest.mark.django_db
def test_a_broker_that_is_gone_makes_it_not_ready_and_names_no_host(client, monkeypatch):
    monkeypatch.setattr(jobs, "_client", Celery("away", broker="redis://127.0.0.1:9/0"))
    answer = client.get("/ready")
    assert answer.status_code == 503
    assert "broker does not answer" in answer.json()["broker"]
    assert "127.0.0.1" not in answer.content.decode()


@pytest.mark.django_db
def test_only_reading_is_possible(client):
    assert client.post("/ready").status_code == 405


@override_settings(SECURE_SSL_REDIRECT=True)
@pytest.mark.django_db
def test_plain_http_inside_is_answered_and_not_sent_to_tls(client):
    assert client.get("/health").status_code == 200
    assert client.get("/sign-in").status_code == 301
