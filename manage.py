"""Django's command line; starts the embedded PostgreSQL and Valkey where none are configured."""

import os
import sys

from launcher.services import ensure_services


def main() -> None:
    """Run one management command."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "annotator.settings")
    ensure_services()
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
