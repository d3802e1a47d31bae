"""Prepared statements, for the few that each claim and answer runs.

The ORM takes several times longer to write such a statement than PostgreSQL to run it, and PostgreSQL plans what Django
sends anew each time. These a connection plans once. All else goes through the ORM.
"""

from typing import Any

from django.db import connection
from psycopg import Cursor

Row = tuple[Any, ...]


def rows(statement: str, **parameters: Any) -> list[Row]:
    """Run a prepared statement and return its rows."""
    connection.ensure_connection()
    raw: Any = Cursor(connection.connection)  # binds in the server, which Django's own does not
    make = connection.make_debug_cursor if connection.queries_logged else connection.make_cursor
    with make(raw) as cursor:
        cursor.execute(statement, parameters)
        return cursor.fetchall()


def locked_rows(statement: str, *, lock: tuple[int, int], **parameters: Any) -> list[Row]:
    """Run a prepared statement, and in its transaction, before it sees the rows, take an advisory lock."""
    connection.ensure_connection()
    with connection.wrap_database_errors, connection.connection.pipeline():  # one round trip, one transaction
        rows_of_lock = Cursor(connection.connection)
        rows_of_lock.execute("SELECT pg_advisory_xact_lock(%s, %s)", lock)
        return rows(statement, **parameters)
