"""Run a trained network over recordings: probabilities, embeddings and text, averaged over windows of a recording.

B window, L lead, T time sample, N recording, C label, D embedding width.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ecgfm_core.configs import Config
from ecgfm_core.model.ecgfm import Contexts, Ecgfm, Output
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
    # Text is written a token at a time: those that it is written from stand together, so that passes are few.
    windows = sorted(windows_of(waveforms, config), key=lambda window: not window.is_middle)
    counts_N1 = np.bincount([one.row for one in windows], minlength=len(waveforms))[:, None]
    sums: np.ndarray | None = None
    texts = [""] * len(waveforms)
    for first in range(0, len(windows), WINDOWS_A_PASS):
        part = windows[first : first + WINDOWS_A_PASS]
        output = _forward(model, waveforms, part, device)
        logits = torch.cat((output.abnormal_logit_B[:, None], output.label_logits_BC), dim=1).float()
        joined = torch.cat((logits.sigmoid(), model.embed(output)), dim=1).cpu().numpy()
        sums = np.zeros((len(waveforms), joined.shape[1])) if sums is None else sums
        np.add.at(sums, [one.row for one in part], joined)
        if write is not None:
            write(output, part, texts)
    assert sums is not None, "score needs at least one recording"
    means = (sums / counts_N1).astype(np.float32)
    edge = means.shape[1] - config.embedding_width
    return Scores(means[:, 0], means[:, 1:edge], means[:, edge:], texts)


def _forward(model: Ecgfm, waveforms: Sequence[np.ndarray], windows: Sequence[Window], device: torch.device) -> Output:
    size = model.config.crop_samples
    waveform_BLT = np.zeros((len(windows), waveforms[0].shape[0], size), dtype=np.float32)
    counts = np.empty(len(windows), dtype=np.int64)
    for place, one in enumerate(windows):
        crop = waveforms[one.row][:, one.start : one.start + size]
        waveform_BLT[place, :, : crop.shape[1]] = crop
        counts[place] = crop.shape[1]
    with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
        return model(torch.from_numpy(waveform_BLT).to(device), torch.from_numpy(counts).to(device))


class _Writer:
    """Writes the texts of a scoring pass; sampled ones come from one generator."""

    def __init__(self, model: Ecgfm, tokenizer: TextTokenizer, temperature: float, seed: int) -> None:
        self.model, self.tokenizer, self.temperature = model, tokenizer, temperature
        self.generator = torch.Generator(next(model.parameters()).device).manual_seed(seed)

    def __call__(self, output: Output, windows: Sequence[Window], texts: list[str]) -> None:
        """Write text for the windows that are their recording's middle."""
        middle = [place for place, one in enumerate(windows) if one.is_middle]
        if not middle:
            return
        valid = None if output.valid_BN is None else output.valid_BN[middle]
        chosen = Contexts(output.tokens_BND[middle], output.contexts_BND[middle], valid, None)
        written = self.model.generate(
            chosen, self.model.config.text_tokens_max, temperature=self.temperature, generator=self.generator
        )
        for place, ids in zip(middle, written.tolist(), strict=True):
            texts[windows[place].row] = self.tokenizer.decode(ids)
