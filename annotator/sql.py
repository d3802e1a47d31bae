"""Prepared statements, for the few that each claim and answer runs.

The ORM takes several times longer to write such a statement than PostgreSQL to run it, and PostgreSQL plans what Django
sends anew each time. These a connection plans once. All else goes through the ORM.
"""

from typing import Any

from django.db import connection
from psycopg import Cursor

Row = tuple[Any, ...]
LOCKS = "SELECT pg_advisory_xact_lock(%s, %s), pg_advisory_xact_lock_shared(%s, %s)"


def rows(statement: str, **parameters: Any) -> list[Row]:
    """Run a prepared statement and return its rows."""
    connection.ensure_connection()
    raw: Any = Cursor(connection.connection)  # binds in the server, which Django's own does not
    make = connection.make_debug_cursor if connection.queries_logged else connection.make_cursor
    with make(raw) as cursor:
        cursor.execute(statement, parameters)
        return cursor.fetchall()


def locked_rows(
    statement: str, *, lock: tuple[int, int], shared: tuple[int, int] = (0, 0), **parameters: Any
) -> list[Row]:
    """Run a prepared statement, and in its transaction, before it sees the rows, take two advisory locks.

    `lock` keeps all others off, `shared` those alone who take that one for themselves.
    """
    connection.ensure_connection()
    with connection.wrap_database_errors, connection.connection.pipeline():  # one round trip, one transaction
        rows_of_lock = Cursor(connection.connection)
        rows_of_lock.execute(LOCKS, (*lock, *shared))
        return rows(statement, **parameters)
