"""``ecgfm configs``: list the named configurations."""

import argparse

from ecgfm_core import configs
from ecgfm_core.commands.options import Subparsers


def add(commands: Subparsers) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser("configs", help="list the named configurations")
    parser.set_defaults(run=run)


def run(_parsed: argparse.Namespace) -> int:
    """Print a line a configuration."""
    for named in configs.describe():
        size = f"{named.config.parameter_count() / 1e6:.1f} M parameters"
        print(f"{named.name}: {size}; {named.cost}; {named.expected_score}")
    return 0
