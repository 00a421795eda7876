"""Heads: layers from a feature map to class scores, each usable behind every backbone."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from spectro.core.config import ModelConfig
from spectro.core.registry import Registry

MapShape = tuple[int, ...]
"""Channels, height and width of the feature map."""
MakeHead = Callable[[MapShape, int, ModelConfig], nn.Module]

HEADS: Registry[MakeHead] = Registry("head")
"""Heads by name: functions of the feature map's shape, the number of classes and the settings."""


class Pooled(nn.Module):
    """A head that reads only the mean of the feature map over bands and frames.

    `pooled = True` tells a cache that it may store that mean, as a map `[batch, channels, 1, 1]`, instead of the map.
    """

    pooled = True

    def __init__(self, layers: nn.Module) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, maps: Tensor) -> Tensor:
        """Return logits `[batch, classes]` of feature maps `[batch, channels, h, w]`."""
        logits: Tensor = self.layers(maps.mean(dim=(2, 3)))
        return logits


@HEADS.add("linear")
def linear(maps: MapShape, classes: int, config: ModelConfig) -> nn.Module:
    """Global average, dropout, one linear layer."""
    return Pooled(nn.Sequential(nn.Dropout(config.dropout), nn.Linear(maps[0], classes)))


@HEADS.add("mlp")
def mlp(maps: MapShape, classes: int, config: ModelConfig) -> nn.Module:
    """Global average, one hidden layer, dropout before and after it; its L2 penalty is the optimizer's weight decay."""
    hidden = (nn.Dropout(config.dropout), nn.Linear(maps[0], config.hidden), nn.ReLU())
    return Pooled(nn.Sequential(*hidden, nn.Dropout(config.dropout), nn.Linear(config.hidden, classes)))


class Standardize(nn.Module):
    """Shift and scale each number so that the training items have mean 0 and deviation 1; saved with the weights."""

    mean: Tensor
    scale: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("scale", torch.ones(size))

    def forward(self, inputs: Tensor) -> Tensor:
        """Return `(inputs - mean) * scale` of `[batch, size]`."""
        return (inputs - self.mean) * self.scale


@HEADS.add("multi")
class Multi(nn.Module):
    """Standardized numbers, those of several stages of a backbone (`StageStatistics`), dropout, one linear layer."""

    pooled = True

    def __init__(self, maps: MapShape, classes: int, config: ModelConfig) -> None:
        super().__init__()
        self.standardize = Standardize(maps[0])
        self.dropout = nn.Dropout(config.dropout)
        self.linear = nn.Linear(maps[0], classes)

    def forward(self, maps: Tensor) -> Tensor:
        """Return logits `[batch, classes]` of feature maps `[batch, channels, h, w]`, of which the mean is read."""
        logits: Tensor = self.linear(self.dropout(self.standardize(maps.mean(dim=(2, 3)))))
        return logits


@HEADS.add("gem")
class Gem(nn.Module):
    """Generalized mean with a learnt power: between the average (1) and the maximum (many).

    Radenovic et al., Fine-tuning CNN Image Retrieval with No Human Annotation, 2018.
    """

    def __init__(self, maps: MapShape, classes: int, config: ModelConfig) -> None:
        super().__init__()
        self.power = nn.Parameter(torch.tensor(3.0))
        self.layers = nn.Sequential(nn.Dropout(config.dropout), nn.Linear(maps[0], classes))

    def forward(self, maps: Tensor) -> Tensor:
        """Return logits `[batch, classes]` of feature maps `[batch, channels, h, w]`; what is negative counts as 0."""
        power = self.power.clamp(min=1)
        mean = maps.clamp(min=1e-4).pow(power).mean(dim=(2, 3)).pow(1 / power)
        logits: Tensor = self.layers(mean)
        return logits


@HEADS.add("conv")
class ConvAttention(nn.Module):
    """Convolution over the map, mean over frequency, and a learnt attention that weighs the frames."""

    def __init__(self, maps: MapShape, classes: int, config: ModelConfig) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(maps[0], config.hidden, 3, padding=1, bias=False), nn.BatchNorm2d(config.hidden), nn.ReLU()
        )
        self.attention = nn.Conv1d(config.hidden, 1, 1)
        self.layers = nn.Sequential(nn.Dropout(config.dropout), nn.Linear(config.hidden, classes))

    def forward(self, maps: Tensor) -> Tensor:
        """Return logits `[batch, classes]` of feature maps `[batch, channels, h, w]`."""
        frames = self.conv(maps).mean(dim=2)  # [batch, hidden, w]
        weights = self.attention(frames).softmax(dim=2)
        logits: Tensor = self.layers((frames * weights).sum(dim=2))
        return logits


@HEADS.add("flatten")
def flatten(maps: MapShape, classes: int, config: ModelConfig) -> nn.Module:
    """One hidden layer over the whole map as one vector, as in VGG: large, and tied to one input size."""
    return dense(maps, classes, [config.hidden], dropout=config.dropout)


def dense(maps: MapShape, classes: int, widths: Sequence[int], *, dropout: float) -> nn.Sequential:
    """Return a head over the whole map as one vector: linear-ReLU-dropout for each width, then a linear layer.

    Parameters
    ----------
    maps
        Channels, height and width of the feature map.
    classes
        Number of classes.
    widths
        Width of each hidden layer.
    dropout
        Share dropped after each hidden layer.
    """
    sizes = [math.prod(maps), *widths]
    hidden = [(nn.Linear(a, b), nn.ReLU(), nn.Dropout(dropout)) for a, b in itertools.pairwise(sizes)]
    return nn.Sequential(nn.Flatten(), *itertools.chain.from_iterable(hidden), nn.Linear(sizes[-1], classes))
