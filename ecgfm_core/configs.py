"""Named configurations of the model and its training, as frozen dataclasses. Loads no torch.

A configuration is named (`tiny_cpu`, `small`, `base`) and may be changed field by field: ``build("tiny_cpu",
{"epochs": 3})``. Unknown fields and values that can't work are refused with what is allowed.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, NamedTuple

from ecgfm_core.errors import ConfigError

_POSITIVE = ("width", "layers", "heads", "negatives", "epochs", "batch", "accumulate", "text_tokens_max", "vocabulary")

_CHOICES = {"encoder": ("twelve_lead", "any_lead"), "context": ("transformer", "state_space")}
STATE_PAIRS = 16  # conjugate pairs of a feature's state in the state-space context network


@dataclass(frozen=True)
class Config:
    """Everything that decides a training run, beside its data and its seed.

    Attributes
    ----------
    sampling_rate_hz : rate that every waveform is resampled to, Hz
    kernels, strides : of the encoder's convolutions; the product of the strides is the hop, in samples
    width : features a token, in encoder and decoder; the stored embedding is 4 times as wide
    layers, heads : of the decoder; a state-space context has no heads
    encoder : twelve_lead, or any_lead, which ``ecgfm transfer`` trains against a twelve-lead one
    context : what the decoder is, a causal transformer or a causal state-space network
    vocabulary : pieces the text tokenizer learns, beside the 256 bytes and the marks
    text_tokens_max : a diagnostic text is cut to this many tokens
    horizons_ms : how far ahead the contrastive task looks; each at least the encoder's receptive field
    negatives : wrong candidates a prediction; half from the same recording, half from other patients
    temperature : divides the cosine similarities of the contrastive task
    crop_s : seconds of a recording that one training step sees, at a random place
    windows_max : a longer recording is scored on this many windows of `crop_s`, spread over it
    contrastive_weight, classification_weight, text_weight : of the three losses, each in units of its chance level
    head_gradient : share of the classification gradient that reaches the backbone, 0 to 1; lower remembers less of the
        given labels, which finding wrong ones needs
    label_smoothing : targets become this half below 1 and above 0
    label_positives_min : a label with fewer positives in the training split is not trained
    word_dropout : share of input words hidden from the text task
    gain_range : each training crop is multiplied by a random factor between 1 / (1 + this) and 1 + this
    epochs : passes over the training split
    steps_min : a small training split is passed over more often, up to this many steps
    batch, accumulate : recordings a forward pass, forward passes an optimizer step; processes share the passes
    learning_rate, weight_decay, warmup_share, clip_norm : of AdamW, its cosine schedule and gradient clipping
    ema : decay of the averaged weights, which are the ones kept
    validate_epochs : the validation split is scored every this many epochs, and at the end
    save_every_s : seconds between two resumable states
    """

    name: str
    sampling_rate_hz: float
    kernels: tuple[int, ...]
    strides: tuple[int, ...]
    width: int
    layers: int
    heads: int
    encoder: str = "twelve_lead"
    context: str = "transformer"
    vocabulary: int = 512
    text_tokens_max: int = 96
    horizons_ms: tuple[float, ...] = (280.0, 400.0, 520.0, 640.0)
    negatives: int = 64
    temperature: float = 0.1
    crop_s: float = 5.0
    windows_max: int = 64
    contrastive_weight: float = 1.0
    classification_weight: float = 1.0
    text_weight: float = 1.0
    head_gradient: float = 1.0
    label_smoothing: float = 0.05
    label_positives_min: int = 20
    word_dropout: float = 0.15
    gain_range: float = 0.2
    epochs: int = 20
    steps_min: int = 0
    batch: int = 32
    accumulate: int = 1
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    warmup_share: float = 0.05
    clip_norm: float = 1.0
    ema: float = 0.99
    validate_epochs: int = 5
    save_every_s: float = 15.0

    def __post_init__(self) -> None:
        for field, allowed in self._problems():
            raise ConfigError(f"Config {self.name}: {field} is {getattr(self, field)!r}; {allowed}")

    def _problems(self) -> Iterator[tuple[str, str]]:
        for field, allowed in _CHOICES.items():
            if getattr(self, field) not in allowed:
                yield field, f"{' or '.join(allowed)} is allowed"
        for field in _POSITIVE:
            if getattr(self, field) < 1:
                yield field, "1 or more is allowed"
        for field in ("sampling_rate_hz", "temperature", "crop_s", "learning_rate", "clip_norm"):
            if not (math.isfinite(getattr(self, field)) and getattr(self, field) > 0):
                yield field, "a number above 0 is allowed"
        for field in ("head_gradient", "label_smoothing", "word_dropout", "warmup_share"):
            if not 0 <= getattr(self, field) <= 1:
                yield field, "0 to 1 is allowed"
        if not 0 <= self.ema < 1:
            yield "ema", "0 up to, but not, 1 is allowed"
        weights = (self.contrastive_weight, self.classification_weight, self.text_weight)
        if min(weights) < 0 or max(weights) == 0:
            yield "classification_weight", "no loss weight below 0, and one above 0, are allowed"
        for field in ("weight_decay", "gain_range", "save_every_s", "steps_min"):
            if getattr(self, field) < 0:
                yield field, "0 or more is allowed"
        for field in ("validate_epochs", "windows_max", "label_positives_min"):
            if getattr(self, field) < 1:
                yield field, "1 or more is allowed"
        if self.width % (2 * self.heads):
            yield "width", f"an even number of features for each of the {self.heads} heads is needed"
        yield from self._encoder_problems()

    def _encoder_problems(self) -> Iterator[tuple[str, str]]:
        if len(self.kernels) != len(self.strides) or not self.kernels:
            yield "kernels", f"as many kernels as strides ({len(self.strides)}), at least one, are needed"
            return
        if any(not 1 <= stride <= kernel for kernel, stride in zip(self.kernels, self.strides, strict=True)):
            yield "strides", f"each at least 1 and at most its kernel of {self.kernels} is allowed"
            return
        if not self.horizons_ms or min(self.horizons_ms) < self.receptive_field_ms:
            yield (
                "horizons_ms",
                (
                    f"each must be at least the receptive field of {self.receptive_field_ms:g} ms, "
                    "else a prediction's target shares samples with its context"
                ),
            )
        if self.crop_s * 1000 < max(self.horizons_ms) + 2 * self.hop_ms:
            yield "crop_s", f"more than the longest horizon of {max(self.horizons_ms):g} ms is needed"
        # The nearest token may lie a little before the named horizon, but never within the receptive field.
        if self.horizons_ms and min(self.horizon_tokens) * self.hop_samples < self.receptive_field_samples:
            yield "horizons_ms", f"whole hops of {self.hop_ms:g} ms that reach the receptive field are needed"

    @property
    def hop_samples(self) -> int:
        """Samples from one token to the next."""
        return math.prod(self.strides)

    @property
    def hop_ms(self) -> float:
        """Milliseconds from one token to the next."""
        return 1000 * self.hop_samples / self.sampling_rate_hz

    @property
    def receptive_field_samples(self) -> int:
        """Samples that one token sees."""
        seen, hop = 1, 1
        for kernel, stride in zip(self.kernels, self.strides, strict=True):
            seen += (kernel - 1) * hop
            hop *= stride
        return seen

    @property
    def receptive_field_ms(self) -> float:
        """Milliseconds that one token sees."""
        return 1000 * self.receptive_field_samples / self.sampling_rate_hz

    @property
    def horizon_tokens(self) -> tuple[int, ...]:
        """The horizons in tokens."""
        return tuple(round(horizon / self.hop_ms) for horizon in self.horizons_ms)

    @property
    def crop_samples(self) -> int:
        """Samples of one crop: whole hops."""
        return self.crop_tokens * self.hop_samples

    @property
    def crop_tokens(self) -> int:
        """Signal tokens of one crop."""
        return max(1, round(self.crop_s * self.sampling_rate_hz / self.hop_samples))

    @property
    def mlp_width(self) -> int:
        """Hidden features of the decoder's SwiGLU: 8/3 of the width in whole 32s."""
        return 32 * math.ceil(8 * self.width / 96)

    @property
    def learns_labels(self) -> bool:
        """Whether the labels, or a text that tells them, shape the network."""
        return self.text_weight > 0 or (self.classification_weight > 0 and self.head_gradient > 0)

    @property
    def embedding_width(self) -> int:
        """Numbers by which the network sums up a recording."""
        return 4 * self.width

    def parameter_count(self, label_count: int = 27, lead_count: int = 12) -> int:
        """Trained numbers, to within one in a hundred."""
        inputs = (lead_count, *[self.width] * (len(self.kernels) - 1))
        encoder = self.width**2
        encoder += sum(kernel * channels * self.width for kernel, channels in zip(self.kernels, inputs, strict=True))
        state_space = 2 * self.width**2 + 4 * STATE_PAIRS * self.width
        mixing = state_space if self.context == "state_space" else 4 * self.width**2
        decoder = self.layers * (mixing + 3 * self.width * self.mlp_width)
        heads = (
            len(self.horizons_ms) * self.width**2
            + 2 * self.width * (self.width + 4)
            + 4 * self.width * (label_count + 1)
        )
        return encoder + decoder + heads + (self.vocabulary + 260) * self.width

    def to_dict(self) -> dict[str, Any]:
        """Every field as JSON can hold it."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}


class Named(NamedTuple):
    """A named configuration as a page or a command line lists it."""

    name: str
    cost: str
    expected_score: str
    config: Config


def tiny_cpu() -> Named:
    """Two CPU threads, about a minute for 600 ten-second recordings."""
    config = Config(
        "tiny_cpu", 100.0, (5, 3, 3, 3), (2, 2, 1, 1), width=128, layers=4, heads=4, crop_s=2.5, epochs=16
    )  # fmt: skip
    score = "1,250 recordings of PTB-XL with a tenth of the labels wrong, 14 epochs: normal/abnormal AUROC 0.98"
    return Named("tiny_cpu", "about 1 minute for 600 recordings on 2 idle CPU threads", score, config)


def small() -> Named:
    """One small GPU, or a night on a CPU."""
    config = Config(
        "small", 250.0, (9, 3, 3, 3), (5, 1, 1, 1), width=256, layers=6, heads=8, vocabulary=2048,
        horizons_ms=(160.0, 320.0, 480.0, 640.0), negatives=128, batch=64, epochs=30, learning_rate=7e-4, ema=0.999,
        save_every_s=120.0,
    )  # fmt: skip
    return Named("small", "about 15 times tiny_cpu a recording; one small GPU", "not measured yet", config)


def base() -> Named:
    """One large GPU."""
    config = Config(
        "base", 500.0, (11, 5, 3, 3), (5, 2, 1, 1), width=512, layers=8, heads=8, vocabulary=8192, text_tokens_max=128,
        horizons_ms=(160.0, 320.0, 480.0, 640.0), negatives=256, batch=128, epochs=30, learning_rate=5e-4, ema=0.9995,
        save_every_s=300.0,
    )  # fmt: skip
    return Named("base", "about 80 times tiny_cpu a recording; one large GPU", "not measured yet", config)


NAMED: dict[str, Callable[[], Named]] = {"tiny_cpu": tiny_cpu, "small": small, "base": base}


def names() -> tuple[str, ...]:
    """Names that `build` knows."""
    return tuple(NAMED)


def describe() -> list[Named]:
    """Every named configuration with what it costs and what to expect of it."""
    return [make() for make in NAMED.values()]


def build(name: str, changes: Mapping[str, Any] | None = None) -> Config:
    """Take a named configuration and change some fields; values may be text, as on a command line.

    Raises
    ------
    ConfigError
        If the name or a field is unknown, or a value is not allowed.
    """
    if name not in NAMED:
        raise ConfigError(f"Config {name!r} is unknown; {', '.join(NAMED)} are known")
    return change(NAMED[name]().config, changes or {})


def change(config: Config, changes: Mapping[str, Any]) -> Config:
    """Change some fields; values may be text, as on a command line. Refuses what `build` refuses."""
    return replace(config, **{field: _parse(config, field, value) for field, value in changes.items()})


def from_dict(values: Mapping[str, Any]) -> Config:
    """Make a configuration from what `Config.to_dict` gave; refuses unknown fields."""
    known = {field.name for field in fields(Config)}
    if unknown := sorted(set(values) - known):
        raise ConfigError(f"Config field {', '.join(unknown)} is unknown; {', '.join(sorted(known))} are known")
    plain: dict[str, Any] = {key: tuple(one) if isinstance(one, list) else one for key, one in values.items()}
    return Config(**plain)


def _parse(config: Config, field: str, value: Any) -> Any:
    """Turn `value` into the type that `field` has."""
    known = [one.name for one in fields(Config) if one.name != "name"]
    if field not in known:
        raise ConfigError(f"Config {config.name}: no field {field!r}; {', '.join(known)} are known")
    present = getattr(config, field)
    try:
        if isinstance(present, tuple):
            parts = value.split(",") if isinstance(value, str) else value
            return tuple(_number(type(present[0]), part) for part in parts)
        if isinstance(present, str):
            return str(value)
        return _number(type(present), value)
    except (TypeError, ValueError):
        kind = {int: "a whole number", float: "a number", tuple: "numbers joined by commas"}[type(present)]
        raise ConfigError(f"Config {config.name}: {field} is {value!r}; {kind} such as {present} is needed") from None


def _number(kind: type, value: Any) -> int | float:
    """Turn text or a number into `kind`; 2.5 is no whole number, and True is no number."""
    number = float(value)
    if isinstance(value, bool) or not math.isfinite(number) or (kind is int and number != int(number)):
        raise ValueError(value)
    return kind(number)
