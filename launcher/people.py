"""One login a role for a system on one's own machine; `python -m launcher.people` gives them new passwords."""

import os


def ensure_people() -> list[str]:
    """Create the login of each role without a password where it is missing; return those that have none yet."""
    from annotator.models import Role, User

    waiting = []
    for role in Role:
        user, _ = User.objects.get_or_create(username=role.value, defaults={"role": role, "password": "!"})
        if not user.has_usable_password():
            waiting.append(user.username)
    return waiting


def give_passwords(names: list[str]) -> dict[str, str]:
    """Give each of these logins a random password and return them; only here are they ever readable."""
    from axes.utils import reset

    from annotator.models import User
    from annotator.services import people

    given = {}
    for user in User.objects.filter(username__in=names).order_by("pk"):
        given[user.username] = people.reset_password(user=user, by=None)
        reset(username=user.username)  # one who has forgotten it may be locked out by now
    return given


def table(passwords: dict[str, str]) -> str:
    """Return the logins as lines to print."""
    return "\n".join(f"  {name:<14}{password}" for name, password in passwords.items())


def main() -> None:
    """Give every demo login a new password and show it."""
    from launcher.services import ensure_services, home, postgres_process, stop_services

    folder = home()
    was_running = postgres_process(folder) is not None
    ensure_services()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "annotator.settings")
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)
    ensure_people()
    from annotator.models import Role

    print(f"New passwords, shown this once:\n{table(give_passwords(list(Role.values)))}")
    if not was_running:
        stop_services(folder)


if __name__ == "__main__":
    main()
