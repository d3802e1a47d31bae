"""Import rates beside `wfdb.rdrecord`: a table of records a second, on files made here and on $ECGFM_DATA.

Run: python benchmarks/importing.py [--records 200] [--rounds 5]

Rates are a core's: records over CPU time, the best of several rounds in which all ways take turns, because times move
between minutes on a shared machine. "read" gives a checked Recording; "read, check, store" is what an import does to a
waveform: read, quality, heart rate, pack to int16 with sha256, write.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import wfdb

from ecgfm_core import formats, measurements, waveform
from ecgfm_core.signal import quality

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("ECGFM_DATA") or ROOT.parent / "shared" / "data")
REAL_SETS = ("georgia", "chapman_ningbo", "ptb-xl", "ludb", "cinc2011")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=int, default=200, help="files a set")
    parser.add_argument("--rounds", type=int, default=5)
    parsed = parser.parse_args()
    print(f"{'set':<34}{'wfdb':>8}{'read':>9}{'ratio':>8}{'read, check, store':>20}{'ratio':>8}")
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder)
        sets = {
            "made: 12 x 5000, format 16": made_files(made / "dat", parsed.records, offset=0),
            "made: 12 x 5000, format 16+24": made_files(made / "mat", parsed.records, offset=24),
        }
        for name in REAL_SETS:
            found = sorted((DATA / name).rglob("*.hea"))[: parsed.records]
            if found:
                sets[f"{name} ({len(found)} files)"] = found
        for name, paths in sets.items():
            print(line(name, paths, made / "stored", parsed.rounds), flush=True)
    if len(sets) == 2:
        print(f"no real recordings: there is no {DATA} (set ECGFM_DATA)")


def rates(paths: Sequence[Path], store: Path, rounds: int) -> list[float]:
    """Give records a second of `wfdb`, of reading here, and of what an import does."""
    ways: tuple[Callable[[Path], object], ...] = (
        lambda path: wfdb.rdrecord(str(path.with_suffix(""))),
        lambda path: formats.read(path, path.stem),
        lambda path: imported(path, store),
    )
    best = [float("inf")] * len(ways)
    for _ in range(rounds):
        for index, way in enumerate(ways):
            best[index] = min(best[index], seconds(way, paths))
    return [len(paths) / taken for taken in best]


def line(name: str, paths: Sequence[Path], store: Path, rounds: int) -> str:
    """Measure one set; give its row of the table."""
    package, read, stored = rates(paths, store, rounds)
    ratios = f"{read:>9,.0f}{read / package:>7.1f}x{stored:>20,.0f}{stored / package:>7.1f}x"
    return f"{name:<34}{package:>8,.0f}{ratios}"


def seconds(way: Callable[[Path], object], paths: Sequence[Path]) -> float:
    """Give the CPU time of reading all paths one way."""
    start = time.process_time()
    for path in paths:
        way(path)
    return time.process_time() - start


def imported(path: Path, store: Path) -> None:
    """Do what an import does with a waveform."""
    recording = formats.read(path, path.stem)
    quality.assess(recording.waveform_mv, recording.sampling_rate_hz, recording.lead_names, recording.calibrated)
    measurements.measure(recording.waveform_mv, recording.sampling_rate_hz, recording.lead_names)
    waveform.store(waveform.pack(recording), store)


def made_files(folder: Path, count: int, offset: int) -> list[Path]:
    """Write records of 12 leads, 10 s, 500 Hz that move like ECGs."""
    folder.mkdir()
    rng, paths = np.random.default_rng(0), []
    leads = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
    for number in range(count):
        steps = np.clip(rng.normal(0, 30, (5000, 12)).cumsum(axis=0), -5000, 5000).astype("<i2")
        (folder / f"r{number}.dat").write_bytes(bytes(offset) + steps.tobytes())
        kind, sums = f"16+{offset}" if offset else "16", steps.sum(axis=0, dtype=np.int64) % 65536
        lines = [f"r{number}.dat {kind} 1000/mV 16 0 {steps[0, row]} {sums[row]} 0 {leads[row]}" for row in range(12)]
        comments = ["#Age: 56", "#Sex: Female", "#Dx: 426783006,251146004"]
        path = folder / f"r{number}.hea"
        path.write_text("\n".join([f"r{number} 12 500 5000", *lines, *comments]) + "\n")
        paths.append(path)
    return paths


if __name__ == "__main__":
    main()
