"""Recordings with label errors whose truth the test keeps to itself."""

import ast
import csv
import random
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from ecgfm_core import labels
from ecgfm_core.datasets import simulated

NORMAL = "426783006"
STATED = ("#Dx:", "#Report:")


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
    """Simulated recordings, some with the statement and report of another one, normal for abnormal or back."""
    truth = simulated.write_dataset(folder, count=count, seed=seed, sampling_rate_hz=250.0)
    (folder / "truth.json").unlink()  # nothing that runs may look
    pool = Pool(folder, {record["name"]: record["codes"] for record in truth})
    abnormal = {name: labels.abnormal(codes) for name, codes in pool.true_codes.items()}
    headers = {name: (folder / f"{name}.hea").read_text().splitlines() for name in pool.true_codes}
    draw = random.Random(seed)
    for name in draw.sample(sorted(headers), round(error_rate * count)):
        other = draw.choice([one for one in headers if abnormal[one] != abnormal[name]])
        own = [line for line in headers[name] if not line.startswith(STATED)]
        taken = [line for line in headers[other] if line.startswith(STATED)]
        (folder / f"{name}.hea").write_text("\n".join([*own, *taken]) + "\n")
        pool.wrong.add(name)
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
