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
# Ends of the tokens that see P wave and QRS, seconds from the beat.
_P_WAVE_S, _QRS_S = (-0.3, -0.1), (-0.1, 0.3)
_NEAREST = 1e-3  # cosine distance


@dataclass(frozen=True)
class BeatRecipe:
    """How a head is trained; nothing was chosen by DS2, `offsets` by folds of DS1.

    Attributes
    ----------
    epochs, batch, learning_rate, timing_learning_rate, weight_decay : of AdamW and its cosine schedule
    normal_beats : so many N beats are drawn for each epoch, beside all others
    class_power, record_power : a beat's weight is its class's count, and its record's count of the class, to minus this
    channels, hidden, dropout : of the head
    scratch_epochs, scratch_normal_beats : instead of `epochs` and `normal_beats` where the backbone learns too
    offsets : added to the log-probabilities of S, V and F
    """

    epochs: int = 8
    batch: int = 256
    learning_rate: float = 1e-3
    timing_learning_rate: float = 3e-3
    weight_decay: float = 0.05
    normal_beats: int = 5_000
    class_power: float = 0.5
    record_power: float = 0.5
    channels: int = 32
    hidden: int = 32
    dropout: float = 0.3
    scratch_epochs: int = 4
    scratch_normal_beats: int = 4_000
    offsets: tuple[float, float, float] = (-0.75, -0.75, 0.0)


class BeatHead(nn.Module):
    """Two judges of a beat, its timing and its shape, each trained on its own; together they are their product.

    Timing is the RR intervals and how far P wave and QRS lie from those of the record's usual beat; few numbers that
    mean the same in every patient. Shape sees all tokens, and can't tell S from N: a premature atrial beat runs the
    usual way through the ventricles. Without tokens (`token_count` 0) timing is RR intervals alone.
    """

    def __init__(self, feature_count: int, token_count: int, recipe: BeatRecipe) -> None:
        super().__init__()
        self.feature_count, self.token_count = feature_count, token_count
        known = len(beats.RR_FEATURES) + (4 if token_count else 0)
        self.timing = nn.Sequential(
            nn.BatchNorm1d(known), nn.Linear(known, recipe.hidden), nn.GELU(), nn.Dropout(recipe.dropout),
            nn.Linear(recipe.hidden, len(TRAINED)),
        )  # fmt: skip
        if token_count:
            self.project = nn.Linear(feature_count, recipe.channels)
            self.mix = nn.Conv1d(2 * recipe.channels, recipe.channels, 3, padding=1)
            self.shape = nn.Sequential(
                nn.Dropout(recipe.dropout), nn.Linear(token_count * recipe.channels, recipe.hidden), nn.GELU(),
                nn.Dropout(recipe.dropout), nn.Linear(recipe.hidden, len(TRAINED) - 1),
            )  # fmt: skip

    def forward(self, seen: "Seen", rr_BF: Tensor) -> tuple[Tensor, Tensor | None]:
        """Give log-probabilities by timing `[B, C]`, and by shape `[B, C - 1]` of N or S, V, F."""
        if not self.token_count:
            return self.timing(rr_BF).log_softmax(-1), None
        beat, usual = self.project(seen.beat_BNF), self.project(seen.usual_RNF)[seen.record_B]
        mixed = functional.gelu(self.mix(torch.cat((beat, beat - usual), dim=-1).transpose(1, 2)))
        timing_BC = self.timing(torch.cat((rr_BF, self._distances(seen)), dim=1))
        return timing_BC.log_softmax(-1), self.shape(mixed.flatten(1)).log_softmax(-1)

    def judge(self, seen: "Seen", rr_BF: Tensor) -> Tensor:
        """Give log-probabilities `[B, C]` by both."""
        timing_BC, shape = self(seen, rr_BF)
        return timing_BC if shape is None else (timing_BC + shape[:, [0, 0, 1, 2]]).log_softmax(-1)

    def losses(self, seen: "Seen", rr_BF: Tensor, class_B: Tensor) -> Tensor:
        """Give each beat's loss `[B]`, of both judges."""
        timing_BC, shape = self(seen, rr_BF)
        losses_B = functional.nll_loss(timing_BC, class_B, reduction="none")
        if shape is None:
            return losses_B
        return losses_B + functional.nll_loss(shape, (class_B - 1).clamp(min=0), reduction="none")

    def _distances(self, seen: "Seen") -> Tensor:
        """Give the log cosine distance to the usual beat `[B, 4]`: of P wave and QRS, by tokens and by contexts."""
        half = self.feature_count // 2
        products_BNF = seen.beat_BNF * seen.usual_RNF[seen.record_B]
        distance_BNP = 1 - products_BNF.unflatten(-1, (2, half)).mean(-1)
        logs_BNP = distance_BNP.clamp(min=_NEAREST).log()
        hop_s = (beats.BEFORE_S + beats.AFTER_S) / self.token_count
        # A token is placed by its end; what it sees lies up to a receptive field before that.
        ends_s = (torch.arange(self.token_count, device=logs_BNP.device) + 1) * hop_s - beats.BEFORE_S
        waves = [(ends_s > first) & (ends_s <= last) for first, last in (_P_WAVE_S, _QRS_S)]
        return torch.cat([logs_BNP[:, wave].mean(1) for wave in waves], dim=1)


def features(model: Ecgfm, windows_BLT: np.ndarray) -> Tensor:
    """Give each window's encoder tokens and decoder contexts, both of mean 0 and deviation 1, joined `[B, N, 2 D]`."""
    device = next(model.parameters()).device
    waveform_BLT = torch.from_numpy(windows_BLT).to(device)
    counts_B = torch.full((len(windows_BLT),), windows_BLT.shape[2], device=device)
    output = model(waveform_BLT, counts_B)
    parts = (output.tokens_BND.float(), output.contexts_BND.float())
    return torch.cat([functional.layer_norm(one, one.shape[-1:]) for one in parts], dim=-1)


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
    parts = nn.ModuleList([head, *([backbone] if backbone else [])])
    steps_an_epoch = -(-len(epoch_rows(all_beats.class_M, rows, recipe, random)) // recipe.batch)
    optimizer, schedule = _optimizer(head, parts, recipe, recipe.epochs * steps_an_epoch)
    parts.train()
    for epoch in range(recipe.epochs):
        chosen = epoch_rows(all_beats.class_M, rows, recipe, random)
        weights = beat_weights(all_beats.class_M[chosen], all_beats.record_M[chosen], recipe).astype(np.float32)
        total = 0.0
        # Parts of equal size: a last one of a single beat has no mean to normalise by.
        for part_rows, weight in zip(*(np.array_split(one, steps_an_epoch) for one in (chosen, weights)), strict=True):
            class_B = torch.from_numpy(all_beats.class_M[part_rows])
            losses_B = head.losses(source(part_rows), torch.from_numpy(all_beats.rr_MF[part_rows]), class_B)
            loss = (losses_B * torch.from_numpy(weight)).mean()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(parts.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            total += float(loss.detach()) * len(part_rows)
        if progress:
            progress(epoch + 1, total / len(chosen))
    parts.eval()


def _optimizer(
    head: BeatHead, parts: nn.Module, recipe: BeatRecipe, step_count: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    """Give the optimizer and its schedule; the timing's few numbers are learnt by longer steps."""
    timing = {id(one) for one in head.timing.parameters()}
    others = [one for one in parts.parameters() if id(one) not in timing]
    known = [(list(head.timing.parameters()), recipe.timing_learning_rate), (others, recipe.learning_rate)]
    groups = [{"params": some, "lr": rate} for some, rate in known if some]
    optimizer = torch.optim.AdamW(groups, weight_decay=recipe.weight_decay)
    rates = [rate for some, rate in known if some]
    return optimizer, torch.optim.lr_scheduler.OneCycleLR(optimizer, rates, total_steps=step_count, pct_start=0.1)


@torch.inference_mode()
def predict(source: Source, all_beats: Beats, rows: np.ndarray, head: BeatHead) -> np.ndarray:
    """Give log-probabilities `[len(rows), len(TRAINED)]`."""
    head.eval()
    found = [
        head.judge(source(part), torch.from_numpy(all_beats.rr_MF[part]))
        for part in (rows[first : first + _BEATS_A_PASS] for first in range(0, len(rows), _BEATS_A_PASS))
    ]
    return torch.cat(found).numpy()
