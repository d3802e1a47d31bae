"""``ecgfm replay``: how soon each strategy finds label errors that were made on purpose."""

import argparse
import sys
from pathlib import Path

from ecgfm_core.commands.options import Subparsers
from ecgfm_core.errors import EcgfmError


def add(commands: Subparsers) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser("replay", help="replay re-reading on a clean labelled set; the same command goes on")
    parser.add_argument(
        "--embeddings", type=Path, required=True,
        help="npz file (embedding, group, labels, and optionally names, centre), or the folder that predict wrote",
    )  # fmt: skip
    parser.add_argument("--manifest", type=Path, help="of the folder that predict wrote: labels and patients")
    parser.add_argument("--codes", default="", help="comma-separated label codes to replay as a set (default abnormal)")
    parser.add_argument("--kinds", help="comma-separated kinds of error (default all four)")
    parser.add_argument("--rates", default="0.05,0.1,0.2", help="shares of wrong labels (default 0.05,0.1,0.2)")
    parser.add_argument("--strategies", help="comma-separated strategies (default all seven)")
    parser.add_argument("--seeds", type=int, default=5, help="of errors, reader and split (default 5)")
    parser.add_argument("--budget", type=float, default=0.05, help="reads a round, as a share of the pool")
    parser.add_argument("--rounds", type=int, default=0, help="at most (default 0: until all is read)")
    parser.add_argument("--reader-error", type=float, default=0.05, help="share that the reader gets wrong")
    parser.add_argument("--audit-share", type=float, default=0.1, help="of each round, drawn at random")
    parser.add_argument("--test-share", type=float, default=0.25, help="of the recordings, kept clean to judge heads")
    parser.add_argument("--title", default="Replay", help="of the page")
    parser.add_argument("--out", type=Path, required=True, help="folder of this replay")
    parser.set_defaults(run=run)


def run(parsed: argparse.Namespace) -> int:
    """Replay, print the tables, and say where the page lies."""
    from ecgfm_core.active.replay import data, play
    from ecgfm_core.active.replay.run import replay
    from ecgfm_core.active.replay.strategies import STRATEGIES

    if parsed.embeddings.is_dir() != bool(parsed.manifest):
        raise EcgfmError(
            f"--embeddings {parsed.embeddings}: a folder that predict wrote needs --manifest, an npz file has its own "
            "labels"
        )
    options = play.ReplayOptions(
        kinds=_words(parsed.kinds) or play.errors.KINDS, rates=_rates(parsed.rates),
        strategies=_words(parsed.strategies) or STRATEGIES, seeds=parsed.seeds, budget=parsed.budget,
        rounds=parsed.rounds, reader_error=parsed.reader_error, audit_share=parsed.audit_share,
        test_share=parsed.test_share,
    )  # fmt: skip
    if parsed.manifest:
        one = data.read_predictions(parsed.embeddings, parsed.manifest, _words(parsed.codes))
    else:
        one = data.read_npz(parsed.embeddings)
    page = replay(one, options, parsed.out, parsed.title, progress=_say)
    print((parsed.out / "results.md").read_text(encoding="utf-8"))
    print(f"page: {page}")
    return 0


def _say(done: int, total: int, name: str) -> None:
    print(f"{done:,} of {total:,} replays: {name}", file=sys.stderr)


def _words(text: str | None) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part.strip() for part in (text or "").split(",") if part.strip()))


def _rates(text: str) -> tuple[float, ...]:
    try:
        return tuple(dict.fromkeys(float(part) for part in text.split(",")))
    except ValueError:
        raise EcgfmError(f"--rates {text}: numbers joined by commas are needed, for example 0.05,0.1,0.2") from None
