"""Errors of the launcher."""


class DemoError(Exception):
    """A step can't go on; the message says why and what to do."""
