"""``ecgfm transfer``: train an encoder for any leads against a twelve-lead checkpoint."""

import argparse
from pathlib import Path

from ecgfm_core.commands.options import Subparsers, add_run_options, changes


def add(commands: Subparsers) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "transfer", help="train an encoder for any leads against a checkpoint; the same command goes on"
    )
    add_run_options(parser)
    parser.add_argument("--checkpoint", type=Path, required=True, help="the teacher: a folder that pretrain wrote")
    parser.add_argument("--leads", default="any", help="any, or a fixed set such as II or I,II,V2 (default any)")
    parser.add_argument("--unpaired", type=Path, help="manifest of other devices' recordings, to match in statistics")
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="change one field")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cache", type=Path, help="folder of prepared waveforms to share between runs")
    parser.set_defaults(run=run)


def run(parsed: argparse.Namespace) -> int:
    """Train and say where the checkpoint lies."""
    from ecgfm_core.training.distributed import Team
    from ecgfm_core.training.pretrain import TrainingOptions
    from ecgfm_core.training.transfer import Task, transfer

    folder = transfer(
        task=Task(parsed.checkpoint, parsed.leads, parsed.unpaired), manifest_path=parsed.manifest,
        waveform_folder=parsed.waveforms, changes=changes(parsed.set), seed=parsed.seed, out=parsed.out,
        options=TrainingOptions(parsed.threads, parsed.device, parsed.cache, parsed.parent),
    )  # fmt: skip
    if Team.of_environment().leads:
        print(f"checkpoint: {folder}")
    return 0
