"""Recordings with label errors whose truth the test keeps to itself."""

import ast
import csv
import json
import random
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from ecgfm_core import labels
from ecgfm_core.datasets import simulated

NORMAL = "426783006"


@dataclass
class Pool:
    """A folder to import, and what only the test knows: true codes by record name, and which labels are wrong."""

    folder: Path
    true_codes: dict[str, list[str]] = field(default_factory=dict)
    wrong: set[str] = field(default_factory=set)

    @property
    def error_rate(self) -> float:
        """Share of recordings with a wrong label."""
        return len(self.wrong) / len(self.true_codes)


def simulated_pool(folder: Path, *, count: int, error_rate: float, seed: int) -> Pool:
    """Simulated recordings, some labelled with what a hurried reader takes them for."""
    simulated.write_dataset(
        folder,
        count=count,
        seed=seed,
        sampling_rate_hz=250.0,
        label_error_rate=error_rate,
        label_error_kind="class_conditional",
    )
    truth = json.loads((folder / "truth.json").read_text())
    (folder / "truth.json").unlink()  # nothing that runs may look
    pool = Pool(folder)
    for record in truth["recordings"]:
        pool.true_codes[record["name"]] = record["codes"]
        if record["wrong"]:
            pool.wrong.add(record["name"])
    return pool


def ptbxl_pool(folder: Path, data: Path, *, count: int, error_rate: float, seed: int) -> Pool:
    """Real recordings in PTB-XL's layout, half normal, whose statements are exchanged in some."""
    draw = random.Random(seed)
    with (data / "ptbxl_database.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    draw.shuffle(rows)
    normal, abnormal = [], []
    for row in rows:
        row["codes"] = sorted(
            {code for scp in ast.literal_eval(row["scp_codes"]) for code in labels.map_code("scp", scp)}
        )
        is_normal = "NORM" in row["scp_codes"]
        verdict = labels.abnormal(row["codes"])
        if is_normal and verdict is False:
            normal.append(row)
        elif not is_normal and verdict:
            abnormal.append(row)
    chosen = normal[: count // 2] + abnormal[: count - count // 2]
    flipped = set(draw.sample(range(len(chosen)), round(error_rate * len(chosen))))
    pool = Pool(folder)
    given = []
    for index, row in enumerate(chosen):
        name = row["filename_lr"]
        pool.true_codes[name] = row.pop("codes")
        given.append(dict(row))
        if index in flipped:
            pool.wrong.add(name)
            given[-1]["scp_codes"] = draw.choice(abnormal if row in normal else normal)["scp_codes"]
        for suffix in (".hea", ".dat"):
            target = folder / f"{name}{suffix}"
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(data / f"{name}{suffix}", target)
    with (folder / "ptbxl_database.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, [name for name in rows[0] if name != "codes"], extrasaction="ignore")
        writer.writeheader()
        writer.writerows(given)
    shutil.copyfile(data / "scp_statements.csv", folder / "scp_statements.csv")
    return pool
