"""Learn a task's classes from a backbone, in one of five ways: the rows that every table shows side by side.

R recording, W window, B window in a batch, L lead, T time sample, N token, D width, C class.
"""

import copy
import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ecgfm_core.configs import Config
from ecgfm_core.errors import TrainingError
from ecgfm_core.model.ecgfm import Ecgfm
from ecgfm_core.model.heads import AttentionHead, LinearHead
from ecgfm_core.training.checkpoint import Checkpoint
from ecgfm_core.training.dataset import STEP_MV, Cache
from ecgfm_core.training.metrics import macro_auroc

FROZEN_ATTENTION, FROZEN_LINEAR, FINE_TUNED = "frozen_attention", "frozen_linear", "fine_tuned"
FROM_SCRATCH, RANDOM_FROZEN = "from_scratch", "random_frozen"
ROWS = (FROZEN_ATTENTION, FROZEN_LINEAR, FINE_TUNED, FROM_SCRATCH, RANDOM_FROZEN)
_FROZEN = (FROZEN_ATTENTION, FROZEN_LINEAR, RANDOM_FROZEN)
_PRETRAINED = (FROZEN_ATTENTION, FROZEN_LINEAR, FINE_TUNED)
_SCORED_AT_ONCE = 64
_WARMUP_SHARE = 0.1

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Recipe:
    """How the rows are trained; the same for every row but for what a row is.

    Attributes
    ----------
    batch : windows a step, each of another recording
    head_epochs, head_learning_rate : of the rows that train a head alone
    epochs, learning_rate : of the rows that train the whole network
    backbone_share : a pretrained backbone learns at this share of `learning_rate`
    steps_min : a small training split is passed over more often, up to this many steps
    weight_decay, clip_norm : of AdamW and gradient clipping
    ema : decay of the averaged weights, which are the ones judged
    gain_range, lead_dropout : each window is scaled by up to this much, each of its leads is blanked this often
    hop_share : of a window's length between two windows of a recording
    looks : how often the validation split is scored; the best moment's weights are kept
    """

    batch: int = 32
    head_epochs: int = 40
    head_learning_rate: float = 2e-3
    epochs: int = 20
    learning_rate: float = 1e-3
    backbone_share: float = 0.5
    steps_min: int = 300
    weight_decay: float = 0.05
    clip_norm: float = 1.0
    ema: float = 0.99
    gain_range: float = 0.2
    lead_dropout: float = 0.1
    hop_share: float = 0.5
    looks: int = 5


class Classifier(nn.Module):
    """A backbone and a head of its own."""

    def __init__(self, backbone: Ecgfm, head: nn.Module) -> None:
        super().__init__()
        self.backbone, self.head = backbone, head

    def contexts(self, waveform_BLT: Tensor, sample_count_B: Tensor) -> tuple[Tensor, Tensor | None]:
        """Give contexts `[B, N, D]`, and which are of samples `[B, N]`, None where all are."""
        tokens_BND = self.backbone.encoder(waveform_BLT)
        valid_BN = self.backbone.valid_tokens(sample_count_B, tokens_BND.shape[1])
        return self.backbone.decoder(tokens_BND, valid_BN), valid_BN

    def forward(self, waveform_BLT: Tensor, sample_count_B: Tensor) -> Tensor:
        """Give logits `[B, C]`."""
        return self.head(*self.contexts(waveform_BLT, sample_count_B))


@dataclass(frozen=True)
class Rows:
    """Rows of the cache to train on, to choose the moment by, and to give probabilities of."""

    train: np.ndarray
    validate: np.ndarray
    asked: np.ndarray


def fit(
    row: str,
    *,
    start: Checkpoint,
    cache: Cache,
    targets_NC: np.ndarray,
    train_rows: np.ndarray,
    validate_rows: np.ndarray,
    asked_rows: np.ndarray,
    recipe: Recipe,
    seed: int,
    progress: Progress | None = None,
) -> np.ndarray:
    """Train one row of the table and give probabilities of the asked recordings.

    Parameters
    ----------
    row : one of `ROWS`
    start : the pretrained network; the rows without pretraining take its configuration alone
    targets_NC : 0, 1 or NaN where unknown, for every recording of the cache
    asked_rows : recordings to give probabilities of; their targets are not looked at
    progress : called with steps done and steps in all

    Returns
    -------
    float32 ``[len(asked_rows), C]``, averaged over the windows of a recording.

    Raises
    ------
    TrainingError
        If the row is unknown, a recording is both trained on and asked for, or there is nothing to train on.
    """
    classifier = train(
        row, start=start, cache=cache, targets_NC=targets_NC, rows=Rows(train_rows, validate_rows, asked_rows),
        recipe=recipe, seed=seed, progress=progress,
    )  # fmt: skip
    return probabilities(classifier, cache, asked_rows, recipe)


def train(
    row: str,
    *,
    start: Checkpoint,
    cache: Cache,
    targets_NC: np.ndarray,
    rows: Rows,
    recipe: Recipe,
    seed: int,
    progress: Progress | None = None,
) -> Classifier:
    """Train one row of the table, as `fit` says, and give the network at its best moment on the validation split."""
    _check(row, rows)
    torch.manual_seed(seed)
    classifier = _classifier(row, start, targets_NC.shape[1])
    learner = _Learner(classifier, recipe, seed, targets_NC, progress or (lambda _done, _total: None))
    if row in _FROZEN:
        with _contexts(classifier, cache, rows, recipe) as frozen:
            learner.train_head(frozen, rows)
    else:
        learner.train_all(cache, rows, recipe.backbone_share if row in _PRETRAINED else 1.0)
    return classifier.eval()


def _check(row: str, rows: Rows) -> None:
    if row not in ROWS:
        raise TrainingError(f"Row {row!r} is unknown; {', '.join(ROWS)} are known")
    if not len(rows.train) or not len(rows.validate):
        raise TrainingError(
            f"{len(rows.train)} recordings to train on and {len(rows.validate)} to validate on; 1 or more are needed"
        )
    held_out = np.concatenate((rows.validate, rows.asked))
    if len(both := np.intersect1d(rows.train, held_out)):
        raise TrainingError(f"Recordings {both[:5].tolist()} are trained on and held out; each may be in one split")


def _classifier(row: str, start: Checkpoint, class_count: int) -> Classifier:
    if row in _PRETRAINED:
        backbone = copy.deepcopy(start.model)
    else:
        backbone = Ecgfm(start.config, len(start.label_codes), start.tokenizer.count)
    backbone.requires_grad_(row not in _FROZEN)
    device = next(start.model.parameters()).device
    return Classifier(backbone, _head(row, start.config.width, class_count)).to(device)


def _head(row: str, width: int, class_count: int) -> nn.Module:
    return (LinearHead if row == FROZEN_LINEAR else AttentionHead)(width, class_count)


def untrained(row: str, config: Config, label_count: int, token_count: int, class_count: int) -> Classifier:
    """Give a network of the form that `train` gives, to load weights into."""
    return Classifier(Ecgfm(config, label_count, token_count), _head(row, config.width, class_count))


def windows(sample_count: int, config: Config, hop_share: float) -> list[int]:
    """Say where the windows of a recording begin: `hop_share` of a window apart, the last ending with it."""
    last = max(0, sample_count - config.crop_samples)
    count = 1 + math.ceil(last / (hop_share * config.crop_samples))
    starts = [round(place) for place in np.linspace(0, last, count)]
    return starts[:: max(1, math.ceil(count / config.windows_max))]


def _crops(
    cache: Cache, places: Sequence[tuple[int, int]], config: Config, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Cut windows, each named by its recording and first sample: `[B, L, T]` in millivolt, and their sample counts."""
    leads = cache.samples(places[0][0]).shape[0]
    waveform_BLT = np.zeros((len(places), leads, config.crop_samples), dtype=np.float32)
    counts_B = np.empty(len(places), dtype=np.int64)
    for place, (row, first) in enumerate(places):
        crop = cache.samples(row)[:, first : first + config.crop_samples]
        np.multiply(crop, np.float32(STEP_MV), out=waveform_BLT[place, :, : crop.shape[1]])
        counts_B[place] = crop.shape[1]
    return torch.from_numpy(waveform_BLT).to(device), torch.from_numpy(counts_B).to(device)


def _places(cache: Cache, rows: np.ndarray, config: Config, hop_share: float) -> list[tuple[int, int]]:
    return [(int(row), first) for row in rows for first in windows(cache.samples(row).shape[1], config, hop_share)]


@torch.inference_mode()
def probabilities(classifier: Classifier, cache: Cache, rows: np.ndarray, recipe: Recipe) -> np.ndarray:
    """Give probabilities `[R, C]` of recordings, averaged over their windows."""
    config, device = classifier.backbone.config, next(classifier.parameters()).device
    places, parts = _places(cache, rows, config, recipe.hop_share), []
    for first in range(0, len(places), _SCORED_AT_ONCE):
        crops = _crops(cache, places[first : first + _SCORED_AT_ONCE], config, device)
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            parts.append(classifier(*crops).float().sigmoid().cpu().numpy())
    return _mean_by_recording(np.concatenate(parts), [row for row, _ in places], rows)


def _mean_by_recording(values_WC: np.ndarray, row_W: Sequence[int], rows: np.ndarray) -> np.ndarray:
    """Average windows `[W, C]` over their recordings `[R, C]`, whose rows stand in any order."""
    order = np.argsort(rows)
    place_W = order[np.searchsorted(rows, row_W, sorter=order)]
    sums_RC = np.zeros((len(rows), values_WC.shape[1]))
    np.add.at(sums_RC, place_W, values_WC)
    return (sums_RC / np.bincount(place_W, minlength=len(rows))[:, None]).astype(np.float32)


@dataclass(frozen=True)
class _Frozen:
    """Contexts float16 `[W, N, D]` of a frozen backbone, in a file, the recording and the valid tokens of each."""

    contexts_WND: np.ndarray
    valid_WN: np.ndarray
    row_W: np.ndarray

    def batch(self, windows_B: np.ndarray, device: torch.device) -> tuple[Tensor, Tensor | None]:
        """Give contexts `[B, N, D]` and, where any is padded, which tokens are valid."""
        valid_BN = self.valid_WN[windows_B]
        contexts_BND = torch.from_numpy(self.contexts_WND[windows_B].astype(np.float32)).to(device)
        return contexts_BND, None if valid_BN.all() else torch.from_numpy(valid_BN).to(device)


@contextmanager
def _contexts(classifier: Classifier, cache: Cache, rows: Rows, recipe: Recipe) -> Iterator[_Frozen]:
    """Run the backbone once over all windows: a frozen one gives the same in every epoch."""
    config, device = classifier.backbone.config, next(classifier.parameters()).device
    places = _places(cache, np.concatenate((rows.train, rows.validate)), config, recipe.hop_share)
    shape = (len(places), config.crop_tokens, config.width)
    with tempfile.TemporaryFile() as file:
        contexts_WND = np.memmap(file, dtype=np.float16, mode="w+", shape=shape)
        valid_WN = np.ones(shape[:2], dtype=bool)
        for first in range(0, len(places), _SCORED_AT_ONCE):
            some = slice(first, first + _SCORED_AT_ONCE)
            with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
                found, valid = classifier.contexts(*_crops(cache, places[some], config, device))
            contexts_WND[some] = found.float().cpu().numpy()
            if valid is not None:
                valid_WN[some] = valid.cpu().numpy()
        yield _Frozen(contexts_WND, valid_WN, np.array([row for row, _ in places]))


class _Learner:
    """One training: steps, averaged weights, and the best moment on the validation split."""

    def __init__(
        self, classifier: Classifier, recipe: Recipe, seed: int, targets_NC: np.ndarray, progress: Progress
    ) -> None:
        self.classifier, self.recipe, self.progress = classifier, recipe, progress
        self.targets_NC = targets_NC.astype(np.float32)
        self.random = np.random.default_rng([seed, 3])
        self.device = next(classifier.parameters()).device
        self.best_score, self.best_weights = -math.inf, copy.deepcopy(classifier.state_dict())

    def train_head(self, frozen: _Frozen, rows: Rows) -> None:
        """Train the head alone on contexts that stay as they are."""
        windows_of = {int(row): np.flatnonzero(frozen.row_W == row) for row in rows.train}
        held_W = np.flatnonzero(np.isin(frozen.row_W, rows.validate))
        head = self.classifier.head
        averaged = copy.deepcopy(head)

        def loss(part: np.ndarray) -> Tensor:
            chosen_B = np.array([self.random.choice(windows_of[row]) for row in part.tolist()])
            return self._loss(head(*frozen.batch(chosen_B, self.device)), part)

        def look() -> None:
            parts = [
                averaged(*frozen.batch(held_W[first : first + _SCORED_AT_ONCE], self.device)).sigmoid().cpu().numpy()
                for first in range(0, len(held_W), _SCORED_AT_ONCE)
            ]
            found_RC = _mean_by_recording(np.concatenate(parts), frozen.row_W[held_W].tolist(), rows.validate)
            self._keep_best(found_RC, rows.validate, {f"head.{k}": v for k, v in averaged.state_dict().items()})

        groups = [{"params": list(head.parameters()), "share": 1.0}]
        self._run(
            rows.train, self.recipe.head_epochs, self.recipe.head_learning_rate, groups, (head, averaged), loss, look
        )

    def train_all(self, cache: Cache, rows: Rows, backbone_share: float) -> None:
        """Train backbone and head together on crops at random places."""
        classifier, config = self.classifier, self.classifier.backbone.config
        averaged = copy.deepcopy(classifier)

        def loss(part: np.ndarray) -> Tensor:
            spare = [max(0, cache.samples(row).shape[1] - config.crop_samples) for row in part]
            places = [(int(row), int(self.random.integers(most + 1))) for row, most in zip(part, spare, strict=True)]
            waveform_BLT, counts_B = _crops(cache, places, config, self.device)
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
                return self._loss(classifier(self._disturbed(waveform_BLT), counts_B), part)

        def look() -> None:
            found_RC = probabilities(averaged.eval(), cache, rows.validate, self.recipe)
            self._keep_best(found_RC, rows.validate, averaged.state_dict())

        groups = [
            {"params": list(classifier.backbone.parameters()), "share": backbone_share},
            {"params": list(classifier.head.parameters()), "share": 1.0},
        ]
        pair = (classifier, averaged)
        self._run(rows.train, self.recipe.epochs, self.recipe.learning_rate, groups, pair, loss, look)

    def _disturbed(self, waveform_BLT: Tensor) -> Tensor:
        """Scale each window and blank some of its leads."""
        batch, leads, _ = waveform_BLT.shape
        gain_B = (1 + self.recipe.gain_range) ** self.random.uniform(-1, 1, batch)
        kept_BL = self.random.random((batch, leads)) >= self.recipe.lead_dropout
        factor_BL = torch.from_numpy((gain_B[:, None] * kept_BL).astype(np.float32)).to(self.device)
        return waveform_BLT * factor_BL[..., None]

    def _loss(self, logits_BC: Tensor, part: np.ndarray) -> Tensor:
        """Binary cross-entropy; what is unknown counts for nothing."""
        target_BC = torch.from_numpy(self.targets_NC[part]).to(self.device)
        known_BC = ~target_BC.isnan()
        each_BC = functional.binary_cross_entropy_with_logits(
            logits_BC.float(), target_BC.nan_to_num(), reduction="none"
        )
        return (each_BC * known_BC).sum() / known_BC.sum().clamp(min=1)

    def _run(
        self,
        train_rows: np.ndarray,
        epochs: int,
        learning_rate: float,
        groups: list[dict],
        pair: tuple[nn.Module, nn.Module],
        loss: Callable[[np.ndarray], Tensor],
        look: Callable[[], None],
    ) -> None:
        """AdamW over shuffled epochs with warm-up and cosine; `pair` is the network and its averaged copy."""
        network, averaged = pair
        optimizer = torch.optim.AdamW(groups, lr=learning_rate, weight_decay=self.recipe.weight_decay, fused=True)
        an_epoch = math.ceil(len(train_rows) / self.recipe.batch)
        total = max(epochs * an_epoch, self.recipe.steps_min)
        looks = {round(total * (place + 1) / self.recipe.looks) for place in range(self.recipe.looks)}
        network.train()
        for step in range(total):
            if step % an_epoch == 0:
                batches = np.array_split(self.random.permutation(train_rows), an_epoch)
            loss(batches[step % an_epoch]).backward()
            nn.utils.clip_grad_norm_(network.parameters(), self.recipe.clip_norm)
            for group in optimizer.param_groups:
                group["lr"] = learning_rate * group["share"] * _turn(step, total)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            decay = min(self.recipe.ema, (step + 1) / (step + 10))
            with torch.no_grad():
                torch._foreach_lerp_(list(averaged.parameters()), list(network.parameters()), 1 - decay)
                if step + 1 in looks:
                    look()
            self.progress(step + 1, total)
        self.classifier.load_state_dict(self.best_weights, strict=False)

    def _keep_best(self, found_RC: np.ndarray, rows: np.ndarray, weights: dict[str, Tensor]) -> None:
        score, _ = macro_auroc(self.targets_NC[rows], found_RC, positives_min=1)
        if score is None or score > self.best_score:
            self.best_score = self.best_score if score is None else score
            self.best_weights = {name: value.clone() for name, value in weights.items()}


def _turn(step: int, total: int) -> float:
    """Warm up linearly, then fall along a cosine to nothing."""
    warmup = max(1, round(_WARMUP_SHARE * total))
    if step < warmup:
        return (step + 1) / warmup
    return (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup))) / 2
