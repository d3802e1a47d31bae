"""``ecgfm predict``: score a manifest with a checkpoint."""

import argparse
import sys
from pathlib import Path

from ecgfm_core.commands.options import Subparsers, add_run_options


def add(commands: Subparsers) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser("predict", help="score a manifest with a checkpoint; the same command goes on")
    add_run_options(parser)
    parser.add_argument("--checkpoint", type=Path, required=True, help="a checkpoint folder that pretrain wrote")
    parser.add_argument("--text", action="store_true", help="write a diagnostic text for each recording too")
    parser.add_argument("--temperature", type=float, default=0.0, help="0 writes greedily (default), 0.7 samples")
    parser.add_argument("--seed", type=int, default=0, help="of sampled text")
    parser.set_defaults(run=run)


def run(parsed: argparse.Namespace) -> int:
    """Score and say how many recordings were, and why some were not."""
    from ecgfm_core import predict as results
    from ecgfm_core.model.scoring_run import ScoringOptions, predict

    options = ScoringOptions(parsed.threads, parsed.device, parsed.text, parsed.parent, parsed.temperature, parsed.seed)
    count = predict(
        checkpoint_folder=parsed.checkpoint, manifest_path=parsed.manifest, waveform_folder=parsed.waveforms,
        out=parsed.out, options=options,
    )  # fmt: skip
    for lead, standard in results.done(parsed.out)["taken_as"].items():
        print(f"lead {lead} taken as {standard}", file=sys.stderr)
    for reason in results.refused(parsed.out).values():
        print(f"refused: {reason}", file=sys.stderr)
    print(f"{count:,} recordings scored: {parsed.out}")
    return 0
