"""The audit trail."""

from typing import Any

from django.db.models import Model

from annotator.models import AuditEvent, User


def record(*, actor: User | None, action: str, target: Model | str, **detail: Any) -> AuditEvent:
    """Write down who did what to what; `actor` None is the system itself."""
    name = target if isinstance(target, str) else f"{target._meta.model_name} {target.pk}"
    return AuditEvent.objects.create(actor=actor, action=action, target=name, detail=detail)
