"""Reports that a network writes of recordings it never saw, beside what needs no text task: one table, and a sample.

python benchmarks/text.py --data FOLDER --out build/text --start CHECKPOINT --set epochs=8 --seeds 3

It trains a network a seed on the set's training split, goes on where it was stopped, and writes ``text.json`` and the
sample ``reports.md`` into the folder. A set with folds of its own tests on the last and validates on the one before.
"""

import argparse
import json
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ecgfm_core import configs, labels, manifest, reports
from ecgfm_core.configs import Config
from ecgfm_core.downstream import bootstrap, metrics, splits, text_metrics
from ecgfm_core.downstream.store import Stored, StoredSet, store_set
from ecgfm_core.manifest import ManifestEntry
from ecgfm_core.model.score import Scores, score
from ecgfm_core.training.checkpoint import Checkpoint, load_checkpoint
from ecgfm_core.training.dataset import prepare
from ecgfm_core.training.pretrain import TrainingOptions, pretrain
from ecgfm_core.training.run_folder import write_json

SAMPLED = 5  # texts a recording at this temperature
TEMPERATURE = 0.7
ROWS = ("greedy", f"sampled at {TEMPERATURE}", "template of the labels", "nearest report", "most frequent report")
HEAD = ("row", "statements, micro F1", "greedy's is higher by", "macro F1", "BLEU", "exact", "empty", "different")


class Part(NamedTuple):
    """The recordings of a split with what is known of their statements `[N, C]`."""

    entries: list[ManifestEntry]
    target_NC: np.ndarray


def main() -> None:
    """Train, write, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a public set as published")
    parser.add_argument("--out", type=Path, default=Path("build/text"))
    parser.add_argument("--start", type=Path, help="checkpoint to begin with; not trained on what is to judge")
    parser.add_argument(
        "--set", action="append", default=[], metavar="FIELD=VALUE", help="of the configuration tiny_cpu"
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--samples", type=int, default=20)
    chosen = parser.parse_args()
    stored = store_set(chosen.data, chosen.out / "set", lambda *_: None)
    entries = entries_of(stored)
    path = chosen.out / "manifest.jsonl"
    manifest.write(path, entries)
    config = configs.build("tiny_cpu", dict(one.split("=", 1) for one in chosen.set))
    options = TrainingOptions(chosen.threads, cache=chosen.out / "cache", start=chosen.start)
    written: dict[str, list[list[str]]] = {row: [] for row in ROWS}
    for seed in range(chosen.seeds):
        folder = pretrain(
            manifest_path=path, waveform_folder=stored.waveforms, config=config, seed=seed,
            out=chosen.out / f"seed-{seed}", options=options,
        )  # fmt: skip
        kept = folder.parent / "written.json"
        if not kept.exists():
            write_json(kept, write(load_checkpoint(folder), entries, stored.waveforms))
        for row, texts in json.loads(kept.read_text(encoding="utf-8")).items():
            written[row] += texts
    judge(written, part_of(entries, "test"), chosen.out, config, chosen.samples)


def entries_of(stored: StoredSet) -> list[ManifestEntry]:
    """List a set's recordings with statements; a statement that the set uses and a recording lacks is absent."""
    codes = [sorted({code for source in one.codes for code in labels.map_code(*source)}) for one in stored.recordings]
    used = sorted({code for found in codes for code in found})
    kept = [(one, found) for one, found in zip(stored.recordings, codes, strict=True) if found]
    recordings = [one for one, _ in kept]
    groups = splits.group_recordings(recordings)
    folds = [one.fold for one in recordings]
    own = splits.by_folds(recordings, groups, splits.choose_folds(folds)) if any(folds) else splits.by_hash(groups, 0)
    return [
        _entry(row, one, group, split, {code: int(code in found) for code in used})
        for row, ((one, found), group, split) in enumerate(zip(kept, groups, own, strict=True))
        if split != splits.LEFT_OUT
    ]


def _entry(row: int, one: Stored, group: str, split: str, known: dict[str, int]) -> ManifestEntry:
    present = [code for code, value in known.items() if value]
    abnormal = labels.abnormal(present)
    return ManifestEntry(
        row, one.sha256, one.lead_names, one.sampling_rate_hz, one.sample_count, one.scale_mv, one.calibrated, split,
        group, known, None if abnormal is None else int(abnormal), text=one.text or reports.sentence(present),
    )  # fmt: skip


def part_of(entries: list[ManifestEntry], split: str) -> Part:
    """Take one split."""
    chosen = [one for one in entries if one.split == split]
    return Part(chosen, np.array([list(one.labels.values()) for one in chosen], dtype=np.float32))


def write(checkpoint: Checkpoint, entries: list[ManifestEntry], waveforms: Path) -> dict[str, list[list[str]]]:
    """Write the reports of the test split, row by row, once or several times."""
    codes = tuple(entries[0].labels)
    columns = [codes.index(code) for code in checkpoint.label_codes]

    def scored(split: str, temperature: float | None = None, seed: int = 0) -> Scores:
        prepared = [
            prepare(one, waveforms, checkpoint.config.sampling_rate_hz) for one in part_of(entries, split).entries
        ]
        tokenizer = None if temperature is None else checkpoint.tokenizer
        return score(checkpoint.model, prepared, tokenizer, temperature=temperature or 0.0, seed=seed)

    known, validate, test = scored("train"), scored("validate"), scored("test", 0.0)
    thresholds_C = metrics.best_f1_thresholds(part_of(entries, "validate").target_NC[:, columns], validate.labels_NC)
    texts = [" ".join(one.text.split()) for one in part_of(entries, "train").entries]
    greedy, sampled, template, nearest, frequent = ROWS
    return {
        greedy: [test.texts],
        sampled: [scored("test", TEMPERATURE, seed).texts for seed in range(SAMPLED)],
        template: [text_metrics.template(test.labels_NC, thresholds_C, checkpoint.label_codes)],
        nearest: [text_metrics.nearest_reports(test.embedding_ND, known.embedding_ND, texts)],
        frequent: [[text_metrics.most_frequent(texts)] * len(test.texts)],
    }


def judge(written: dict[str, list[list[str]]], test: Part, out: Path, config: Config, sample_count: int) -> None:
    """Print the table; keep it with the texts, and a sample of the first seed's greedy reports beside the true ones."""
    references, codes = [" ".join(one.text.split()) for one in test.entries], tuple(test.entries[0].labels)
    groups = [one.group for one in test.entries]
    scores = {
        row: text_metrics.text_score(texts_SN, references, test.target_NC, codes, groups)
        for row, texts_SN in written.items()
    }
    print(f"{len(references)} recordings\n\n| {' | '.join(HEAD)} |\n|{' --- |' * len(HEAD)}")
    micro = partial(metrics.resampled_f1, micro=True)
    drawn = {
        row: bootstrap.draw(
            micro, test.target_NC, np.stack([text_metrics.said(one, codes) for one in texts]), 0, groups=groups
        )
        for row, texts in written.items()
    }
    for row, found in scores.items():
        ahead = "" if row == ROWS[0] else (drawn[ROWS[0]] - drawn[row]).interval()
        figures = f"{found.bleu:.1f} | {found.exact:.2f} | {found.empty:.2f} | {found.distinct:.0f}"
        print(f"| {row} | {found.micro_f1} | {ahead} | {found.macro_f1} | {figures} |")
    kept: dict[str, Any] = {"config": config.to_dict(), "scores": {row: asdict(found) for row, found in scores.items()}}
    kept |= {"ids": [one.id for one in test.entries], "true": references, "written": written}
    (out / "text.json").write_text(json.dumps(kept, ensure_ascii=False, indent=1), encoding="utf-8")
    rows = np.random.default_rng(0).permutation(len(references))[:sample_count]
    lines = [_sampled(test.entries[row], written[ROWS[0]][0][row]) for row in sorted(rows)]
    (out / "reports.md").write_text("| true | written | missed | said wrongly |\n|---|---|---|---|\n" + "".join(lines))


def _sampled(entry: ManifestEntry, text: str) -> str:
    names = {label.code: label.name for label in labels.load_scheme().labels}
    true, said = {code for code, value in entry.labels.items() if value}, reports.certain(text)
    missed, wrong = (", ".join(names[code] for code in sorted(codes)) for codes in (true - said, said - true))
    return f"| {' '.join(entry.text.split())} | {text or '(nothing)'} | {missed} | {wrong} |\n"


if __name__ == "__main__":
    main()
