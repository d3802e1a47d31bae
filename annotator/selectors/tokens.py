"""A person's tokens, without their secrets."""

from dataclasses import dataclass
from datetime import datetime

from knox.models import AuthToken

from annotator.models import AuditEvent, User


@dataclass(frozen=True)
class Token:
    """What may be shown of a token: the start of its secret, its name and its age."""

    id: str
    name: str
    created_at: datetime


def tokens_of(user: User) -> list[Token]:
    """Return a person's tokens, the newest first; their names stand in the audit trail."""
    rows = list(AuthToken.objects.filter(user=user).order_by("-created"))
    made = AuditEvent.objects.filter(action="token created", target__in=[f"token {row.token_key}" for row in rows])
    names = {event.target: str(event.detail.get("name", "")) for event in made}
    return [Token(row.token_key, names.get(f"token {row.token_key}", ""), row.created) for row in rows]
