"""Every setting of the program, declared once: frozen dataclasses with bounds, a JSON round trip and an id."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from spectro.core.errors import ConfigError
from spectro.core.records import Record

MAX_RATE = 768_000
"""Highest sample rate, in Hz."""
MAX_SECONDS = 3600.0
"""Longest segment, in seconds."""
MAX_EPOCHS = 100_000


@dataclass(frozen=True, kw_only=True)
class Config(Record):
    """Base of all settings: a record whose fields may be left out, with an id that changes when any of them does."""

    @classmethod
    def _required(cls) -> tuple[str, ...]:
        return ()

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


def require(condition: bool, message: str) -> None:
    """Raise ConfigError with `message` unless `condition` holds."""
    if not condition:
        raise ConfigError(message)


def within(name: str, value: float, low: float, high: float) -> None:
    """Raise ConfigError unless a number is finite and lies from `low` to `high`."""
    if not low <= value <= high:
        raise ConfigError(f"{name} is {_shown(value)}, but must lie from {low:g} to {high:g}")


def require_seed(seed: int) -> None:
    """Raise ConfigError unless a seed is one that every library takes: 0 to 2^32 - 1."""
    if not 0 <= seed < 2**32:
        raise ConfigError(f"seed is {_shown(seed)}, but must lie from 0 to 4294967295")


def _shown(value: float) -> str:
    """Return a number as text; integers are exact, unless they are absurd."""
    if isinstance(value, int):
        return str(value) if abs(value) < 10**20 else "an integer of over 20 digits"
    return f"{value:g}"


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
    """Number of mel bands, the height of a spectrogram image."""
    fmin: float = 0.0
    """Lowest frequency, in Hz."""
    fmax: float | None = None
    """Highest frequency, in Hz; half the sample rate when not given."""
    top_db: float = 80.0
    """Range below the segment's peak that is kept, in dB; what is quieter becomes black."""

    def __post_init__(self) -> None:
        require(self.sample_rate > 0, f"sample_rate is {self.sample_rate}, but must be positive (Hz, not kHz)")
        require(self.sample_rate >= 1000, f"sample_rate is {self.sample_rate} Hz; did you mean {self.sample_rate}000?")
        within("sample_rate", self.sample_rate, 1000, MAX_RATE)
        within("n_fft", self.n_fft, 16, 1 << 20)
        require(self.n_fft % 2 == 0, f"n_fft is {self.n_fft}, but must be even")
        require(self.hop_length > 0, f"hop_length is {self.hop_length}, but must be positive (samples, not seconds)")
        require(
            self.hop_length <= self.n_fft,
            f"hop_length is {self.hop_length}, but must not exceed n_fft ({self.n_fft}), or sound between is lost",
        )
        within("n_mels", self.n_mels, 1, 4096)
        within("top_db", self.top_db, 1, 300)
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
    """What becomes of the tail, which is left after the last full segment: `shift` moves a last full segment back to
    end with the clip, `pad` fills it with silence, `drop` leaves it out. A tail shorter than `min_tail` is always left
    out."""
    min_tail: float = 0.5
    """Shortest tail that still makes a segment under `shift` and `pad`, as a share of a segment."""
    short: Literal["pad", "repeat", "fail"] = "pad"
    """What becomes of a clip shorter than one segment: filled up with silence, repeated, or reported as failed."""
    min_seconds: float = 0.5
    """Clips shorter than this many seconds are reported as failed (`too-short`)."""

    def __post_init__(self) -> None:
        within("seconds", self.seconds, 0.01, MAX_SECONDS)
        require(0 <= self.overlap < 1, f"overlap is {self.overlap}, but must be a share from 0 up to 1 (0.5 = half)")
        require(
            self.seconds * (1 - self.overlap) > 0.0099,
            f"segments of {self.seconds:g} s that overlap by {self.overlap:g} start less than 0.01 s apart",
        )
        require(0 < self.min_tail <= 1, f"min_tail is {self.min_tail}, but must be a share above 0 and up to 1")
        within("min_seconds", self.min_seconds, 0, MAX_SECONDS)


@dataclass(frozen=True, kw_only=True)
class RenderConfig(Config):
    """Everything that decides what a spectrogram image looks like; its id names their folder."""

    mel: MelConfig = field(default_factory=MelConfig)
    segment: SegmentConfig = field(default_factory=SegmentConfig)


@dataclass(frozen=True, kw_only=True)
class SplitConfig(Config):
    """How clips are divided into training, validation and test sets."""

    by: Literal["group", "clip", "segment", "official"] = "group"
    """What stays whole: a `group` (song, album, recording), a `clip`, or only a `segment` (LEAKY: for showing what a
    leak does); `official` takes the `fold` column as it stands."""
    test: float = 0.2
    """Share of the clips in the test set (ignored with `folds`)."""
    val: float = 0.1
    """Share of the clips in the validation set."""
    folds: int = 0
    """Number of cross-validation folds; 0 makes one holdout split."""
    seed: int = 0
    """Seed of the assignment."""

    def __post_init__(self) -> None:
        require(0 < self.test < 1, f"test is {self.test}, but must be a share between 0 and 1 (0.2 = 20 %)")
        require(0 <= self.val < 1, f"val is {self.val}, but must be a share from 0 up to 1 (0.1 = 10 %)")
        require(self.test + self.val < 1, f"test + val is {self.test + self.val:g}, which leaves nothing to train on")
        require(self.folds == 0 or self.folds >= 2, f"folds is {self.folds}, but must be 0 (holdout) or at least 2")
        within("folds", self.folds, 0, 1000)
        require_seed(self.seed)


@dataclass(frozen=True, kw_only=True)
class FinetuneConfig(Config):
    """How a model is trained: first the head on a frozen backbone, then the layers behind it at a lower rate."""

    frozen_epochs: int = 30
    """Epochs of the head alone while the backbone is frozen (from cached features); 0 trains all layers at once. The
    head `multi` is solved exactly in their place."""
    epochs: int | None = None
    """Epochs of all layers: of fine-tuning after the frozen stage, or of a network trained from scratch. 0 leaves the
    backbone frozen. By default 10 for fine-tuning and 30 from scratch, or more where those are less than `min_steps`
    steps."""
    min_steps: int = 1000
    """Steps that all layers are trained for at least where no number of `epochs` is given: ten epochs of a few hundred
    segments are too few to learn from."""
    unfreeze: int = 0
    """Number of last stages of the backbone that are fine-tuned; 0 = all layers."""
    cache_finetune: bool = False
    """With `unfreeze`, fine-tune on cached inputs of those stages, from `views` of each image, instead of on images
    augmented anew in each epoch: several times as fast, with less variety."""
    lr: float = 1e-3
    """Learning rate of the head, and of a network trained from scratch."""
    finetune_lr: float = 3e-4
    """Learning rate of the last layer while fine-tuning."""
    layer_decay: float = 1.0
    """Factor on the rate from each layer to the one before it while fine-tuning; 1 = the same rate everywhere."""
    batch_size: int = 16
    """Segments per step while images are the input."""
    head_batch_size: int = 64
    """Segments per step while cached features are the input."""
    weight_decay: float = 0.01
    """Decoupled weight decay (AdamW); biases and normalization are left alone."""
    label_smoothing: float = 0.1
    """Share of probability that the target gives to the other classes."""
    warmup_ratio: float = 0.1
    """Share of a stage's steps over which the learning rate rises from zero."""
    lr_schedule: Literal["cosine", "constant", "plateau"] = "cosine"
    """Learning-rate schedule after the warm-up; `plateau` has no warm-up, and divides the rate by ten when the
    validation score has not risen for half of `patience` epochs."""
    grad_clip: float = 5.0
    """Largest norm of the gradient; a larger one is scaled down. 0 = never."""
    ema_decay: float = 0.0
    """Decay of a moving average of the weights that is used instead of them; 0 = none, 0.999 is usual."""
    freeze_bn: bool | None = None
    """Keep the statistics of batch normalization as they are while fine-tuning. Those of photographs do not suit
    spectrograms, but batches of less than about eight make poor ones. By default only under the head `multi`, whose
    solution holds for them alone."""
    balance: Literal["none", "weights", "sampler", "focal"] = "weights"
    """Against class imbalance: weights in the loss, drawing rare classes more often, or the focal loss."""
    augment: Literal["none", "light", "strong"] = "light"
    """Spectrogram-safe augmentation of the images (never flips)."""
    mixup: float = 0.3
    """Alpha of the Beta distribution that mixes pairs of spectrograms; 0 = never."""
    cutmix: float = 0.3
    """Alpha of the Beta distribution that joins pairs of spectrograms along time; 0 = never. With `mixup` too, each
    batch is given one of the two by chance."""
    views: int = 1
    """Augmented views of each image in the feature cache; 1 = the plain image only."""
    patience: int = 0
    """Epochs without a better validation score after which a stage ends; 0 = never."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """Arithmetic: `auto` is bf16 on GPUs that have it, else fp16 on GPUs, fp32 on CPUs."""
    compile: bool = False
    """Compile the model before fine-tuning: pays on a GPU over many epochs."""
    baseline: bool = True
    """Also train a random forest on cepstral coefficients, in seconds, and record its validation accuracy: what a
    network has to beat."""
    device: str = "auto"
    """`auto`, `cpu`, `cuda` or `mps`."""
    seed: int = 0
    """Seed of initial weights, order, dropout and augmentation."""

    def __post_init__(self) -> None:
        within("frozen_epochs", self.frozen_epochs, 0, MAX_EPOCHS)
        within("epochs", self.epochs or 0, 0, MAX_EPOCHS)
        require(
            self.frozen_epochs > 0 or self.epochs != 0, "frozen_epochs and epochs are both 0: nothing would be trained"
        )
        within("min_steps", self.min_steps, 0, 10_000_000)
        within("batch_size", self.batch_size, 1, 1 << 16)
        within("head_batch_size", self.head_batch_size, 1, 1 << 20)
        require(0 < self.lr < 1 and 0 < self.finetune_lr < 1, "lr and finetune_lr must lie between 0 and 1 (say 1e-3)")
        require(0 < self.layer_decay <= 1, f"layer_decay is {self.layer_decay}, but must lie above 0 and up to 1")
        within("weight_decay", self.weight_decay, 0, 10)
        require(
            0 <= self.label_smoothing < 1, f"label_smoothing is {self.label_smoothing}, but must lie from 0 up to 1"
        )
        require(0 <= self.warmup_ratio < 1, f"warmup_ratio is {self.warmup_ratio}, but must be a share from 0 up to 1")
        require(0 <= self.ema_decay < 1, f"ema_decay is {self.ema_decay}, but must be a decay from 0 up to 1")
        within("grad_clip", self.grad_clip, 0, 1e6)
        within("mixup", self.mixup, 0, 100)
        within("cutmix", self.cutmix, 0, 100)
        within("views", self.views, 1, 1000)
        within("unfreeze", self.unfreeze, 0, 1000)
        within("patience", self.patience, 0, MAX_EPOCHS)
        require_seed(self.seed)
        require(
            not self.cache_finetune or self.unfreeze > 0,
            "cache_finetune needs a number of last stages in unfreeze, for nothing is cached in front of all layers",
        )


@dataclass(frozen=True, kw_only=True)
class ModelConfig(Config):
    """Which network maps images to classes; together with classes and image shape it decides the architecture."""

    name: str = "mobilenetv2_100"
    """A timm backbone (`resnet50`, `mobilenetv2_100`, `vgg16`, `tf_efficientnet_lite0`, ...) or an own network
    (`cnn5`, ...); `spectro models list` lists them."""
    head: str = "auto"
    """What turns the backbone's feature map into class scores: `linear`, `mlp`, `conv`, `gem`, or `multi`, which reads
    statistics of several stages; `auto` is `linear` for a timm backbone and the network's own for the others."""
    stages: int = 5
    """Number of last stages of a timm backbone whose maps the head `multi` reads; 0 = all."""
    stage_values: int = 1024
    """Most numbers that the head `multi` reads of one stage: mean and deviation of each channel in as many frequency
    bands as that allows."""
    in_chans: Literal[1, 3] = 1
    """Channels that a timm backbone is fed: the grey image as it is, or copied into three. Own networks take 1."""
    dropout: float = 0.2
    """Share of the features that the head drops while training; an own network's own head has its study's."""
    hidden: int = 256
    """Width of the hidden layer of the heads `mlp` and `conv`."""

    def __post_init__(self) -> None:
        require(0 <= self.dropout < 1, f"dropout is {self.dropout}, but must be a share from 0 up to 1")
        within("hidden", self.hidden, 1, 1 << 16)
        within("stages", self.stages, 0, 1000)
        within("stage_values", self.stage_values, 1, 1 << 16)
        require(self.name != "", "name is empty; `spectro models list` lists what there is")
        require(self.in_chans in (1, 3), f"in_chans is {self.in_chans}, but must be 1 or 3")
        require(0 <= self.dropout < 1, f"dropout is {self.dropout}, but must be a share from 0 up to 1 (0.2 = 20 %)")
        require(self.hidden >= 1, f"hidden is {self.hidden}, but must be at least 1")


@dataclass(frozen=True, kw_only=True)
class ClassicalConfig(Config):
    """How a classical model is fitted."""

    search: bool = True
    """Try all settings of the model's search space, or only take the first of each."""
    folds: int = 3
    """Cross-validation folds of the search; no group is in two of them."""
    seed: int = 0
    """Seed of the folds and of models that draw."""

    def __post_init__(self) -> None:
        within("folds", self.folds, 2, 1000)
        require_seed(self.seed)
