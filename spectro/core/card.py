"""The card of a run: everything that is needed to use the model again, as frozen records that are read strictly."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from spectro.core.config import ClassicalConfig, FinetuneConfig, ModelConfig, RenderConfig, SegmentConfig, require
from spectro.core.openset import OpenSetFacts
from spectro.core.records import Record
from spectro.core.tables import SplitStatistics, Subset

MAX_CLASSES = 100_000
MAX_SIDE = 65_536
"""Most bands, frames or values of one input."""


@dataclass(frozen=True, kw_only=True)
class FeatureFacts(Record):
    """What the model is fed, and the settings that compute it."""

    name: str
    """Name in `FEATURES`; `mel` is the mel-spectrogram images."""
    kind: str
    """`frames` (`[bands, frames]`) or `vector` (`[values]`)."""
    config_id: str
    """Id of the settings."""
    config: Mapping[str, Any]
    """The settings, as `RenderConfig.to_dict` or `Extraction.to_dict` returned them."""

    def __post_init__(self) -> None:
        require(self.kind in ("frames", "vector"), f"feature.kind is '{self.kind}', but must be frames or vector")
        require("segment" in self.config, "feature.config has no 'segment'")
        if self.is_image:
            wanted = self.render_config.config_id()
            require(self.config_id == wanted, f"feature.config_id is {self.config_id}, but its settings have {wanted}")
        self.segment  # noqa: B018  # raises when it does not fit

    @property
    def is_image(self) -> bool:
        """Whether the model looks at rendered spectrogram images."""
        return self.name == "mel"

    @property
    def render_config(self) -> RenderConfig:
        """The settings of the images; raises ConfigError when the feature is another."""
        require(self.is_image, f"the model is fed the feature '{self.name}', not spectrogram images")
        return RenderConfig.from_dict(self.config)

    @property
    def segment(self) -> SegmentConfig:
        """How clips are cut."""
        return SegmentConfig.from_dict(self.config["segment"])


@dataclass(frozen=True, kw_only=True)
class SplitFacts(Record):
    """The split that the model was trained and tested on."""

    name: str
    title: str
    """The name, with ` (LEAKY)` behind it when it leaks."""
    by: str
    """What stays whole: `group`, `clip`, `segment` or `official`."""
    sha256: str
    """Hash of the assignment."""
    leaky: bool
    statistics: SplitStatistics
    segments: Mapping[Subset, int]
    """Number of segments in each subset."""


@dataclass(frozen=True, kw_only=True)
class DataFacts(Record):
    """The data folder that the model learned from."""

    path: str
    config_id: str
    """Id of the settings of its spectrograms."""
    clips: int
    segments: int
    groups: int
    labels: Mapping[str, int]
    """Number of clips of each class."""
    edited: bool = False
    """Whether labels, groups or folds in `clips.csv` were edited since rendering."""
    decoders: Mapping[str, int] = field(default_factory=dict)
    """Number of clips by the decoder that read them, such as `libsndfile 1.2.2`."""


@dataclass(frozen=True, kw_only=True)
class WeightsFacts(Record):
    """Where the first weights of a network came from."""

    origin: str
    """A package, a file, the hub or a cache; `random` for random weights, `none` for a classical model."""
    file: str
    """Name of the file."""
    sha256: str
    licence: str
    """Empty where it is not known."""
    citation: str = ""
    """Publication that describes them; empty where none is known."""


@dataclass(frozen=True, kw_only=True)
class ModelFacts(Record):
    """The model itself: a network, or a classical classifier."""

    name: str
    parameters: int | None
    """Number of weights of a network."""
    network: ModelConfig | None
    """Settings of a network."""
    settings: Mapping[str, Any]
    """Chosen settings of a classical model."""


@dataclass(frozen=True, kw_only=True)
class GridSearchFacts(Record):
    """How the settings of a classical model were chosen."""

    folds: int
    tried: int
    accuracy: float | None
    """Mean accuracy of the chosen settings in the folds, 0..1; None where nothing was searched."""


@dataclass(frozen=True, kw_only=True)
class HistoryFacts(Record):
    """How the training went."""

    seconds: float
    finetune_starts: int | None
    """First epoch of fine-tuning, if there was one."""
    best_epoch: int | None
    """The epoch whose weights were kept."""
    search: GridSearchFacts | None
    warnings: tuple[str, ...]
    """What the training or its libraries warned of, one line each."""
    baseline: float | None = None
    """Validation accuracy of clips, 0..1, that a random forest on cepstral coefficients reaches on the same split."""
    best_share: float = 1.0
    """How far the kept weights are from the start of fine-tuning to that epoch, 0..1; 1 for those of the epoch."""

    @classmethod
    def _required(cls) -> tuple[str, ...]:
        return tuple(name for name in super()._required() if name != "best_share")  # only fine-tuning has one


@dataclass(frozen=True, kw_only=True)
class Member(Record):
    """One member of an ensemble."""

    path: str
    """Its run folder, relative to that of the ensemble."""
    name: str
    weight: float | tuple[float, ...] | None
    """Its share: one number, or one per class; None under stacking."""

    def __post_init__(self) -> None:
        require(self.path not in ("", "."), "a member's path is the ensemble itself")


def _are_all(members: Sequence[Member]) -> bool:
    """Tell whether the shares of members add up to 1, in each class; under stacking there are none to add."""
    weights = [member.weight for member in members if member.weight is not None]
    if not weights:
        return True
    shares = [weight if isinstance(weight, tuple) else (weight,) for weight in weights]
    even = len(shares) == len(members) and len(set(map(len, shares))) == 1
    return even and all(math.isclose(math.fsum(column), 1, abs_tol=1e-6) for column in zip(*shares, strict=True))


@dataclass(frozen=True, kw_only=True)
class Combination(Record):
    """A way from the probabilities of members, `[members, items, classes]`, to those of the ensemble."""

    vote: str = "soft"
    """Rule by which members decide, as segments of a clip would (one of `VOTES`)."""
    weights: tuple[float, ...] | tuple[tuple[float, ...], ...] = ()
    """A weight per member, or per member and class; none for equal ones."""
    coefficients: tuple[tuple[float, ...], ...] = ()
    """Of stacking: `[classes, members * classes]`, applied to the members' log-probabilities."""
    intercept: tuple[float, ...] = ()
    """Of stacking: `[classes]`."""

    def __post_init__(self) -> None:
        rows = [row if isinstance(row, tuple) else (row,) for row in self.weights]
        even = len(set(map(len, rows))) <= 1
        totals = [sum(column) for column in zip(*rows, strict=True)] if even else [0.0]
        require(
            not rows or (all(math.isfinite(one) and one >= 0 for row in rows for one in row) and min(totals) > 0),
            f"weights are {self.weights}, but must not be negative, and not all 0",
        )


@dataclass(frozen=True, kw_only=True)
class SelectionFacts(Record):
    """Which members ensemble selection kept, and how optimistic choosing makes it."""

    chosen: tuple[str, ...]
    left_out: tuple[str, ...]
    losses: tuple[float, ...]
    """Log loss on validation after each member was taken."""
    held_out: float
    """Log loss on validation clips that had no part in the choice."""
    optimism: float
    """`held_out` less the last of `losses`."""


@dataclass(frozen=True, kw_only=True)
class RuleFacts(Record):
    """How one way of combining did in a cross-validation on validation."""

    rule: str
    accuracy: float | None
    log_loss: float | None
    impossible: str
    """Why it could not be tried; empty where it was."""


@dataclass(frozen=True, kw_only=True)
class Card(Record):
    """What a run folder says of its model. Predict, evaluate, export and serve read settings from here only."""

    name: str
    kind: str
    """`torch`, `sklearn` or `ensemble`: which classifier reads it."""
    labels: tuple[str, ...]
    """Class names, in the order of the outputs."""
    split: SplitFacts
    data: DataFacts
    vote: str = "soft"
    """Rule by which the segments of a clip decide."""
    temperature: float = 1.0
    """Temperature of voted probabilities, fitted on validation; 1 leaves them as they are."""
    openset: OpenSetFacts | None = None
    """How sounds of no known class are recognized; None where `spectro openset` was not run."""
    feature: FeatureFacts | None = None
    """None for an ensemble, whose members have their own."""
    input: tuple[int, int] | None = None
    """Bands and frames of one input; a vector has one frame."""
    model: ModelFacts | None = None
    weights: WeightsFacts | None = None
    training: FinetuneConfig | None = None
    """How a network was trained."""
    fitting: ClassicalConfig | None = None
    """How a classical model was fitted."""
    seed: int = 0
    history: HistoryFacts | None = None
    members: tuple[Member, ...] = ()
    combination: Combination | None = None
    selection: SelectionFacts | None = None
    rules: tuple[RuleFacts, ...] = ()
    double_fault: tuple[tuple[float, ...], ...] = ()
    """How often two members err together on validation, `[members, members]`."""
    generation: str = ""
    """Folder inside the run that holds the files of an ensemble that was made again; empty for the run's own."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Checksum of every other file of the run that the model consists of, by name."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Versions of Python, the platform and the packages that compute."""
    command: str = ""
    """Command line that made the run, if it was one."""

    def __post_init__(self) -> None:
        require(1 <= len(self.labels) <= MAX_CLASSES, f"labels are {len(self.labels)}, but must be 1 to {MAX_CLASSES}")
        require(len(set(self.labels)) == len(self.labels), "labels has a name twice")
        require(0.01 <= self.temperature <= 100, f"temperature is {self.temperature}, but must lie from 0.01 to 100")
        for side in self.input or ():
            require(1 <= side <= MAX_SIDE, f"input has a side of {side}, but must lie from 1 to {MAX_SIDE}")
        if self.is_ensemble:
            require(bool(self.members) and self.combination is not None, "an ensemble needs members and combination")
            require(_are_all(self.members), "members have shares that do not add up to 1, so one is missing")
        else:
            require(self.feature is not None and self.input is not None, "a model needs feature and input")
        for name in (*self.files, *([self.generation] if self.generation else [])):
            require(PurePath(name).name == name != "..", f"'{name}' is not the name of a file in the run's own folder")

    @property
    def is_ensemble(self) -> bool:
        """Whether members decide together."""
        return self.kind == "ensemble"

    def of_model(self) -> tuple[FeatureFacts, tuple[int, int]]:
        """Return the feature and the input shape of a single model; raises ConfigError for an ensemble."""
        require(self.feature is not None and self.input is not None, f"'{self.name}' is an ensemble, not one model")
        return self.feature, self.input  # type: ignore[return-value]  # checked above
