"""Convolutional networks over bands and frames, trained from scratch."""

from __future__ import annotations

import itertools

from torch import nn

from spectro.core.config import ModelConfig
from spectro.models.heads import HEADS
from spectro.models.network import NETWORKS, Network, Normalize, probe


def block(channels: int, filters: int) -> nn.Sequential:
    """Return convolution 3x3, batch normalization, ReLU and a pool that halves bands and frames."""
    return nn.Sequential(
        nn.Conv2d(channels, filters, 3, padding=1, bias=False), nn.BatchNorm2d(filters), nn.ReLU(), nn.MaxPool2d(2)
    )


@NETWORKS.add("cnn5")
def cnn5(config: ModelConfig, classes: int, shape: tuple[int, int]) -> Network:
    """Five blocks that double the filters while they halve the picture, and a head from the registry."""
    widths = (1, 16, 32, 64, 128, 256)
    backbone = nn.Sequential(*(block(a, b) for a, b in itertools.pairwise(widths)))
    probe(backbone, 1, shape, config.name)
    head = HEADS["linear" if config.head == "auto" else config.head](widths[-1], classes, config)
    return Network(normalize=Normalize([0.5], [0.25]), backbone=backbone, head=head)
