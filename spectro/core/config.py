"""Every setting of the program, declared once: frozen dataclasses with checks, a JSON round trip and a config_id."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import UnionType
from typing import Any, Literal, Self, Union, get_args, get_origin, get_type_hints

from spectro.core.errors import ConfigError, did_you_mean


@dataclass(frozen=True, kw_only=True)
class Config:
    """Base of all settings: `to_dict`, `from_dict` (an unknown key is an error) and `config_id`."""

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain JSON values, nested configs as nested dictionaries."""
        return json.loads(json.dumps(dataclasses.asdict(self)))  # type: ignore[no-any-return]

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build from what `to_dict` returned.

        Raises
        ------
        ConfigError
            a key is unknown, or a value has the wrong type or is out of range.
        """
        hints = get_type_hints(cls)
        names = [f.name for f in dataclasses.fields(cls)]
        made: dict[str, Any] = {}
        for key, value in values.items():
            if key not in names:
                raise ConfigError(f"{cls.__name__} has no setting '{key}'{did_you_mean(key, names)}")
            hint = hints[key]
            if isinstance(hint, type) and issubclass(hint, Config):
                made[key] = hint.from_dict(value)
            else:
                made[key] = _checked(f"{cls.__name__}.{key}", hint, value)
        return cls(**made)

    def config_id(self) -> str:
        """Return 12 hexadecimal digits that change when any setting does."""
        text = json.dumps({type(self).__name__: self.to_dict()}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def differences(self, other: Config) -> list[str]:
        """Name each setting that differs, as `"mel.n_mels: 128 here, 64 there"`."""
        mine, theirs = _flat(self.to_dict()), _flat(other.to_dict())
        return [
            f"{key}: {mine.get(key)} here, {theirs.get(key)} there"
            for key in sorted(mine.keys() | theirs.keys())
            if mine.get(key) != theirs.get(key)
        ]


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {prefix + key: value}
    return flat


def _checked(where: str, hint: Any, value: Any) -> Any:
    """Return `value` as `hint` wants it (JSON turns tuples into lists and 1.0 into 1), or raise ConfigError."""
    origin = get_origin(hint)
    if origin is Literal:
        if value in get_args(hint):
            return value
        raise ConfigError(f"{where} is {value!r}, but must be one of {', '.join(map(str, get_args(hint)))}")
    if origin in (UnionType, Union):
        if value is None and type(None) in get_args(hint):
            return None
        return _checked(where, next(part for part in get_args(hint) if part is not type(None)), value)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise ConfigError(f"{where} is {value!r}, but must be a list")
        return tuple(value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(hint, type) and (not isinstance(value, hint) or (hint is not bool and isinstance(value, bool))):
        raise ConfigError(f"{where} is {value!r}, but must be of type {hint.__name__}")
    return value


def require(condition: bool, message: str) -> None:
    """Raise ConfigError with `message` unless `condition` holds."""
    if not condition:
        raise ConfigError(message)


@dataclass(frozen=True, kw_only=True)
class MelConfig(Config):
    """How a mel-spectrogram is computed; the defaults are librosa's, with `power_to_db` against the segment's peak."""

    sample_rate: int = 22050
    """Sample rate that audio is resampled to, in Hz."""
    n_fft: int = 2048
    """Length of one analysis window, in samples."""
    hop_length: int = 512
    """Step between two windows, in samples."""
    n_mels: int = 128
    """Number of mel bands, the height of a picture."""
    fmin: float = 0.0
    """Lowest frequency, in Hz."""
    fmax: float | None = None
    """Highest frequency, in Hz; half the sample rate when not given."""
    top_db: float = 80.0
    """Range below the segment's peak that is kept, in dB; what is quieter becomes black."""

    def __post_init__(self) -> None:
        require(self.sample_rate > 0, f"sample_rate is {self.sample_rate}, but must be positive (Hz, not kHz)")
        require(self.sample_rate >= 1000, f"sample_rate is {self.sample_rate} Hz; did you mean {self.sample_rate}000?")
        require(self.n_fft >= 16, f"n_fft is {self.n_fft}, but must be at least 16 samples")
        require(self.n_fft % 2 == 0, f"n_fft is {self.n_fft}, but must be even")
        require(self.hop_length > 0, f"hop_length is {self.hop_length}, but must be positive (samples, not seconds)")
        require(self.n_mels >= 1, f"n_mels is {self.n_mels}, but must be at least 1")
        require(self.top_db > 0, f"top_db is {self.top_db}, but must be positive")
        top = self.sample_rate / 2 if self.fmax is None else self.fmax
        require(
            0 <= self.fmin < top <= self.sample_rate / 2,
            f"frequencies must obey 0 <= fmin < fmax <= sample_rate/2, but are {self.fmin}, {top}, "
            f"{self.sample_rate / 2}",
        )


@dataclass(frozen=True, kw_only=True)
class SegmentConfig(Config):
    """How a clip is cut into segments of equal length."""

    seconds: float = 10.0
    """Length of one segment, in seconds."""
    overlap: float = 0.0
    """Share of a segment that the next one repeats, from 0 up to (not including) 1."""
    tail: Literal["shift", "drop", "pad"] = "shift"
    """What becomes of a rest at the end: `shift` moves a last full segment back to end with the clip, `pad` fills it
    with silence, `drop` leaves it out. A rest shorter than `min_rest` is always left out."""
    min_rest: float = 0.5
    """Shortest rest that still makes a segment under `shift` and `pad`, as a share of a segment."""
    short: Literal["pad", "repeat", "fail"] = "pad"
    """What becomes of a clip shorter than one segment: filled up with silence, repeated, or reported as failed."""
    min_seconds: float = 0.5
    """Clips shorter than this many seconds are reported as failed (`too-short`)."""

    def __post_init__(self) -> None:
        require(self.seconds > 0, f"seconds is {self.seconds}, but must be positive")
        require(0 <= self.overlap < 1, f"overlap is {self.overlap}, but must be a share from 0 up to 1 (0.5 = half)")
        require(
            self.seconds * (1 - self.overlap) >= 0.01,
            f"segments of {self.seconds:g} s that overlap by {self.overlap:g} start less than 0.01 s apart",
        )
        require(0 < self.min_rest <= 1, f"min_rest is {self.min_rest}, but must be a share above 0 and up to 1")
        require(self.min_seconds >= 0, f"min_seconds is {self.min_seconds}, but must not be negative")


@dataclass(frozen=True, kw_only=True)
class RenderConfig(Config):
    """Everything that decides what a picture looks like; its config_id names the folder of the pictures."""

    mel: MelConfig = field(default_factory=MelConfig)
    segment: SegmentConfig = field(default_factory=SegmentConfig)


@dataclass(frozen=True, kw_only=True)
class SplitConfig(Config):
    """How clips are dealt to training, validation and test."""

    by: Literal["group", "clip", "segment", "official"] = "group"
    """What stays whole: a `group` (song, album, recording), a `clip`, or only a `segment` (LEAKY: for showing what a
    leak does); `official` takes the `fold` column as it stands."""
    test: float = 0.2
    """Share of the clips in the test fold (ignored with `folds`)."""
    val: float = 0.1
    """Share of the clips in the validation fold."""
    folds: int = 0
    """Number of cross-validation folds; 0 makes one holdout split."""
    seed: int = 0
    """Seed of the dealing."""

    def __post_init__(self) -> None:
        require(0 < self.test < 1, f"test is {self.test}, but must be a share between 0 and 1 (0.2 = 20 %)")
        require(0 <= self.val < 1, f"val is {self.val}, but must be a share from 0 up to 1 (0.1 = 10 %)")
        require(self.test + self.val < 1, f"test + val is {self.test + self.val:g}, which leaves nothing to train on")
        require(self.folds == 0 or self.folds >= 2, f"folds is {self.folds}, but must be 0 (holdout) or at least 2")


@dataclass(frozen=True, kw_only=True)
class FinetuneConfig(Config):
    """How a model is trained: first the head on a frozen backbone, then the layers behind it at a lower rate."""

    epochs: int = 30
    """Epochs of the head alone, the backbone frozen (from cached features); 0 goes straight to fine-tuning. A network
    of our own, which has nothing to freeze, trains all its layers for this long."""
    finetune_epochs: int = 10
    """Epochs of fine-tuning after that; 0 leaves the backbone frozen."""
    unfreeze: int = 0
    """Number of last stages of the backbone that are fine-tuned; 0 = all layers."""
    cache_finetune: bool = False
    """With `unfreeze`, fine-tune on cached inputs of those stages, from `views` of each picture, instead of on pictures
    augmented anew in each epoch: several times as fast, with less variety."""
    lr: float = 1e-3
    """Learning rate of the head, and of a network trained from scratch."""
    finetune_lr: float = 2e-4
    """Learning rate of the last layer while fine-tuning."""
    layer_decay: float = 1.0
    """Factor on the rate from each layer to the one before it while fine-tuning; 1 = the same rate everywhere."""
    batch_size: int = 16
    """Segments per step while pictures are the input."""
    head_batch_size: int = 64
    """Segments per step while cached features are the input."""
    weight_decay: float = 0.01
    """Decoupled weight decay (AdamW); biases and normalization are left alone."""
    label_smoothing: float = 0.1
    """Share of probability that the target gives to the other classes."""
    warmup: float = 0.1
    """Share of a stage's steps over which the rate rises from zero."""
    schedule: Literal["cosine", "constant", "plateau"] = "cosine"
    """What the rate does after that; `plateau` has no warm-up, and divides the rate by ten when the validation score
    has not risen for half of `patience` epochs."""
    clip_norm: float = 5.0
    """Largest norm of the gradient; a larger one is scaled down. 0 = never."""
    ema: float = 0.0
    """Decay of a moving average of the weights that is used instead of them; 0 = none, 0.999 is usual."""
    bn: Literal["train", "frozen"] = "train"
    """Whether batch normalization goes on learning its statistics while fine-tuning; those of photographs do not suit
    spectrograms, but batches of less than about eight make poor ones."""
    balance: Literal["none", "weights", "sampler", "focal"] = "weights"
    """Against class imbalance: weights in the loss, drawing rare classes more often, or the focal loss."""
    augment: Literal["none", "light", "strong"] = "light"
    """Spectrogram-safe augmentation of the pictures (never flips)."""
    mixup: float = 0.3
    """Alpha of the Beta distribution that mixes pairs of pictures, or, in half of the batches, joins them along time;
    0 = never."""
    views: int = 1
    """Augmented views of each picture in the feature cache; 1 = the plain picture only."""
    patience: int = 0
    """Epochs without a better validation score after which a stage ends; 0 = never."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """Arithmetic: `auto` is bf16 on GPUs that have it, else fp16 on GPUs, fp32 on CPUs."""
    compile: bool = False
    """Compile the model before fine-tuning: pays on a GPU over many epochs."""
    device: str = "auto"
    """`auto`, `cpu`, `cuda` or `mps`."""
    seed: int = 0
    """Seed of initial weights, order, dropout and augmentation."""

    def __post_init__(self) -> None:
        require(self.epochs >= 0 and self.finetune_epochs >= 0, "epochs and finetune_epochs must not be negative")
        require(
            self.epochs + self.finetune_epochs > 0, "epochs and finetune_epochs are both 0: nothing would be trained"
        )
        require(self.batch_size > 0 and self.head_batch_size > 0, "batch_size and head_batch_size must be positive")
        require(0 < self.lr < 1 and 0 < self.finetune_lr < 1, "lr and finetune_lr must lie between 0 and 1 (say 1e-3)")
        require(0 < self.layer_decay <= 1, f"layer_decay is {self.layer_decay}, but must lie above 0 and up to 1")
        require(
            0 <= self.label_smoothing < 1, f"label_smoothing is {self.label_smoothing}, but must lie from 0 up to 1"
        )
        require(0 <= self.warmup < 1, f"warmup is {self.warmup}, but must be a share from 0 up to 1")
        require(0 <= self.ema < 1, f"ema is {self.ema}, but must be a decay from 0 up to 1")
        require(self.views >= 1, f"views is {self.views}, but must be at least 1")
        require(min(self.unfreeze, self.patience) >= 0, "unfreeze and patience must not be negative")
        require(
            not self.cache_finetune or self.unfreeze > 0,
            "cache_finetune needs a number of last stages in unfreeze, for nothing is cached in front of all layers",
        )


@dataclass(frozen=True, kw_only=True)
class ModelConfig(Config):
    """Which network maps pictures to classes; together with classes and picture shape it decides the architecture."""

    name: str = "mobilenetv2_100"
    """A timm backbone (`resnet50`, `mobilenetv2_100`, `vgg16`, `tf_efficientnet_lite0`, ...) or an own network
    (`cnn5`, ...); `spectro models` lists them."""
    head: str = "auto"
    """What turns the backbone's feature map into class scores: `linear`, `mlp`, `conv` or `gem`; `auto` is `linear`
    for a timm backbone and the network's own for the others."""
    in_chans: Literal[1, 3] = 1
    """Channels that a timm backbone is fed: the grey picture as it is, or copied into three. Own networks take 1."""
    dropout: float = 0.2
    """Share of the features that the head drops while training; an own network's own head has its study's."""
    hidden: int = 256
    """Width of the hidden layer of the heads `mlp` and `conv`."""

    def __post_init__(self) -> None:
        require(self.name != "", "name is empty; `spectro models` lists what there is")
        require(self.in_chans in (1, 3), f"in_chans is {self.in_chans}, but must be 1 or 3")
        require(0 <= self.dropout < 1, f"dropout is {self.dropout}, but must be a share from 0 up to 1 (0.2 = 20 %)")
        require(self.hidden >= 1, f"hidden is {self.hidden}, but must be at least 1")
