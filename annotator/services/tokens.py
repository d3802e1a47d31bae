"""Tokens for programs: shown once, stored as a hash."""

from typing import Any

from django.db import transaction
from knox.models import AuthToken

from annotator.errors import InvalidInput, NotFound
from annotator.models import User
from annotator.services import audit

TOKENS_MAX = 20


@transaction.atomic
def create_token(*, user: User, name: str) -> tuple[str, Any]:
    """Make a token with its user's rights; returns its secret, which is stored nowhere, and its row."""
    if AuthToken.objects.filter(user=user).count() >= TOKENS_MAX:
        raise InvalidInput(f"{TOKENS_MAX} tokens a person are allowed. Delete one that is not used any more.")
    row, secret = AuthToken.objects.create(user)
    audit.record(actor=user, action="token created", target=f"token {row.token_key}", name=name)
    return secret, row


@transaction.atomic
def delete_token(*, user: User, token_key: str) -> None:
    """Delete one of a person's own tokens; refuses others'."""
    mine = AuthToken.objects.filter(user=user, token_key=token_key) if token_key.isalnum() else AuthToken.objects.none()
    deleted, _ = mine.delete()
    if not deleted:
        raise NotFound(f"You have no token {token_key}.")
    audit.record(actor=user, action="token deleted", target=f"token {token_key}")
