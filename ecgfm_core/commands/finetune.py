"""``ecgfm finetune``: train one row of a task's table, keep the network, and use it."""

import argparse
import sys
from pathlib import Path

from ecgfm_core import configs
from ecgfm_core.commands.bench import CONTRASTIVE, add_set_options, bench_options
from ecgfm_core.commands.options import Subparsers
from ecgfm_core.errors import EcgfmError


def add(commands: Subparsers) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser("finetune", help="learn a public set's task with a checkpoint, or use what was learnt")
    add_set_options(parser, needed=False)
    parser.add_argument("--checkpoint", type=Path, help="a pretrained network that ecgfm pretrain or transfer wrote")
    parser.add_argument("--row", default="frozen_attention", help="how to learn (default frozen_attention)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True, help="folder of the network")
    parser.add_argument("--apply", type=Path, metavar="MANIFEST", help="write probabilities of these recordings")
    parser.add_argument("--waveforms", type=Path, help="folder of the manifest's waveforms")
    parser.set_defaults(run=run)


def run(parsed: argparse.Namespace) -> int:
    """Train where a set is named, apply where a manifest is."""
    if bool(parsed.apply) != bool(parsed.waveforms):
        raise EcgfmError("--apply and --waveforms belong together: a manifest and the folder of its waveforms")
    if not parsed.set_key and not parsed.apply:
        raise EcgfmError("name a set to learn, or a manifest with --apply to use what --out holds")
    if parsed.set_key and not (parsed.data and parsed.checkpoint):
        raise EcgfmError(f"to learn {parsed.set_key}, name its folder with --data and a network with --checkpoint")
    config = configs.build("tiny_cpu", CONTRASTIVE)  # the checkpoint brings its own
    from ecgfm_core.downstream import finetune
    from ecgfm_core.downstream.bench import BenchOptions

    asked = BenchOptions(**bench_options(parsed, config))
    if parsed.set_key:
        folder = finetune.finetune(parsed.set_key, parsed.data, parsed.task, parsed.row, parsed.seed, parsed.out, asked)
        print(f"network: {folder}")
    if parsed.apply:
        path, refused = finetune.apply(parsed.out, parsed.apply, parsed.waveforms, asked)
        for reason in refused:
            print(f"refused: {reason}", file=sys.stderr)
        print(f"probabilities: {path}")
    return 0
