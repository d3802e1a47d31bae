"""``ecgfm bench mitdb``: beats of MIT-BIH by AAMI classes, learnt on DS1, judged on DS2."""

import argparse

from ecgfm_core.errors import EcgfmError

# What the protocol fixes; the value that each has where nobody has set it.
_FIXED: dict[str, object] = {
    "task": "", "train_folds": "", "validate_fold": None, "test_fold": None, "split_seed": 0, "weights": None,
    "store": None, "recipe": [], "set": [], "config": "tiny_cpu", "fractions": "1.0", "positives_min": None,
}  # fmt: skip


def run(parsed: argparse.Namespace) -> int:
    """Bench and print the tables; without a checkpoint the frozen row is left out."""
    if changed := [name.replace("_", "-") for name, usual in _FIXED.items() if getattr(parsed, name) != usual]:
        raise EcgfmError(f"bench mitdb takes no --{', no --'.join(changed)}: its protocol fixes them; leave them out")
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
