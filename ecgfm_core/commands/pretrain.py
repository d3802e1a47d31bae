"""``ecgfm pretrain``: train a configuration on a manifest."""

import argparse
from pathlib import Path

from ecgfm_core import configs
from ecgfm_core.commands.options import Subparsers, add_config_options, add_run_options, changes


def add(commands: Subparsers) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser("pretrain", help="train a configuration on a manifest; the same command goes on")
    add_run_options(parser)
    add_config_options(parser)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cache", type=Path, help="folder of prepared waveforms to share between runs")
    parser.add_argument("--start", type=Path, help="checkpoint whose encoder and context network it begins with")
    parser.set_defaults(run=run)


def run(parsed: argparse.Namespace) -> int:
    """Pretrain and say where the checkpoint lies."""
    config = configs.build(parsed.config, changes(parsed.set))
    from ecgfm_core.training.distributed import Team
    from ecgfm_core.training.pretrain import TrainingOptions, pretrain

    options = TrainingOptions(parsed.threads, parsed.device, parsed.cache, parsed.parent, parsed.start)
    folder = pretrain(
        manifest_path=parsed.manifest, waveform_folder=parsed.waveforms, config=config, seed=parsed.seed,
        out=parsed.out, options=options,
    )  # fmt: skip
    if Team.of_environment().leads:
        print(f"checkpoint: {folder}")
    return 0
