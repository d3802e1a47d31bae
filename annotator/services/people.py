"""People and their roles."""

import re
import secrets

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from knox.models import AuthToken

from annotator.errors import InvalidInput, NotAllowed, WrongState
from annotator.models import Role, User
from annotator.services import audit

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9.@+_-]{0,149}")


def random_password() -> str:
    """Return a password that nobody could guess and anyone can type."""
    alphabet = "abcdefghjkmnpqrstuvwxyz23456789"
    return "-".join("".join(secrets.choice(alphabet) for _ in range(5)) for _ in range(4))


@transaction.atomic
def create_user(*, username: str, role: str, by: User | None, password: str | None = None) -> tuple[User, str]:
    """Make a person with a role; returns their password too, random unless given, stored only as a hash."""
    if not NAME.fullmatch(username):
        raise InvalidInput(
            f"User name {username!r}: 1 to 150 letters, digits and . @ + - _ are allowed, a letter or digit first."
        )
    _check_role(role)
    if User.objects.filter(username__iexact=username).exists():
        raise WrongState(f"{username} exists already.")
    password = _checked(password) if password else random_password()
    try:
        with transaction.atomic():
            user = User.objects.create_user(username=username, password=password, role=role)
    except IntegrityError:
        raise WrongState(f"{username} exists already.") from None
    audit.record(actor=by, action="person created", target=user, username=username, role=role)
    return user, password


@transaction.atomic
def set_role(*, user: User, role: str, by: User) -> User:
    """Give a person another role; refuses one's own, so that an admin can't lock everybody out."""
    _check_role(role)
    if user == by:
        raise NotAllowed("You can't change your own role; another admin can.")
    before = user.role
    User.objects.filter(pk=user.pk).update(role=role)
    AuthToken.objects.filter(user=user).delete()
    user.refresh_from_db()
    audit.record(actor=by, action="role changed", target=user, before=before, after=role)
    return user


@transaction.atomic
def reset_password(*, user: User, by: User | None) -> str:
    """Set a random password and return it, to be shown once; sessions and tokens of before end."""
    password = random_password()
    user.set_password(password)
    user.save(update_fields=["password"])
    AuthToken.objects.filter(user=user).delete()
    audit.record(actor=by, action="password reset", target=user)
    return password


@transaction.atomic
def set_active(*, user: User, active: bool, by: User) -> User:
    """Let a person sign in or not; refuses oneself."""
    if user == by:
        raise NotAllowed("You can't deactivate yourself; another admin can.")
    User.objects.filter(pk=user.pk).update(is_active=active)
    AuthToken.objects.filter(user=user).delete()
    user.refresh_from_db()
    audit.record(actor=by, action="person activated" if active else "person deactivated", target=user)
    return user


def _check_role(role: str) -> None:
    if role not in Role.values:
        raise InvalidInput(f"Role {role!r}; {', '.join(Role.values)} are allowed.")


def _checked(password: str) -> str:
    try:
        validate_password(password)
    except ValidationError as error:
        raise InvalidInput(" ".join(error.messages)) from None
    return password
