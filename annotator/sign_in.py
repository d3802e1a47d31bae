"""Who asks: the session and its person, each by a prepared statement.

Every request asks for both. Neither is kept in memory: a sign-out, a lost role or a new password counts at once.
"""

from typing import Any

from django.contrib.auth.backends import ModelBackend
from django.contrib.sessions.backends import db
from django.contrib.sessions.models import Session
from django.utils import timezone

from annotator import sql
from annotator.models import User

FIELDS = [field.attname for field in User._meta.concrete_fields]
PERSON = f"SELECT {', '.join(FIELDS)} FROM annotator_user WHERE id = %(pk)s"  # noqa: S608 - our own column names
SESSION = "SELECT session_data, expire_date FROM django_session WHERE session_key = %(key)s AND expire_date > %(now)s"


class SessionStore(db.SessionStore):
    """Sessions in the database."""

    def _get_session_from_db(self) -> Session | None:
        key = self.session_key
        found = sql.rows(SESSION, key=key, now=timezone.now())
        if not key or not found:
            self._session_key = None
            return None
        data, expires = found[0]
        return Session(session_key=key, session_data=data, expire_date=expires)


class Backend(ModelBackend):
    """People with passwords."""

    def get_user(self, user_id: Any) -> User | None:
        """Return an active person."""
        found = sql.rows(PERSON, pk=user_id)
        user = User.from_db("default", FIELDS, found[0]) if found else None
        return user if self.user_can_authenticate(user) else None
