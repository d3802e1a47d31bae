"""The command line ``ecgfm``. One module a command lies in ``commands/``; each loads what it needs when it runs."""

import argparse
import sys
from collections.abc import Sequence

from ecgfm_core.commands import (
    bench,
    finetune,
    list_configs,
    predict,
    pretrain,
    replay,
    simulate,
    transfer,
    verify_release,
)
from ecgfm_core.errors import EcgfmError
from ecgfm_core.training.run_folder import EXIT_FAILED, EXIT_STOPPED, Stopped

COMMANDS = (
    pretrain,
    transfer,
    predict,
    bench,
    finetune,
    replay,
    simulate,
    verify_release,
    list_configs,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns 0 done, 1 failed, 2 a wrong command line, 3 stopped, to be gone on with."""
    parsed = _parser().parse_args(arguments)
    try:
        return parsed.run(parsed)
    except EcgfmError as error:
        print(f"ecgfm {parsed.command}: {error}", file=sys.stderr)
        return EXIT_FAILED
    except Stopped:
        print(f"ecgfm {parsed.command}: stopped; the same command goes on from here", file=sys.stderr)
        return EXIT_STOPPED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="ecgfm", description="Train and use an ECG foundation model.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
