"""How much of the twelve-lead AUROC fewer leads keep, through the transferred encoder and with leads left zero.

python benchmarks/leads.py --data FOLDER_OF_PTB-XL --checkpoint TEACHER --out build/leads --threads 1

A head for PTB-XL's five superclasses is trained on the teacher's contexts of all twelve leads (folds 1-6, its moment
chosen on fold 7) and applied unchanged to fold 8 with fewer leads: through the teacher with the missing leads zero, and
through the transferred encoder. `--retrain II` also trains heads anew on what a lead set gives, as a user would who has
no other leads. Each lead set is prepared as a recording that has these leads alone. Without `--transferred` the
encoder is trained first. It goes on where it was stopped.

N recording, C class, S seed.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from ecgfm_core import manifest
from ecgfm_core.downstream import bootstrap, learn, metrics
from ecgfm_core.downstream.sets import Protocol, task_of
from ecgfm_core.downstream.store import StoredSet, store_set
from ecgfm_core.downstream.task import Task
from ecgfm_core.leads import STANDARD_LEADS
from ecgfm_core.model.heads import AttentionHead
from ecgfm_core.training import transfer
from ecgfm_core.training.checkpoint import Checkpoint, load_checkpoint
from ecgfm_core.training.dataset import Cache
from ecgfm_core.training.pretrain import TrainingOptions

LEAD_SETS: dict[str, tuple[str, ...]] = {
    "12": STANDARD_LEADS,
    "8": ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6"),
    "6 limb": STANDARD_LEADS[:6],
    "I,II,V2": ("I", "II", "V2"),
    "I,II": ("I", "II"),
    "II": ("II",),
    "I": ("I",),
    "V1": ("V1",),
}
ZERO, TRANSFERRED = "zero", "transferred"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="PTB-XL as published")
    parser.add_argument("--checkpoint", type=Path, required=True, help="the twelve-lead teacher")
    parser.add_argument("--transferred", type=Path, help="what ecgfm transfer wrote for this teacher")
    parser.add_argument("--out", type=Path, default=Path("build/leads"))
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="of the transfer")
    parser.add_argument("--retrain", nargs="*", default=["II"], choices=list(LEAD_SETS), metavar="LEADS")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    stored = store_set(chosen.data, chosen.out / "set", lambda *_: None)
    task = task_of("ptb-xl", "super", stored, Protocol())
    teacher = load_checkpoint(chosen.checkpoint)
    changes = dict(one.split("=", 1) for one in chosen.set)
    student_folder = chosen.transferred or trained(task, stored, chosen.checkpoint, chosen.out, changes, chosen.threads)
    student = load_checkpoint(student_folder)
    if student.provenance.get("teacher_sha256") != teacher.sha256:
        raise SystemExit(f"{student_folder} was transferred from another teacher than {chosen.checkpoint}")
    bench = Bench(task, stored, {ZERO: teacher, TRANSFERRED: student}, chosen.out)
    bench.unchanged(range(chosen.seeds))
    if chosen.retrain:
        bench.retrained(chosen.retrain, range(chosen.seeds))


def trained(task: Task, stored: StoredSet, teacher: Path, out: Path, changes: dict[str, str], threads: int) -> Path:
    """Train the transferred encoder on the training split."""
    path = out / "manifest.jsonl"
    manifest.write(path, [entry for entry in task.entries if entry.split in ("train", "validate")])
    return transfer.transfer(
        task=transfer.Task(teacher), manifest_path=path, waveform_folder=stored.waveforms, changes=changes, seed=0,
        out=out / "transfer", options=TrainingOptions(threads),
    )  # fmt: skip


class Bench:
    """The task with each lead set, the networks, and what was computed before."""

    def __init__(self, task: Task, stored: StoredSet, networks: dict[str, Checkpoint], out: Path) -> None:
        self.task, self.stored, self.networks, self.out = task, stored, networks, out
        self.recipe = learn.Recipe(hop_share=1.0)
        test = task.rows("test")
        self.target_NC, self.groups = task.targets_NC[test], [task.entries[row].group for row in test]
        (out / "fits").mkdir(parents=True, exist_ok=True)

    def cache(self, name: str) -> Cache:
        """Prepare every recording as one that has the leads of a set alone."""
        kept, rate = LEAD_SETS[name], self.networks[ZERO].config.sampling_rate_hz
        entries = [
            replace(one, lead_names=tuple(lead if lead in kept else "none" for lead in one.lead_names))
            for one in self.task.entries
        ]
        folder = self.out / "caches" / name
        return Cache.open(folder, entries, self.stored.waveforms, rate, lambda *_: None)

    def head(self, seed: int) -> AttentionHead:
        """Train a head on the teacher's contexts of all leads, once."""
        teacher, path = self.networks[ZERO], self.out / "fits" / f"{self.networks[ZERO].sha256[:12]}-head-{seed}"
        head = AttentionHead(teacher.config.width, len(self.task.classes))
        if not path.exists():
            classifier = learn.train(
                learn.FROZEN_ATTENTION, start=teacher, cache=self.cache("12"), targets_NC=self.task.targets_NC,
                rows=learn.Rows(*(self.task.rows(split) for split in ("train", "validate", "test"))),
                recipe=self.recipe, seed=seed,
            )  # fmt: skip
            save_file(classifier.head.state_dict(), path)
        head.load_state_dict(load_file(path))
        return head.eval()

    def unchanged(self, seeds: range) -> None:
        """Print the table of heads that were trained on all leads."""
        heads, test, found = [self.head(seed) for seed in seeds], self.task.rows("test"), {}
        for name in LEAD_SETS:
            cache = self.cache(name)
            for way, network in self.networks.items():
                found[name, way] = self.drawn([
                    learn.probabilities(learn.Classifier(network.model, head), cache, test, self.recipe)
                    for head in heads
                ])  # fmt: skip
        print(f"\nOne head for all, trained on twelve leads; {len(test)} test recordings, {len(seeds)} seeds")
        self.table(found, found["12", ZERO])

    def retrained(self, names: list[str], seeds: range) -> None:
        """Print the table of heads that were trained on what each lead set gives."""
        found = {(name, way): self.fitted(name, way, seeds) for name in names for way in self.networks}
        print(f"\nA head for each lead set; {len(seeds)} seeds")
        self.table(found, self.fitted("12", ZERO, seeds))

    def fitted(self, name: str, way: str, seeds: range) -> bootstrap.Drawn:
        """Train heads on the contexts of one lead set through one network, once."""
        rows, answers = [self.task.rows(split) for split in ("train", "validate", "test")], []
        for seed in seeds:
            path = self.out / "fits" / f"{self.networks[way].sha256[:12]}-{name}-{seed}.npy"
            if not path.exists():
                said_NC = learn.fit(
                    learn.FROZEN_ATTENTION, start=self.networks[way], cache=self.cache(name),
                    targets_NC=self.task.targets_NC, train_rows=rows[0], validate_rows=rows[1], asked_rows=rows[2],
                    recipe=self.recipe, seed=seed,
                )  # fmt: skip
                np.save(path, said_NC)
            answers.append(np.load(path))
        return self.drawn(answers)

    def drawn(self, answers: list[np.ndarray]) -> bootstrap.Drawn:
        """Macro AUROC of the seeds' answers `[N, C]`, with its resamples."""
        return bootstrap.draw(
            metrics.resampled_macro_auroc, self.target_NC, np.stack(answers), 0, groups=self.groups
        )  # fmt: skip

    def table(self, found: dict[tuple[str, str], bootstrap.Drawn], whole: bootstrap.Drawn) -> None:
        """Print macro AUROC and the share kept of `whole`, with 95 % intervals drawn in pairs."""
        print(f"teacher with twelve leads: {whole.interval()}")
        print("| leads | zero-filled | kept | transferred | kept | gain |\n|---|---|---|---|---|---|")
        for name in dict.fromkeys(name for name, _ in found):
            zero, moved = found[name, ZERO], found[name, TRANSFERRED]
            cells = (zero, zero / whole, moved, moved / whole, moved - zero)
            print(f"| {name} | " + " | ".join(str(cell.interval()) for cell in cells) + " |", flush=True)


if __name__ == "__main__":
    main()
