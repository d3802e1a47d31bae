"""The whole loop in one table: importing, training, scoring, claims and answers, the desk, and `make demo` on request.

    python benchmarks/loop.py [--quick] [--only import model claims desk] [--demo]

Each part runs in a process of its own, with servers of its own in a temporary folder, one after the other, so that no
part slows another down; what it says meanwhile goes to stderr. `--demo` clones this repository as committed and runs
`make demo` in the clone, which takes minutes. "Beside it" is the other way to do the same, measured in the same run.
"""

import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import date
from multiprocessing import get_context
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]
CORES = os.cpu_count() or 1
IMPORT_AIM, MATMUL_AIM, ANSWERS_AIM, P99_AIM_MS, DEMO_AIM_S = 20, 0.6, 150, 500, 300
GIB = 1 << 30


@dataclass(frozen=True)
class Line:
    """A line of the table; `reached` is None where nothing is aimed at."""

    what: str
    measured: str
    beside: str = ""
    aim: str = ""
    reached: bool | None = None

    @property
    def verdict(self) -> str:
        """Say whether the aim was reached."""
        return {None: "", True: "reached", False: "not reached"}[self.reached]


def main() -> None:
    """Measure the parts that were asked for and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=[name for name in PARTS if name != "demo"])
    parser.add_argument("--demo", action="store_true", help="also `make demo` in a fresh clone")
    parser.add_argument(
        "--quick", action="store_true", help="fewer repeats, smaller rounds: rough figures in a minute or two"
    )
    options = parser.parse_args()
    names = dict.fromkeys([*options.only, *(["demo"] if options.demo else [])])
    lines: list[Line] = []
    for name in names:
        print(f"{name} ...", file=sys.stderr, flush=True)
        # A fresh process: settings of Django and threads of torch are set once in a process.
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
            lines += process.submit(part, name, options.quick).result()
    print_table(lines, options.quick)


def part(name: str, quick: bool) -> list[Line]:
    """Measure one part; what it prints goes to stderr."""
    with contextlib.redirect_stdout(sys.stderr):
        return PARTS[name](quick)


def print_table(lines: list[Line], quick: bool) -> None:
    """Print the table as Markdown, which a terminal shows well enough."""
    rows = [("", "measured", "beside it", "aim", "")]
    rows += [(line.what, line.measured, line.beside, line.aim, line.verdict) for line in lines]
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    rows.insert(1, tuple("-" * width for width in widths))  # type: ignore[arg-type]
    print(f"{date.today()}, {CORES} cores{', quick' if quick else ''}\n")
    for row in rows:
        print("| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |")


def importing_part(quick: bool) -> list[Line]:
    """Records a second beside `wfdb.rdrecord`."""
    import importing

    lines, count = [], 50 if quick else 200
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder)
        for kind, offset in (("16", 0), ("16+24", 24)):
            paths = importing.made_files(made / kind, count, offset)
            package, read, stored = importing.rates(paths, made / "stored", 2 if quick else 5)
            beside = f"wfdb.rdrecord {package:,.0f}"
            for what, rate, aim in (("read", read, IMPORT_AIM), ("read, check, store", stored, None)):
                lines.append(Line(
                    f"{what} 12 x 5,000, format {kind}: records/s a core",
                    f"{rate:,.0f} ({rate / package:.1f} x)", beside,
                    f"{aim} x" if aim else "", rate >= aim * package if aim else None,
                ))  # fmt: skip
    return lines


def model_part(quick: bool) -> list[Line]:
    """Training and scoring records a second, and their share of the matrix product's rate."""
    import torch
    import training

    from ecgfm_core import configs
    from ecgfm_core.model.ecgfm import Ecgfm

    torch.set_num_threads(CORES)
    torch.manual_seed(0)
    seconds = 2 if quick else 8
    config = configs.build("tiny_cpu")
    model = Ecgfm(config, training.LABELS, training.VOCABULARY)
    limit = training.matrix_rate(seconds)
    lines = []
    for what, task in (
        ("training", training.training_step(model, config)),
        ("scoring", training.scoring(model, config)),
    ):
        flops, rate = training.flops_of(task), training.rate_of(task, seconds)
        share = flops * rate / 1e9 / limit
        measured = f"{rate * config.batch:,.0f} ({share:.0%} of the matmul rate)"
        aim = f"{MATMUL_AIM:.0%}"
        lines.append(
            Line(f"{what} tiny_cpu: records/s", measured, f"matmul {limit:,.0f} GFLOP/s", aim, share >= MATMUL_AIM)
        )
    return lines


def claims_part(quick: bool) -> list[Line]:
    """Claim and answer over HTTP, with few and many readers and items."""
    import claims

    chosen = argparse.Namespace(
        items=[1_000, 10_000 if quick else 100_000], readers=[1, 16, 64], seconds=3 if quick else 8, blind=False
    )
    with own_home() as home:
        rows = claims.run(home, chosen)
    small = {row["readers"]: row["per_s"] for row in rows if row["items"] == chosen.items[0]}
    lines = []
    for row in rows:
        readers, worst = row["readers"], max(row["claim_p99"], row["final_p99"])
        most = readers == max(chosen.readers)
        good = row["per_s"] >= ANSWERS_AIM and worst < P99_AIM_MS
        clean = not row["doubles"] and not row["errors"]
        lines.append(Line(
            f"claim + answer/s, {row['items']:,} items, {readers} readers",
            f"{row['per_s']:,.0f}; claim p50/p99 {row['claim_p50']:,.0f}/{row['claim_p99']:,.0f} ms, answer "
            f"{row['final_p50']:,.0f}/{row['final_p99']:,.0f} ms; {row['doubles']} doubles, {row['errors']} errors",
            f"{row['per_s'] / small[readers]:.2f} x that of {chosen.items[0]:,} items",
            f"{ANSWERS_AIM}/s, p99 < {P99_AIM_MS} ms, no doubles, no errors" if most else "no doubles, no errors",
            clean and (good or not most),
        ))  # fmt: skip
    return lines


def desk_part(quick: bool) -> list[Line]:
    """The sheet and the next recording in a browser."""
    import desk

    with own_home() as home:
        rows = desk.run(home, recordings=12 if quick else 24, repeats=5 if quick else 12)
    return [
        Line(
            f"desk: {row.name}",
            f"{row.value:,.0f} {row.unit}" + (f" ({row.note})" if row.note else ""),
            "" if row.beside is None else f"12 subplots {row.beside:,.0f} ms ({row.beside / row.value:.1f} x)",
            "" if row.aim is None else f"{row.aim:,.0f} {row.unit}",
            None if row.aim is None else row.value <= row.aim,
        )
        for row in rows
    ]


def demo_part(_quick: bool) -> list[Line]:
    """`make demo` in a fresh clone: seconds until it is ready, and the most memory that its processes held."""
    import claims

    with tempfile.TemporaryDirectory(prefix="ecgfm-demo-") as folder:
        Path(folder).chmod(0o711)
        clone = Path(folder) / "ecgfm"
        started = time.monotonic()
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("ECGFM_", "DJANGO_"))}
        command = ["make", "demo", f"PORT={claims.free_port()}"]
        # A session of its own: like a terminal's Ctrl-C, the signal goes to make and to what it started.
        with subprocess.Popen(
            command, cwd=clone, env=clean, stdout=subprocess.PIPE, text=True, start_new_session=True
        ) as demo:
            memory = Memory(clone)
            memory.start()
            ready_s = None
            assert demo.stdout is not None
            for line in demo.stdout:
                print(line, end="", flush=True)
                if line.startswith("Ready:"):
                    ready_s = time.monotonic() - started
                if ready_s and "Ctrl-C" in line:
                    os.killpg(demo.pid, signal.SIGINT)
                    break
            demo.stdout.read()
        memory.ended.set()
    if ready_s is None:
        sys.exit("make demo ended before it was ready; its last words stand above.")
    return [
        Line("make demo, from clone to ready", f"{ready_s:,.0f} s", "", f"{DEMO_AIM_S} s", ready_s <= DEMO_AIM_S),
        Line("make demo, peak memory of all its processes", f"{memory.peak / GIB:.2f} GiB"),
    ]


class Memory(threading.Thread):
    """Watches the memory of all processes that run in or out of a folder; shared pages are counted once."""

    def __init__(self, folder: Path) -> None:
        super().__init__(daemon=True)
        self.folder, self.peak, self.ended = str(folder), 0, threading.Event()

    def run(self) -> None:
        """Look once a second."""
        import psutil

        while not self.ended.wait(1):
            total = 0
            for process in psutil.process_iter():
                with contextlib.suppress(psutil.Error):
                    if self.folder in " ".join([process.cwd(), *process.cmdline()]):
                        total += process.memory_full_info().pss
            self.peak = max(self.peak, total)


@contextlib.contextmanager
def own_home() -> Iterator[Path]:
    """Give a temporary folder for servers, and stop them at the end."""
    from launcher.services import stop_services

    home = Path(tempfile.mkdtemp(prefix="ecgfm-loop-"))
    home.chmod(0o711)
    try:
        yield home
    finally:
        stop_services(home)
        shutil.rmtree(home, ignore_errors=True)


PARTS: dict[str, Callable[[bool], list[Line]]] = {
    "import": importing_part,
    "model": model_part,
    "claims": claims_part,
    "desk": desk_part,
    "demo": demo_part,
}

if __name__ == "__main__":
    main()
