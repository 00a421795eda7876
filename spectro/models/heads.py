"""Heads: what turns a feature map into class scores, each usable behind every backbone."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from spectro.core.config import ModelConfig
from spectro.core.registry import Registry

MakeHead = Callable[[int, int, ModelConfig], nn.Module]

HEADS: Registry[MakeHead] = Registry("head")
"""Heads by name: functions of the feature map's channels, the number of classes and the configuration."""


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
def linear(channels: int, classes: int, config: ModelConfig) -> nn.Module:
    """Global average, dropout, one linear layer."""
    return Pooled(nn.Sequential(nn.Dropout(config.dropout), nn.Linear(channels, classes)))
