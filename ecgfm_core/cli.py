"""The command line ``ecgfm``. Commands load what they need and no more: only pretrain and predict load torch."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ecgfm_core import configs
from ecgfm_core.errors import EcgfmError
from ecgfm_core.training.run_folder import EXIT_FAILED, EXIT_STOPPED, Stopped


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
    _add_pretrain(commands.add_parser("pretrain", help="train a configuration on a manifest; the same command goes on"))
    _add_predict(commands.add_parser("predict", help="score a manifest with a checkpoint; the same command goes on"))
    _add_simulate(commands.add_parser("simulate", help="write simulated recordings as a WFDB data set"))
    verify = commands.add_parser("verify-release", help="check a curated release against its own checksums")
    verify.add_argument("folder", type=Path)
    verify.set_defaults(run=_verify_release)
    listing = commands.add_parser("configs", help="list the named configurations")
    listing.set_defaults(run=_list_configs)
    return parser


def _add_run_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--manifest", type=Path, required=True, help="JSONL file, one recording a line")
    parser.add_argument("--waveforms", type=Path, required=True, help="folder of stored waveforms")
    parser.add_argument("--out", type=Path, required=True, help="folder of this run")
    parser.add_argument("--threads", type=int, help="CPU threads; the same number is needed for bitwise equal weights")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda (default auto)")
    parser.add_argument("--parent", type=int, help="process whose end stops this one (default: its starter)")


def _add_pretrain(parser: argparse.ArgumentParser) -> None:
    _add_run_options(parser)
    parser.add_argument("--config", default="tiny_cpu", help=f"one of {', '.join(configs.names())} (default tiny_cpu)")
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="change one field")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cache", type=Path, help="folder of prepared waveforms to share between runs")
    parser.set_defaults(run=_pretrain)


def _add_predict(parser: argparse.ArgumentParser) -> None:
    _add_run_options(parser)
    parser.add_argument("--checkpoint", type=Path, required=True, help="a checkpoint folder that pretrain wrote")
    parser.add_argument("--text", action="store_true", help="write a diagnostic text for each recording too")
    parser.set_defaults(run=_predict)


def _add_simulate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sampling-rate-hz", type=float, default=500.0)
    parser.add_argument("--label-error-rate", type=float, default=0.0, help="share of recordings given a wrong label")
    parser.set_defaults(run=_simulate)


def _changes(assignments: Sequence[str]) -> dict[str, str]:
    """Split ``field=value``; refuses anything else."""
    changes = {}
    for assignment in assignments:
        field, equals, value = assignment.partition("=")
        if not equals:
            raise EcgfmError(f"--set {assignment}: field=value is needed, for example --set epochs=3")
        changes[field.strip()] = value.strip()
    return changes


def _pretrain(parsed: argparse.Namespace) -> int:
    config = configs.build(parsed.config, _changes(parsed.set))
    from ecgfm_core.training.pretrain import TrainingOptions, pretrain

    options = TrainingOptions(parsed.threads, parsed.device, parsed.cache, parsed.parent)
    folder = pretrain(
        manifest_path=parsed.manifest, waveform_folder=parsed.waveforms, config=config, seed=parsed.seed,
        out=parsed.out, options=options,
    )  # fmt: skip
    print(f"checkpoint: {folder}")
    return 0


def _predict(parsed: argparse.Namespace) -> int:
    from ecgfm_core.model.scoring_run import ScoringOptions, predict

    options = ScoringOptions(parsed.threads, parsed.device, parsed.text, parsed.parent)
    count = predict(
        checkpoint_folder=parsed.checkpoint, manifest_path=parsed.manifest, waveform_folder=parsed.waveforms,
        out=parsed.out, options=options,
    )  # fmt: skip
    print(f"{count:,} recordings scored: {parsed.out}")
    return 0


def _simulate(parsed: argparse.Namespace) -> int:
    from ecgfm_core.datasets.simulated import write_dataset

    write_dataset(
        parsed.folder, count=parsed.count, seed=parsed.seed, sampling_rate_hz=parsed.sampling_rate_hz,
        label_error_rate=parsed.label_error_rate,
    )  # fmt: skip
    print(f"{parsed.count:,} simulated recordings: {parsed.folder}")
    return 0


def _verify_release(parsed: argparse.Namespace) -> int:
    from ecgfm_core.release_format import verify_release

    problems = list(verify_release(parsed.folder))
    for problem in problems:
        print(problem, file=sys.stderr)
    print(f"{parsed.folder}: {f'{len(problems)} problems' if problems else 'sound'}")
    return EXIT_FAILED if problems else 0


def _list_configs(_parsed: argparse.Namespace) -> int:
    for named in configs.describe():
        size = f"{named.config.parameter_count() / 1e6:.1f} M parameters"
        print(f"{named.name}: {size}; {named.cost}; {named.expected_score}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
