"""Environment of a subprocess that shall work on the test database."""

import os
from urllib.parse import urlsplit

from django.conf import settings
from django.db import connection

FOLDERS = ("WAVEFORM_DIR", "CHECKPOINT_DIR", "RELEASE_DIR", "IMPORT_DIR")


def environment(**more: str) -> dict[str, str]:
    """Return this process's environment, with the test database and the folders the settings name now."""
    url = urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{connection.settings_dict['NAME']}")
    folders = {name: str(getattr(settings, name)) for name in FOLDERS}
    return {**os.environ, "DATABASE_URL": url.geturl(), **folders, **more}
