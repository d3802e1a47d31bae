"""How fast `tiny_cpu` trains and scores on this machine, as a share of the matrix product measured in the same run.

OMP_NUM_THREADS=2 python benchmarks/training.py --threads 2
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from ecgfm_core import configs
from ecgfm_core.configs import Config
from ecgfm_core.model.ecgfm import EOS, Ecgfm
from ecgfm_core.model.score import score
from ecgfm_core.training.dataset import Batch
from ecgfm_core.training.objectives import TensorBatch, losses_of

MATRIX = 1024
LABELS, VOCABULARY, TEXT_TOKENS = 27, 772, 16
RECORDING_S = 10


def main() -> None:
    """Print one row a task: records/s, GFLOP a recording, GFLOP/s, share of the matrix product's rate."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", default="tiny_cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=5.0, help="a task")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    torch.manual_seed(0)
    config = configs.build(chosen.config)
    model = Ecgfm(config, LABELS, VOCABULARY)
    tasks = {
        f"training step, crops of {config.crop_s:g} s": (training_step(model, config), config.batch),
        f"scoring, recordings of {RECORDING_S} s": (scoring(model, config), config.batch),
    }
    limit = matrix_rate(chosen.seconds)
    print(f"{config.name}, {chosen.threads} threads, matrix product of {MATRIX}: {limit:.0f} GFLOP/s")
    print(f"{'task':<36}{'records/s':>10}{'GFLOP each':>12}{'GFLOP/s':>9}{'share':>7}")
    for name, (work, count) in tasks.items():
        flops, rate = measure(work, chosen.seconds)
        gflop_s = flops * rate / 1e9
        print(f"{name:<36}{rate * count:>10.1f}{flops / count / 1e9:>12.2f}{gflop_s:>9.0f}{gflop_s / limit:>7.2f}")


def matrix_rate(seconds: float) -> float:
    """GFLOP/s of a float32 matrix product."""
    left, right = torch.randn(MATRIX, MATRIX), torch.randn(MATRIX, MATRIX)
    return 2 * MATRIX**3 * rate_of(lambda: left @ right, seconds / 2) / 1e9


def rate_of(work: Callable[[], object], seconds: float) -> float:
    """Calls a second, after two to warm up."""
    for _ in range(2):
        work()
    started, calls = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        work()
        calls += 1
    return calls / (time.perf_counter() - started)


def measure(work: Callable[[], object], seconds: float) -> tuple[float, float]:
    """FLOPs a call and calls a second."""
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops(), rate_of(work, seconds)


def training_step(model: Ecgfm, config: Config) -> Callable[[], object]:
    """One forward and backward pass with the three losses, and AdamW."""
    random, count = np.random.default_rng(0), config.batch
    text_BS = random.integers(260, VOCABULARY, (count, TEXT_TOKENS))
    text_BS[:, -1] = EOS
    batch = Batch(
        random.normal(size=(count, 12, config.crop_samples)).astype(np.float32), np.full(count, config.crop_samples),
        random.integers(0, 2, count).astype(np.float32), random.integers(0, 2, (count, LABELS)).astype(np.float32),
        np.ones(count, dtype=np.float32), np.arange(count), text_BS,
    )  # fmt: skip
    on_device = TensorBatch.of(batch, torch.device("cpu"))
    optimizer = torch.optim.AdamW(model.parameters(), 1e-4, fused=True)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        losses_of(model, on_device)[0].total.backward()
        optimizer.step()

    return step


def scoring(model: Ecgfm, config: Config) -> Callable[[], object]:
    """Probabilities and embeddings of a batch of recordings, under inference_mode."""
    samples = round(RECORDING_S * config.sampling_rate_hz)
    waveforms = list(np.random.default_rng(0).normal(size=(config.batch, 12, samples)).astype(np.float32))
    return lambda: score(model, waveforms)


if __name__ == "__main__":
    main()
