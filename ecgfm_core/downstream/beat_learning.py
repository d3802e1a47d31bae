"""Learn beat classes on top of a backbone, frozen (features kept on disk) or trained end to end with the same head.

B batch of beats, M beat, R record, L lead, T time sample, N token, D width, F feature, C class.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ecgfm_core.downstream import beats
from ecgfm_core.downstream.beats import BeatRecord
from ecgfm_core.model.ecgfm import Ecgfm

TRAINED = ("N", "S", "V", "F")  # the few unclassifiable beats are never learnt, and count as errors when tested
_BEATS_A_PASS = 256


@dataclass(frozen=True)
class BeatRecipe:
    """How a head is trained; every value was chosen on folds of DS1.

    Attributes
    ----------
    epochs, batch, learning_rate, weight_decay : of AdamW and its cosine schedule
    normal_beats : so many N beats are drawn for each epoch, beside all others
    class_power, record_power : a beat's weight is its class's count, and its record's count of the class, to minus this
    channels, hidden, dropout : of the head
    scratch_epochs, scratch_normal_beats : instead of `epochs` and `normal_beats` where the backbone learns too
    offsets : added to the log-probabilities of S, V and F
    """

    epochs: int = 10
    batch: int = 256
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    normal_beats: int = 12_000
    class_power: float = 0.5
    record_power: float = 0.5
    channels: int = 32
    hidden: int = 64
    dropout: float = 0.3
    scratch_epochs: int = 5
    scratch_normal_beats: int = 4_000
    offsets: tuple[float, float, float] = (0.0, 0.0, 0.0)


class BeatHead(nn.Module):
    """Class logits from a beat's tokens, how they differ from the record's usual beat, and its RR intervals.

    `feature_count` 0 leaves RR intervals alone.
    """

    def __init__(self, feature_count: int, token_count: int, recipe: BeatRecipe) -> None:
        super().__init__()
        self.feature_count = feature_count
        plain = len(beats.RR_FEATURES)
        if feature_count:
            self.norm = nn.LayerNorm(feature_count)
            self.project = nn.Linear(feature_count, recipe.channels)
            self.mix = nn.Conv1d(2 * recipe.channels, recipe.channels, 3, padding=1)
            self.flat = nn.Linear(token_count * recipe.channels, recipe.hidden)
            plain += token_count
        self.plain_norm = nn.BatchNorm1d(plain)
        self.dropout = nn.Dropout(recipe.dropout)
        self.hidden = nn.Linear(plain + (recipe.hidden if feature_count else 0), recipe.hidden)
        self.out = nn.Linear(recipe.hidden, len(TRAINED))

    def forward(self, seen: "Seen", rr_BF: Tensor) -> Tensor:
        """Give logits `[B, C]`."""
        if not self.feature_count:
            return self._classify([self.plain_norm(rr_BF)])
        beat_BNF, usual_RNF = self.norm(seen.beat_BNF), self.norm(seen.usual_RNF)
        # How alike each token is to the usual beat's: the one thing of shape that holds from patient to patient.
        alike_BN = functional.cosine_similarity(beat_BNF, usual_RNF[seen.record_B], dim=-1)
        beat, usual = self.project(beat_BNF), self.project(usual_RNF)[seen.record_B]
        mixed = functional.gelu(self.mix(torch.cat((beat, beat - usual), dim=-1).transpose(1, 2)))
        shape = functional.gelu(self.flat(self.dropout(mixed.flatten(1))))
        return self._classify([self.plain_norm(torch.cat((rr_BF, alike_BN), dim=1)), shape])

    def _classify(self, parts: list[Tensor]) -> Tensor:
        return self.out(self.dropout(functional.gelu(self.hidden(torch.cat(parts, dim=1)))))


def features(model: Ecgfm, windows_BLT: np.ndarray) -> Tensor:
    """Give each window's encoder tokens and decoder contexts, side by side `[B, N, 2 D]`."""
    device = next(model.parameters()).device
    waveform_BLT = torch.from_numpy(windows_BLT).to(device)
    counts_B = torch.full((len(windows_BLT),), windows_BLT.shape[2], device=device)
    output = model(waveform_BLT, counts_B)
    return torch.cat((output.tokens_BND, output.contexts_BND), dim=-1).float()


@dataclass(frozen=True)
class Beats:
    """The beats of some records, one row each, and where each came from.

    Attributes
    ----------
    records : in the order of their beats
    record_M, place_M : int64, which record, and which of its beats
    class_M : int64, index into `beats.CLASSES`
    rr_MF : float32
    """

    records: tuple[BeatRecord, ...]
    record_M: np.ndarray
    place_M: np.ndarray
    class_M: np.ndarray
    rr_MF: np.ndarray

    @classmethod
    def of(cls, records: Sequence[BeatRecord]) -> "Beats":
        """Put the beats of the records one after another."""
        counts = [len(one.sample_M) for one in records]
        return cls(
            tuple(records),
            np.repeat(np.arange(len(records)), counts),
            np.concatenate([np.arange(count) for count in counts]),
            np.concatenate([one.class_M for one in records]),
            np.concatenate([one.rr_MF for one in records]),
        )

    def rows_of(self, names: Sequence[str]) -> np.ndarray:
        """Give the rows of the named records."""
        wanted = [index for index, one in enumerate(self.records) if one.name in names]
        return np.flatnonzero(np.isin(self.record_M, wanted))


@dataclass(frozen=True)
class Seen:
    """Features of some beats `[B, N, F]`, of the usual beats of their records, and which of those is each beat's."""

    beat_BNF: Tensor
    usual_RNF: Tensor
    record_B: Tensor


Source = Callable[[np.ndarray], Seen]  # of rows of beats


class Windows:
    """Cuts the windows of beats and of each record's usual beat for a model."""

    def __init__(self, all_beats: Beats, model: Ecgfm) -> None:
        self.beats = all_beats
        self.before, self.after = beats.window_samples(model.config.sampling_rate_hz, model.hop_samples)
        self.usual = np.stack([beats.usual_beat(one, self.before, self.after) for one in all_beats.records])

    def of(self, rows: np.ndarray) -> np.ndarray:
        """Give `[B, 12, T]` of some beats."""
        windows = np.empty((len(rows), *self.usual.shape[1:]), dtype=np.float32)
        records = self.beats.record_M[rows]
        for index in np.unique(records):
            chosen = records == index
            windows[chosen] = beats.cut(
                self.beats.records[index], self.beats.place_M[rows[chosen]], self.before, self.after
            )
        return windows

    def source(self, model: Ecgfm) -> Source:
        """Run the model on what is asked for, with gradients where they are on."""

        def give(rows: np.ndarray) -> Seen:
            named, place = np.unique(self.beats.record_M[rows], return_inverse=True)
            both = features(model, np.concatenate((self.of(rows), self.usual[named])))
            return Seen(both[: len(rows)], both[len(rows) :], torch.from_numpy(place))

        return give


@torch.inference_mode()
def keep_features(
    model: Ecgfm, all_beats: Beats, path: Path, progress: Callable[[int, int], None] | None = None
) -> Source:
    """Run a frozen model once over every beat, keep what it gives as float16 at `path`, and read it from there."""
    windows, model = Windows(all_beats, model), model.eval()
    usual = features(model, windows.usual)
    shape = (len(all_beats.class_M), *usual.shape[1:])
    partial = path.with_name(f".{path.name}.writing")
    kept = np.lib.format.open_memmap(partial, mode="w+", dtype=np.float16, shape=shape)
    for first in range(0, shape[0], _BEATS_A_PASS):
        rows = np.arange(first, min(first + _BEATS_A_PASS, shape[0]))
        kept[rows] = features(model, windows.of(rows)).cpu().numpy()
        if progress:
            progress(int(rows[-1]) + 1, shape[0])
    kept.flush()
    partial.replace(path)
    np.save(path.with_suffix(".usual.npy"), usual.cpu().numpy())
    return kept_features(all_beats, path)


def kept_features(all_beats: Beats, path: Path) -> Source:
    """Read what `keep_features` wrote."""
    kept = np.load(path, mmap_mode="r")
    usual = torch.from_numpy(np.load(path.with_suffix(".usual.npy")))

    def give(rows: np.ndarray) -> Seen:
        order = np.argsort(rows)  # neighbours on disk are read together
        found = np.empty((len(rows), *kept.shape[1:]), dtype=np.float32)
        found[order] = kept[rows[order]]
        named, place = np.unique(all_beats.record_M[rows], return_inverse=True)
        return Seen(torch.from_numpy(found), usual[named], torch.from_numpy(place))

    return give


def no_features(rows: np.ndarray) -> Seen:
    """Give nothing beside the RR intervals."""
    empty = torch.empty(len(rows), 0, 0)
    return Seen(empty, empty, torch.zeros(len(rows), dtype=torch.int64))


def beat_weights(class_M: np.ndarray, record_M: np.ndarray, recipe: BeatRecipe) -> np.ndarray:
    """Give each beat's weight in the loss, 1 in the mean."""
    weights = np.ones(len(class_M))
    for label in np.unique(class_M):
        of_class = class_M == label
        weights[of_class] *= of_class.sum() ** -recipe.class_power
        for record in np.unique(record_M[of_class]):
            mine = of_class & (record_M == record)
            weights[mine] *= mine.sum() ** -recipe.record_power
        # The record's share moves weight between records only, so that the class keeps its own.
        weights[of_class] *= of_class.sum() ** (1 - recipe.class_power) / weights[of_class].sum()
    return weights / weights.mean()


def epoch_rows(class_M: np.ndarray, rows: np.ndarray, recipe: BeatRecipe, random: np.random.Generator) -> np.ndarray:
    """Draw the rows of one epoch in their order: some N beats and every other one, Q never."""
    labels = class_M[rows]
    normal = rows[labels == 0]
    drawn = random.choice(normal, min(recipe.normal_beats, len(normal)), replace=False)
    return random.permutation(np.concatenate((drawn, rows[(labels > 0) & (labels < len(TRAINED))])))


def train(
    source: Source,
    all_beats: Beats,
    rows: np.ndarray,
    head: BeatHead,
    recipe: BeatRecipe,
    seed: int,
    backbone: nn.Module | None = None,
    progress: Callable[[int, float], None] | None = None,
) -> None:
    """Train a head on some rows, and the backbone with it where one is given; leaves both in evaluation mode."""
    random = np.random.default_rng(seed)
    torch.manual_seed(seed)
    parts = [head, *([backbone] if backbone else [])]
    parameters = [one for part in parts for one in part.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    steps_an_epoch = -(-len(epoch_rows(all_beats.class_M, rows, recipe, random)) // recipe.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.learning_rate, total_steps=recipe.epochs * steps_an_epoch, pct_start=0.1
    )
    for part in parts:
        part.train()
    for epoch in range(recipe.epochs):
        chosen = epoch_rows(all_beats.class_M, rows, recipe, random)
        weights = beat_weights(all_beats.class_M[chosen], all_beats.record_M[chosen], recipe).astype(np.float32)
        total = 0.0
        for first in range(0, len(chosen), recipe.batch):
            part_rows, weight = chosen[first : first + recipe.batch], weights[first : first + recipe.batch]
            logits_BC = head(source(part_rows), torch.from_numpy(all_beats.rr_MF[part_rows]))
            losses_B = functional.cross_entropy(
                logits_BC, torch.from_numpy(all_beats.class_M[part_rows]), reduction="none"
            )
            loss = (losses_B * torch.from_numpy(weight)).mean()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            schedule.step()
            total += float(loss.detach()) * len(part_rows)
        if progress:
            progress(epoch + 1, total / len(chosen))
    for part in parts:
        part.eval()


@torch.inference_mode()
def predict(source: Source, all_beats: Beats, rows: np.ndarray, head: BeatHead) -> np.ndarray:
    """Give log-probabilities `[len(rows), len(TRAINED)]`."""
    head.eval()
    found = [
        head(source(part), torch.from_numpy(all_beats.rr_MF[part])).log_softmax(dim=-1)
        for part in (rows[first : first + _BEATS_A_PASS] for first in range(0, len(rows), _BEATS_A_PASS))
    ]
    return torch.cat(found).numpy()
