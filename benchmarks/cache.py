"""How fast random batches come out of the packed cache, as a share of what numpy reads from a memory-mapped file.

Two limits, on the same rows of one memory-mapped int16 file: converted to float32 and nothing else, and converted and
multiplied to millivolt by the fastest way numpy has. `batch_of` also draws the crops and gains, and collects targets.

python benchmarks/cache.py --recordings 1000
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ecgfm_core import configs
from ecgfm_core.configs import Config
from ecgfm_core.training.cache import find_or_make
from ecgfm_core.training.dataset import STEP_MV, Cache, Targets, batch_of

LEADS, SAMPLES, RATE_HZ = 12, 5000, 500.0


def main() -> None:
    """Print recordings/s and MB/s of the limit and of `batch_of`, whole recordings and crops; best of some rounds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recordings", type=int, default=1000, help="of 120 kB each")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--folder", type=Path, help="where to put the files (default: a temporary folder)")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=chosen.folder) as name:
        measure(Path(name), chosen.recordings, chosen.batch, chosen.rounds)


def measure(folder: Path, recordings: int, batch: int, rounds: int) -> None:
    """Compare both on the same rows, one after the other within each round, as others may compute beside them."""
    random = np.random.default_rng(0)
    rows_NT = random.integers(-2000, 2000, (recordings, LEADS * SAMPLES), dtype=np.int16)
    rows_NT.tofile(folder / "plain.i16")
    started = time.perf_counter()
    path = find_or_make(folder / "cache", "0" * 24, recordings, lambda row: rows_NT[row], lambda *_: None)
    written = rows_NT.nbytes / (time.perf_counter() - started) / 1e6
    plain_NT = np.memmap(folder / "plain.i16", dtype="<i2", mode="r", shape=rows_NT.shape).view(np.ndarray)
    cache, targets = Cache(path), known_nothing(recordings)
    print(f"written with checksums: {written:,.0f} MB/s; {recordings:,} recordings of {LEADS} x {SAMPLES} samples")
    for crop_s in (10.0, 5.0, 2.5):
        config = configs.build("base", {"crop_s": crop_s})
        order = random.permutation(recordings)  # all of them each round, so that no processor's cache holds them
        chosen = [order[first : first + batch] for first in range(0, recordings - batch + 1, batch)]
        plain_NLT = plain_NT.reshape(recordings, LEADS, SAMPLES)[:, :, : config.crop_samples]
        room_BLT = np.empty((batch, LEADS, config.crop_samples), dtype=np.float32)

        def read(rows: np.ndarray, plain_NLT: np.ndarray = plain_NLT, room_BLT: np.ndarray = room_BLT) -> None:
            for place, row in enumerate(rows):
                room_BLT[place] = plain_NLT[row]

        def read_mv(rows: np.ndarray, plain_NLT: np.ndarray = plain_NLT, room_BLT: np.ndarray = room_BLT) -> None:
            for place, row in enumerate(rows):
                crop_LT = room_BLT[place]
                crop_LT[...] = plain_NLT[row]
                crop_LT *= np.float32(STEP_MV)

        def cut(rows: np.ndarray, config: Config = config, room_BLT: np.ndarray = room_BLT) -> None:
            batch_of(cache, targets, rows, config, random, room_BLT)

        rates = rates_of({"float32 steps": read, "float32 millivolt": read_mv, "batch_of": cut}, chosen, rounds)
        print(f"crops of {crop_s:g} s: " + ", ".join(f"{name} {rate:,.0f} a second" for name, rate in rates.items()))
        shares = (rates["batch_of"] / rates[name] for name in ("float32 steps", "float32 millivolt"))
        print("  batch_of as a share of both limits: {:.2f}, {:.2f}".format(*shares))


def known_nothing(count: int) -> Targets:
    """Targets of recordings without labels and text."""
    empty = np.full(count, np.nan, dtype=np.float32)
    return Targets((), empty, np.empty((count, 0), dtype=np.float32), empty, np.arange(count), ([],) * count)


def rates_of(work: dict[str, Callable[[np.ndarray], None]], chosen: list[np.ndarray], rounds: int) -> dict[str, float]:
    """Recordings/s of each, the best of the rounds: others may compute beside them."""
    taken: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(rounds):
        for name, make in work.items():
            started = time.perf_counter()
            for rows in chosen:
                make(rows)
            taken[name].append(time.perf_counter() - started)
    return {name: sum(map(len, chosen)) / min(times) for name, times in taken.items()}


if __name__ == "__main__":
    main()
