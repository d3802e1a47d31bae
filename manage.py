"""Django's command line; starts the embedded PostgreSQL and Valkey where none are configured."""

import os
import sys


def main() -> None:
    """Run one management command."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "annotator.settings")
    if os.environ.get("ECGFM_ENV", "local") == "local":  # production names its servers, or settings refuse to start
        from launcher.services import ensure_services

        ensure_services()
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
