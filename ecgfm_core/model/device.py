"""Choosing where to compute, and saying in words when its memory runs out."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ecgfm_core.errors import TrainingError

_MEMORY_WORDS = ("out of memory", "can't allocate memory", "not enough memory", "cannot allocate memory", "bad_alloc")


def choose_device(name: str, threads: int | None) -> torch.device:
    """Give the device `auto`, `cpu` or `cuda[:n]`, CPU arithmetic made repeatable; refuses one that isn't there."""
    if threads is not None:
        if threads < 1:
            raise TrainingError(f"{threads} threads; 1 or more are allowed")
        torch.set_num_threads(threads)
    available = torch.cuda.is_available()
    if name == "auto":
        name = "cuda" if available else "cpu"
    if name != "cpu" and not (name.startswith("cuda") and available):
        raise TrainingError(f"Device {name!r} is not here; auto, cpu{' or cuda' if available else ''} are allowed")
    if name.startswith("cuda:") and int(name[5:]) >= torch.cuda.device_count():
        raise TrainingError(
            f"Device {name!r} is not here; this host has {torch.cuda.device_count()} GPUs, start as many processes"
        )
    if name == "cpu":
        torch.use_deterministic_algorithms(True, warn_only=True)
        # Nothing here reads memory before it writes it; filling it first costs a step 2 %.
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    device = torch.device(name)
    if device.index is not None:
        torch.cuda.set_device(device)
    return device


@contextmanager
def in_words(advice: str) -> Iterator[None]:
    """Turn running out of memory into words with `advice`."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if isinstance(error, MemoryError) or any(words in str(error).lower() for words in _MEMORY_WORDS):
            first = (str(error) or "no more memory").splitlines()[0]
            raise TrainingError(f"Out of memory: {advice} ({first})") from error
        raise
