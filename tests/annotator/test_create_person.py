"""The command that makes the first admin of a new installation."""

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse

from annotator.models import AuditEvent, User

pytestmark = pytest.mark.django_db


def test_the_first_admin_signs_in_with_the_password_shown(client, capsys):
    call_command("create_person", "boss", role="admin")
    password = capsys.readouterr().out.partition("password ")[2].split()[0]
    assert password not in User.objects.get(username="boss").password
    answer = client.post(reverse("login"), {"username": "boss", "password": password}, follow=True)
    assert answer.redirect_chain[-1][0] == reverse("manage")
    assert AuditEvent.objects.get(action="person created").actor is None


def test_a_name_that_is_taken_and_an_unknown_role_are_refused_in_words():
    call_command("create_person", "boss", role="admin")
    with pytest.raises(CommandError, match="Boss exists already"):
        call_command("create_person", "Boss", role="reader")
    with pytest.raises(CommandError, match="invalid choice"):
        call_command("create_person", "x", "--role", "king")
    assert User.objects.count() == 1
