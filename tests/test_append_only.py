"""The database itself refuses to change what was said."""

import pytest
from django.db import IntegrityError

from annotator.models import AuditEvent


@pytest.mark.django_db
@pytest.mark.parametrize("change", [lambda row: row.save(), lambda row: row.delete()])
def test_audit_events_can_not_be_changed(change):
    event = AuditEvent.objects.create(action="test", target="nothing")
    event.action = "forged"
    with pytest.raises(IntegrityError, match="append-only"):
        change(event)
