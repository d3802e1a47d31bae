"""`manage.py create_person NAME --role ROLE`: make a person who can sign in; the first admin comes from here."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from annotator.errors import AnnotatorError
from annotator.models import Role
from annotator.services import people


class Command(BaseCommand):
    """Make a person and print their password."""

    help = "Make a person with a role and print their password, this once. Others are made on the People page."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument("name", help="what the person types to sign in")
        parser.add_argument("--role", required=True, choices=Role.values)

    def handle(self, *_args: Any, name: str, role: str, **_options: Any) -> None:
        """Make the person, or say why not."""
        try:
            _, password = people.create_user(username=name, role=role, by=None)
        except AnnotatorError as error:
            raise CommandError(error.message) from None
        self.stdout.write(f"{role} {name}, password {password} (shown this once)")
