"""The database itself refuses to change what was said."""

import pytest
from django.db import IntegrityError, connection, transaction

from annotator.models import Annotation, AuditEvent, Consensus, Mark
from tests.annotator.reading_world import AF, make_round, person, read, says

TABLES = (Annotation, Mark, Consensus, AuditEvent)


@pytest.fixture
def said(db) -> None:
    """A row in each of the tables."""
    make_round(1)
    item = read(person("ann"), says(AF))
    Mark.objects.create(annotation=Annotation.objects.get(item=item), lead_names=["I"], start_s=0)


@pytest.mark.parametrize("model", TABLES)
@pytest.mark.parametrize("change", ["UPDATE {} SET id = id", "DELETE FROM {}", "TRUNCATE {} CASCADE"])
def test_no_statement_changes_what_was_said(said, model, change):
    table, before = model._meta.db_table, model.objects.count()
    assert before
    with connection.cursor() as cursor:
        # The tests' own flush needs it off (conftest.py); this transaction is rolled back.
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute(f"ALTER TABLE {table} ENABLE TRIGGER append_only_truncate")
    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(change.format(table))
    assert model.objects.count() == before
