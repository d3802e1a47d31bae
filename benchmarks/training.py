"""How fast the configurations train, score and write text here, as a share of the matrix product of the same run.

OMP_NUM_THREADS=1 python benchmarks/training.py --threads 1 [--only PART ...] [--quick]

Work and matrix products take turns, as others may compute beside them, and medians are compared; of one thread the
processor's time is taken, so that waiting for others does not count. Counted are the products that the network asks
for: encoder, decoder with half of the attention square (it is causal), contrastive products, heads and text logits;
what a backward pass computes a second time is not. Shares are of PyTorch's `@` in float32 and of the fastest float32
product that PyTorch holds, which the network's linear layers use where it is another library's. An epoch of `base` on
GPUs is an estimate from counted FLOPs: nothing here runs on one.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from ecgfm_core import configs, manifest, waveform
from ecgfm_core.configs import Config
from ecgfm_core.leads import STANDARD_LEADS
from ecgfm_core.manifest import ManifestEntry
from ecgfm_core.model.device import choose_device
from ecgfm_core.model.ecgfm import BOS, EOS, PAD, UNKNOWN, Contexts, Ecgfm
from ecgfm_core.model.linear import linear
from ecgfm_core.model.score import score
from ecgfm_core.model.text import TextTokenizer
from ecgfm_core.recording import Recording
from ecgfm_core.training.dataset import Batch
from ecgfm_core.training.objectives import TensorBatch, losses_of
from ecgfm_core.training.reporting import peak_memory_mb

MATRIX = 1024
LABELS, TEXT_TOKENS, RECORDING_S = 27, 24, 10
MARKS_AND_BYTES, VOCABULARY = 260, 772
BATCHES = {"tiny_cpu": 32, "small": 8, "base": 2}  # of a step that is timed; the larger networks' own are for GPUs
H100_FLOPS, H100_SHARES, SCALING, GPUS = 989e12, (0.4, 0.15), 0.9, 8
EPOCH_RECORDINGS = 1_000_000
Work = Callable[[], object]


def main() -> None:
    """Run the chosen parts, a table each."""
    parts = {
        "steps": step_rows, "scoring": scoring_rows, "text": text, "memory": memory, "processes": processes,
        "estimate": estimate,
    }  # fmt: skip
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=6.0, help="a row")
    parser.add_argument("--only", nargs="+", choices=parts, default=list(parts), metavar="PART", help=", ".join(parts))
    parser.add_argument("--quick", action="store_true", help="one configuration alone, for a moment")
    parser.add_argument("--configs", nargs="+", choices=BATCHES, default=list(BATCHES))
    parser.add_argument("--peak-of", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    choose_device("cpu", chosen.threads)
    torch.manual_seed(0)
    if chosen.quick:
        chosen.seconds = 0.2
    if chosen.peak_of:
        peak_of(chosen.peak_of)
        return
    print(f"torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}, {chosen.threads} threads")
    for name in chosen.only:
        print(f"\n{name}")
        parts[name](chosen)


def names_of(chosen: argparse.Namespace) -> list[str]:
    """The configurations to measure."""
    return chosen.configs[:1] if chosen.quick else chosen.configs


def step_rows(chosen: argparse.Namespace) -> None:
    """One optimizer step: forward, backward, clipping, AdamW; with and without the text task."""
    header()
    for name in names_of(chosen):
        for weight, words in ((0.0, "no text"), (1.0, f"{TEXT_TOKENS} text tokens")):
            config = configs.build(name, {"text_weight": weight})
            work = training_step(model_of(config), config, BATCHES[name])
            row(f"{name} step, {BATCHES[name]} crops, {words}", work, BATCHES[name], chosen)


def scoring_rows(chosen: argparse.Namespace) -> None:
    """Recordings of 10 s: probabilities and embeddings over all their windows, without and with text."""
    header()
    for name in names_of(chosen):
        config, count = configs.build(name, {"text_tokens_max": TEXT_TOKENS}), BATCHES[name]
        model = model_of(config).eval()
        row(f"{name} score", scoring(model, config, count), count, chosen)
        written = scoring(model, config, count, TextTokenizer([]))
        row(f"{name} score, up to {TEXT_TOKENS} text tokens", written, count, chosen)


def text(chosen: argparse.Namespace) -> None:
    """Greedy text with the key-value cache against a whole pass for each token."""
    print(f"{'':<44}{'tokens/s':>10}{'with cache':>12}{'times':>7}")
    for name in names_of(chosen):
        config, count = configs.build(name), BATCHES[name]
        model = model_of(config).eval()
        wave_BLT = torch.randn(count, 12, config.crop_samples)
        with torch.inference_mode():
            seen = model.contexts(wave_BLT, torch.full((count,), config.crop_samples))
            model.text_embedding.weight[EOS] = 0  # so that both write to the end
            cached = seconds_of(partial(model.generate, seen, TEXT_TOKENS), chosen)
            whole = seconds_of(partial(generate_whole, model, seen, TEXT_TOKENS), chosen)
        tokens = count * TEXT_TOKENS
        print(f"{name + f', {count} at once':<44}{tokens / whole:>10.0f}{tokens / cached:>12.0f}{whole / cached:>7.1f}")


def generate_whole(model: Ecgfm, seen: Contexts, token_count: int) -> torch.Tensor:
    """Greedy text by a pass over signal and text for each token."""
    text_BS = torch.full((len(seen.tokens_BND), 1), BOS)
    for _ in range(token_count):
        sequence = torch.cat((seen.tokens_BND, model.text_embedding(text_BS)), dim=1)
        logits_BV = model.text_logits(model.decoder(sequence, None)[:, -1])
        logits_BV[:, [PAD, BOS, UNKNOWN]] = float("-inf")
        text_BS = torch.cat((text_BS, logits_BV.argmax(-1, keepdim=True)), dim=1)
    return text_BS[:, 1:]


def memory(chosen: argparse.Namespace) -> None:
    """Peak memory of a process that makes three steps with text, and of one that only loads the code."""
    print(f"{'':<44}{'MB':>10}")
    for name in ["nothing", *names_of(chosen)]:
        words = "nothing but the code" if name == "nothing" else f"{name} step, {BATCHES[name]} crops"
        command = [sys.executable, __file__, "--peak-of", name, "--threads", str(chosen.threads)]
        print(f"{words:<44}{float(subprocess.run(command, check=True, capture_output=True).stdout):>10.0f}")


def peak_of(name: str) -> None:
    """Make three steps and print the largest resident size in MB."""
    if name != "nothing":
        config = configs.build(name)
        work = training_step(model_of(config), config, BATCHES[name])
        for _ in range(3):
            work()
    print(peak_memory_mb())


def processes(chosen: argparse.Namespace) -> None:
    """`ecgfm pretrain` of tiny_cpu from its packed cache: one process, two of one thread each, one of two threads."""
    print(f"{'':<44}{'records/s':>10}{'times':>7}")
    with tempfile.TemporaryDirectory() as name:
        folder, first = Path(name), 0.0
        write_recordings(folder, 64 if chosen.quick else 512)
        for words, count, threads in (("one process, one thread", 1, 1), ("two processes, one thread each", 2, 1),
                                      ("one process, two threads", 1, 2)):  # fmt: skip
            rate = pretrain_rate(folder, count, threads, 2 if chosen.quick else 6)
            first = first or rate
            print(f"{words:<44}{rate:>10.1f}{rate / first:>7.2f}")


def pretrain_rate(folder: Path, count: int, threads: int, epochs: int) -> float:
    """Records/s of a run, preparation left out: the median of what the run itself reports."""
    out = folder / f"run-{count}-{threads}"
    words = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)] if count > 1 else []
    fields = {
        "epochs": epochs, "accumulate": 2, "label_positives_min": 1, "validate_epochs": 1000, "save_every_s": 1000,
    }  # fmt: skip
    command = [
        sys.executable, *words, "-m", "ecgfm_core.cli", "pretrain", "--manifest", str(folder / "manifest.jsonl"),
        "--waveforms", str(folder / "waveforms"), "--out", str(out), "--cache", str(folder / "cache"),
        "--device", "cpu", "--threads", str(threads),
        *(word for field, value in fields.items() for word in ("--set", f"{field}={value}")),
    ]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    subprocess.run(command, check=True, capture_output=True, env=environment)
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return statistics.median(line["value"] for line in lines if line["name"] == "records_per_s")


def write_recordings(folder: Path, count: int) -> None:
    """Noise of 10 s with a label and a text each."""
    random, entries = np.random.default_rng(0), []
    for index in range(count):
        samples_LT = random.normal(size=(12, 100 * RECORDING_S)).astype(np.float32)
        packed = waveform.pack(Recording(f"r{index}", STANDARD_LEADS, samples_LT, 100.0))
        waveform.store(packed, folder / "waveforms")
        entry = ManifestEntry(
            index, packed.sha256, packed.lead_names, packed.sampling_rate_hz, packed.samples.shape[1],
            packed.scale_mv, packed.calibrated, "train", f"p{index}", {"426783006": index % 2}, index % 2,
            "source", 1.0, "sinus rhythm, normal ECG",
        )  # fmt: skip
        entries.append(entry)
    manifest.write(folder / "manifest.jsonl", entries)


def estimate(_: argparse.Namespace) -> None:
    """An epoch of `base` on H100s, one crop of each of a million recordings, and the disk that its cache takes."""
    config = configs.build("base")
    count = BATCHES["base"]
    flops = flops_of(training_step(model_of(config), config, count)) / count
    tokens = config.crop_tokens + TEXT_TOKENS
    formula = 6 * config.parameter_count() * tokens
    print(f"base, a crop of {config.crop_s:g} s and {TEXT_TOKENS} text tokens: {flops / 1e9:.1f} GFLOP counted; "
          f"6 x parameters x tokens says {formula / 1e9:.1f}")  # fmt: skip
    for share in H100_SHARES:
        one = flops * EPOCH_RECORDINGS / (H100_FLOPS * share)
        eight = one / (GPUS * SCALING)
        print(f"ESTIMATE, {EPOCH_RECORDINGS:,} recordings at {share:.0%} of {H100_FLOPS / 1e12:.0f} TFLOP/s (bf16, "
              f"dense): {one / 60:.1f} min on one H100, {eight:.0f} s on {GPUS} at {SCALING:.0%} scaling, "
              f"which take {EPOCH_RECORDINGS / eight:,.0f} crops/s")  # fmt: skip
    samples = RECORDING_S * config.sampling_rate_hz
    print(f"cache at {config.sampling_rate_hz:g} Hz: {EPOCH_RECORDINGS * 12 * samples * 2 / 1e9:.0f} GB; "
          f"at 100 Hz: {EPOCH_RECORDINGS * 12 * RECORDING_S * 100 * 2 / 1e9:.0f} GB")  # fmt: skip


def model_of(config: Config) -> Ecgfm:
    """Make an untrained network with as many labels and pieces of text as are common."""
    return Ecgfm(config, LABELS, config.vocabulary + MARKS_AND_BYTES)


def training_step(model: Ecgfm, config: Config, batch_size: int | None = None) -> Work:
    """One step as the training makes it, on made crops that all have a text."""
    random, count = np.random.default_rng(0), batch_size or config.batch
    vocabulary = model.text_embedding.num_embeddings
    text_BS = random.integers(MARKS_AND_BYTES, vocabulary, (count, TEXT_TOKENS))
    text_BS[:, -1] = EOS
    batch = Batch(
        random.normal(size=(count, 12, config.crop_samples)).astype(np.float32), np.full(count, config.crop_samples),
        random.integers(0, 2, count).astype(np.float32), random.integers(0, 2, (count, LABELS)).astype(np.float32),
        np.ones(count, dtype=np.float32), np.arange(count), text_BS,
    )  # fmt: skip
    on_device = TensorBatch.of(batch, torch.device("cpu"))
    optimizer = torch.optim.AdamW(model.parameters(), 1e-4, fused=True)

    def step() -> None:
        losses_of(model, on_device)[0].total.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip_norm)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def scoring(
    model: Ecgfm, config: Config, batch_size: int | None = None, tokenizer: TextTokenizer | None = None
) -> Work:
    """Score some recordings of noise."""
    size = (batch_size or config.batch, 12, round(RECORDING_S * config.sampling_rate_hz))
    waveforms = list(np.random.default_rng(0).normal(size=size).astype(np.float32))
    return lambda: score(model, waveforms, tokenizer)


def header() -> None:
    """Print the names of `row`'s columns."""
    print(f"{'':<44}{'records/s':>10}{'GFLOP each':>12}{'GFLOP/s':>9}{'of @':>7}{'of fastest':>12}")


def row(words: str, work: Work, count: int, chosen: argparse.Namespace) -> None:
    """Print records/s, GFLOP a recording, GFLOP/s and the shares of both matrix products."""
    flops = flops_of(work)
    left, right = torch.randn(2, MATRIX, MATRIX)
    taken, plain, fastest = in_turns((work, lambda: left @ right, lambda: linear(left, right)), chosen)
    product = 2 * MATRIX**3
    shares = f"{flops / taken / (product / plain):>7.2f}{flops / taken / (product / min(plain, fastest)):>12.2f}"
    print(
        f"{words:<44}{count / taken:>10.1f}{flops / count / 1e9:>12.2f}{flops / taken / 1e9:>9.0f}{shares}", flush=True
    )


def in_turns(works: tuple[Work, ...], chosen: argparse.Namespace) -> Iterator[float]:
    """Median seconds of each work, done in turns until the time is over, at least three times after a first one."""
    clock = time.process_time if chosen.threads == 1 else time.perf_counter
    taken: list[list[float]] = []
    until = time.perf_counter() + chosen.seconds
    while len(taken) < 4 or time.perf_counter() < until:
        taken.append([])
        for work in works:
            started = clock()
            work()
            taken[-1].append(clock() - started)
    return map(statistics.median, zip(*taken[1:], strict=True))


def seconds_of(work: Work, chosen: argparse.Namespace) -> float:
    """Median seconds of a call."""
    return next(in_turns((work,), chosen))


def matrix_rate(seconds: float) -> float:
    """GFLOP/s of a float32 matrix product by PyTorch's `@`."""
    left, right = torch.randn(2, MATRIX, MATRIX)
    return 2 * MATRIX**3 * rate_of(lambda: left @ right, seconds) / 1e9


def rate_of(work: Work, seconds: float) -> float:
    """Calls a second, after two to warm up."""
    for _ in range(2):
        work()
    started, calls = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        work()
        calls += 1
    return calls / (time.perf_counter() - started)


def flops_of(work: Work) -> float:
    """Count the FLOPs of matrix products that one call asks for."""
    work()
    with FlopCounterMode(display=False, custom_mapping=CPU_FLOPS) as counter:
        work()
    return counter.get_total_flops()


def _linear_flops(x: torch.Size, weight_OI: torch.Size, *_: object, **__: object) -> float:
    return 2 * x.numel() * weight_OI[0]


def _attention_flops(queries: torch.Size, keys: torch.Size, *rest: object, out_shape: object, **__: object) -> float:
    del out_shape
    is_causal = True in rest[1:]  # queries, keys, values, dropout, is_causal
    return 4 * queries.numel() * keys[-2] / (2 if is_causal else 1)


def _attention_backward_flops(_: object, queries: torch.Size, keys: torch.Size, *rest: object, **kept: object) -> float:
    return 2 * _attention_flops(queries, keys, *rest, **kept)


CPU_FLOPS = {
    torch.ops.mkldnn._linear_pointwise: _linear_flops,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention_flops,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward_flops,
}

if __name__ == "__main__":
    main()
