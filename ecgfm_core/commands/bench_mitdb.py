"""``ecgfm bench mitdb``: beats of MIT-BIH by AAMI classes, learnt on DS1, judged on DS2."""

import argparse


def run(parsed: argparse.Namespace) -> int:
    """Bench and print the tables; without a checkpoint the frozen row is left out."""
    from ecgfm_core.downstream import beats_bench

    beats_bench.run(
        parsed.data,
        parsed.checkpoint,
        parsed.out,
        seeds=range(parsed.seeds),
        rows=parsed.rows.split(",") if parsed.rows else None,
        threads=parsed.threads,
        parent=parsed.parent,
        say=print,
    )
    print((parsed.out / "mit-bih.md").read_text(encoding="utf-8"))
    return 0
