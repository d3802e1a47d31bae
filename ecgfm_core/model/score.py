"""Run a trained network over recordings: probabilities, embeddings and text, averaged over windows of a recording.

B window, L lead, T time sample, N recording, C label, D embedding width.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ecgfm_core.configs import Config
from ecgfm_core.model.ecgfm import ContextCache, Ecgfm, Output
from ecgfm_core.model.text import TextTokenizer
from ecgfm_core.training.dataset import window_starts

WINDOWS_A_PASS = 64


@dataclass
class Scores:
    """Per recording: probabilities 0 to 1, embedding float32 `[N, D]`, and text (empty unless asked for)."""

    abnormal_N: np.ndarray
    labels_NC: np.ndarray
    embedding_ND: np.ndarray
    texts: list[str]


@dataclass(frozen=True)
class Window:
    """One window of one recording; `is_middle` marks the one that text is written from."""

    row: int
    start: int
    is_middle: bool


def windows_of(waveforms: Sequence[np.ndarray], config: Config) -> list[Window]:
    """Cut every recording into windows."""
    cut = []
    for row, waveform_LT in enumerate(waveforms):
        starts = window_starts(waveform_LT.shape[1], config.crop_samples, config.windows_max)
        cut += [Window(row, start, place == len(starts) // 2) for place, start in enumerate(starts)]
    return cut


@torch.inference_mode()
def score(
    model: Ecgfm,
    waveforms: Sequence[np.ndarray],
    tokenizer: TextTokenizer | None = None,
    *,
    temperature: float = 0.0,
    seed: int = 0,
) -> Scores:
    """Score prepared recordings (float32 millivolt `[12, T]`); writes text where a tokenizer is given.

    Text is greedy at temperature 0, else sampled from `seed`.
    """
    config, device = model.config, next(model.parameters()).device
    write = None if tokenizer is None else _Writer(model, tokenizer, temperature, seed)
    windows = windows_of(waveforms, config)
    counts_N1 = np.bincount([one.row for one in windows], minlength=len(waveforms))[:, None]
    sums: np.ndarray | None = None
    texts = [""] * len(waveforms)
    for part in _passes(windows):
        writes = write is not None and part[0].is_middle
        cache = model.decoder.new_cache(config.crop_tokens + config.text_tokens_max) if writes else None
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            output = _forward(model, waveforms, part, cache)
            if write is not None and cache is not None:
                write(output, cache, part, texts)
        logits = torch.cat((output.abnormal_logit_B[:, None], output.label_logits_BC), dim=1).float()
        joined = torch.cat((logits.sigmoid(), model.embed(output)), dim=1).cpu().numpy()
        sums = np.zeros((len(waveforms), joined.shape[1])) if sums is None else sums
        np.add.at(sums, [one.row for one in part], joined)
    assert sums is not None, "score needs at least one recording"
    means = (sums / counts_N1).astype(np.float32)
    edge = means.shape[1] - config.embedding_width
    return Scores(means[:, 0], means[:, 1:edge], means[:, edge:], texts)


def _passes(windows: Sequence[Window]) -> Iterator[list[Window]]:
    """Share windows out to passes; those that text is written from have passes of their own."""
    for is_middle in (True, False):
        kind = [one for one in windows if one.is_middle is is_middle]
        for first in range(0, len(kind), WINDOWS_A_PASS):
            yield kind[first : first + WINDOWS_A_PASS]


def _forward(
    model: Ecgfm, waveforms: Sequence[np.ndarray], windows: Sequence[Window], cache: ContextCache | None
) -> Output:
    size, device = model.config.crop_samples, next(model.parameters()).device
    waveform_BLT = np.zeros((len(windows), waveforms[0].shape[0], size), dtype=np.float32)
    counts = np.empty(len(windows), dtype=np.int64)
    for place, one in enumerate(windows):
        crop = waveforms[one.row][:, one.start : one.start + size]
        waveform_BLT[place, :, : crop.shape[1]] = crop
        counts[place] = crop.shape[1]
    on_device = torch.from_numpy(waveform_BLT).to(device), torch.from_numpy(counts).to(device)
    return model.with_heads(model.contexts(*on_device, cache=cache))


class _Writer:
    """Writes the texts of a scoring pass; sampled ones come from one generator."""

    def __init__(self, model: Ecgfm, tokenizer: TextTokenizer, temperature: float, seed: int) -> None:
        self.model, self.tokenizer, self.temperature = model, tokenizer, temperature
        self.generator = torch.Generator(next(model.parameters()).device).manual_seed(seed)

    def __call__(self, output: Output, cache: ContextCache, windows: Sequence[Window], texts: list[str]) -> None:
        """Write text for windows whose signal the cache holds."""
        written = self.model.generate(
            output, self.model.config.text_tokens_max, temperature=self.temperature, generator=self.generator,
            cache=cache,
        )  # fmt: skip
        for one, ids in zip(windows, written.tolist(), strict=True):
            texts[one.row] = self.tokenizer.decode(ids)
