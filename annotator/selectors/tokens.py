"""A person's tokens, without their secrets."""

from dataclasses import dataclass
from datetime import datetime

from knox.models import AuthToken

from annotator.models import AuditEvent, User

SHOWN = 6


@dataclass(frozen=True)
class Token:
    """What may be shown of a token: the start of its secret, its name and its age."""

    id: str
    name: str
    begins_with: str
    created_at: datetime


def tokens_of(user: User) -> list[Token]:
    """Return a person's tokens, the newest first; their names stand in the audit trail."""
    keys = list(AuthToken.objects.filter(user=user).order_by("-created").values_list("token_key", "created"))
    made = AuditEvent.objects.filter(action="token created", target__in=[f"token {key}" for key, _ in keys])
    names = {event.target: str(event.detail.get("name", "")) for event in made}
    return [Token(key, names.get(f"token {key}", ""), key[:SHOWN], made_at) for key, made_at in keys]
