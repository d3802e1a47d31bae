"""``ecgfm simulate``: write simulated recordings."""

import argparse
from pathlib import Path

from ecgfm_core.commands.options import Subparsers


def add(commands: Subparsers) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser("simulate", help="write simulated recordings as a WFDB data set")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sampling-rate-hz", type=float, default=500.0)
    parser.add_argument("--label-error-rate", type=float, default=0.0, help="share of recordings given a wrong label")
    parser.set_defaults(run=run)


def run(parsed: argparse.Namespace) -> int:
    """Write the data set and say where."""
    from ecgfm_core.datasets.simulated import write_dataset

    write_dataset(
        parsed.folder, count=parsed.count, seed=parsed.seed, sampling_rate_hz=parsed.sampling_rate_hz,
        label_error_rate=parsed.label_error_rate,
    )  # fmt: skip
    print(f"{parsed.count:,} simulated recordings: {parsed.folder}")
    return 0
