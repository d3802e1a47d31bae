"""Options that several commands share."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

from ecgfm_core import configs
from ecgfm_core.errors import EcgfmError

Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # argparse gives it no public name


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """Add the manifest, the waveforms, the run folder and the machine's options."""
    parser.add_argument("--manifest", type=Path, required=True, help="JSONL file, one recording a line")
    parser.add_argument("--waveforms", type=Path, required=True, help="folder of stored waveforms")
    parser.add_argument("--out", type=Path, required=True, help="folder of this run")
    add_machine_options(parser)


def add_machine_options(parser: argparse.ArgumentParser) -> None:
    """Add threads, device and the process that is watched."""
    parser.add_argument("--threads", type=int, help="CPU threads; the same number is needed for bitwise equal weights")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda (default auto)")
    parser.add_argument("--parent", type=int, help="process whose end stops this one (default: its starter)")


def add_config_options(parser: argparse.ArgumentParser) -> None:
    """Add the named configuration and its changes."""
    parser.add_argument("--config", default="tiny_cpu", help=f"one of {', '.join(configs.names())} (default tiny_cpu)")
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="change one field")


def changes(assignments: Sequence[str]) -> dict[str, str]:
    """Split ``field=value``; refuses anything else."""
    changed = {}
    for assignment in assignments:
        field, equals, value = assignment.partition("=")
        if not equals:
            raise EcgfmError(f"--set {assignment}: field=value is needed, for example --set epochs=3")
        changed[field.strip()] = value.strip()
    return changed
