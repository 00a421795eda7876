"""The parts of every torch model: normalization, a backbone to a feature map, a head to class scores."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, cast

import torch
from torch import Tensor, nn

from spectro.core.config import ModelConfig
from spectro.core.errors import ConfigError, first_line
from spectro.core.registry import Registry
from spectro.models.heads import HEADS
from spectro.models.stage_statistics import StageStatistics


class Normalize(nn.Module):
    """Shift and scale inputs by numbers that are saved with the weights, so that serving uses those of training.

    Notes
    -----
    input `[batch, 1, bands, frames]`, 0..1; `mean` and `std` `[channels, 1, 1]`; output `[batch, channels, bands,
    frames]`: with three channels the grey image is copied into each.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1))

    def refit(self, mean: float, std: float) -> None:
        """Set other numbers for every channel: those of features, which have units of their own."""
        self.mean.fill_(mean)
        self.std.fill_(std)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return `(inputs - mean) / std`."""
        return (inputs - self.mean) / self.std


class Standardize(nn.Module):
    """Shift and scale each band by the mean and standard deviation of the training set, learnt while training.

    For networks whose input features have different units. Batch normalization without parameters: batches are
    scaled by their own numbers while training, and by the average over all batches seen afterwards.
    """

    def __init__(self, bands: int) -> None:
        super().__init__()
        # No momentum: the plain average over batches. A small eps, so that bands of a small unit count as much.
        self.norm = nn.BatchNorm1d(bands, affine=False, momentum=None, eps=1e-10)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return `[batch, 1, bands, frames]`, standardized band by band."""
        return self.norm(inputs.squeeze(1)).unsqueeze(1)  # type: ignore[no-any-return]


class Staged(Protocol):
    """A backbone that gives the maps of all of its stages."""

    def stage_maps(self, inputs: Tensor) -> tuple[Tensor, ...]:
        """Return the map of every stage from input to output, each `[batch, channels, h, w]`."""


class Network(nn.Module):
    """A classifier of spectrograms and other features.

    Notes
    -----
    `forward`: `[batch, 1, bands, frames]` float, 0..1 -> logits `[batch, classes]`;
    `maps`: -> the feature maps that the head looks at, one or those of several stages, `[batch, channels, h, w]` each;
    `features`: -> what `head` reads: the one map, or the statistics of several as a map `[batch, size, 1, 1]`.
    """

    def __init__(
        self, *, normalize: nn.Module, backbone: nn.Module, head: nn.Module, stages: Sequence[nn.Module] | None = None
    ) -> None:
        super().__init__()
        self.normalize = normalize
        self.backbone = backbone
        self.head = head
        self._stages = list(backbone.children()) if stages is None else list(stages)  # a plain list: names stay single

    def features(self, inputs: Tensor) -> Tensor:
        """Return what the head reads, `[batch, channels, h, w]`: the backbone's map, or statistics of several."""
        features: Tensor = self.backbone(self.normalize(inputs))
        return features

    def maps(self, inputs: Tensor) -> tuple[Tensor, ...]:
        """Return the feature maps behind `features`, from input to output, each `[batch, channels, h, w]`."""
        statistics = self.statistics
        if statistics is None:
            return (self.features(inputs),)
        return statistics.chosen(cast(Staged, self.backbone).stage_maps(self.normalize(inputs)))

    def summed_up(self, maps: tuple[Tensor, ...]) -> Tensor:
        """Return the `features` that belong to `maps`."""
        return maps[0] if self.statistics is None else cast(Tensor, self.statistics(maps))

    @property
    def statistics(self) -> StageStatistics | None:
        """What the backbone makes of the maps of several stages, if it does."""
        return cast("StageStatistics | None", getattr(self.backbone, "statistics", None))

    def forward(self, inputs: Tensor) -> Tensor:
        """Return logits, `[batch, classes]`."""
        logits: Tensor = self.head(self.features(inputs))
        return logits

    def undecayed(self) -> frozenset[nn.Parameter]:
        """Return the parameters of the backbone to be trained without weight decay, besides biases and such."""
        return frozenset(getattr(self.backbone, "undecayed", frozenset)())

    def stages(self) -> list[nn.Module]:
        """Return the parts of the backbone that hold parameters, from input to output, each parameter in one part."""
        return [stage for stage in self._stages if any(True for _ in stage.parameters())]


Build = Callable[[ModelConfig, int, tuple[int, int]], Network]
"""From the settings, the number of classes and the input's (bands, frames) to a network."""


@dataclass(frozen=True, kw_only=True)
class Design:
    """One of our own networks."""

    build: Build
    """Makes it."""
    input: str
    """What it is meant for, with the axes: `MFCC [coefficients, frames]`."""
    source: str
    """Where it comes from."""


NETWORKS: Registry[Design] = Registry("model")
"""Our own networks by name."""


def make_head(config: ModelConfig, maps: tuple[int, ...], classes: int, own: Callable[[], nn.Module]) -> nn.Module:
    """Return the head that `config` names for feature maps of shape `maps`; `auto` is the network's own."""
    return own() if config.head == "auto" else HEADS[config.head](maps, classes, config)


def convolutions(channels: int, block: Sequence[int], kernel: int) -> tuple[list[nn.Module], int]:
    """Return convolutions over frames with ReLU, and the number of channels after them.

    Parameters
    ----------
    channels
        Number of channels before the first.
    block
        Number of filters of each convolution.
    kernel
        Length of the kernels, in frames.
    """
    layers: list[nn.Module] = []
    for filters in block:
        layers += [nn.Conv1d(channels, filters, kernel), nn.ReLU()]
        channels = filters
    return layers, channels


def misfit(given: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> str:
    """Return the first thing in which weights differ from those that fit, by name and shape; empty where they fit.

    Parameters
    ----------
    given
        Weights of a file.
    wanted
        Those of the network.
    """
    for problem, names in (("lacks", wanted.keys() - given.keys()), ("also has", given.keys() - wanted.keys())):
        if names:
            return f"it {problem} {first_of(names)}"
    for name, tensor in wanted.items():
        if given[name].shape != tensor.shape:
            return f"'{name}' is {list(given[name].shape)} there, but {list(tensor.shape)} here"
    return ""


def first_of(names: Collection[str]) -> str:
    """Name the first of several weights, and how many more there are."""
    return f"'{min(names)}'" + (f" and {len(names) - 1} more" if len(names) > 1 else "")


def feature_map_shape(backbone: nn.Module, channels: int, shape: tuple[int, int], name: str) -> tuple[int, ...]:
    """Return the shape `[channels, h, w]` of the feature map of one input.

    Parameters
    ----------
    backbone
        The layers up to the feature map.
    channels
        Number of channels of the input.
    shape
        Bands and frames of the input.
    name
        Name of the model, for messages.

    Raises
    ------
    ConfigError
        the backbone cannot take inputs of that shape, or gives no feature map.
    """
    was_training = backbone.training
    backbone.eval()
    try:
        with torch.no_grad():
            maps = backbone(torch.zeros(1, channels, *shape))
    except (RuntimeError, AssertionError, ValueError) as error:
        bands, frames = shape
        reason = first_line(error)
        raise ConfigError(f"'{name}' cannot take inputs of {bands} bands x {frames} frames: {reason}") from error
    backbone.train(was_training)
    if not isinstance(maps, Tensor) or maps.ndim != 4:
        raise ConfigError(f"'{name}' gives no feature map [batch, channels, height, width], which its head needs")
    return tuple(maps.shape[1:])
