"""``ecgfm verify-release``: check a curated release against its own checksums."""

import argparse
import sys
from pathlib import Path

from ecgfm_core.commands.options import Subparsers
from ecgfm_core.training.run_folder import EXIT_FAILED


def add(commands: Subparsers) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser("verify-release", help="check a curated release against its own checksums")
    parser.add_argument("folder", type=Path)
    parser.set_defaults(run=run)


def run(parsed: argparse.Namespace) -> int:
    """Print each problem and a verdict."""
    from ecgfm_core.release_format import verify_release

    problems = list(verify_release(parsed.folder))
    for problem in problems:
        print(problem, file=sys.stderr)
    print(f"{parsed.folder}: {f'{len(problems)} problems' if problems else 'sound'}")
    return EXIT_FAILED if problems else 0
