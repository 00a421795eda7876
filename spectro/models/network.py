"""The shape of every torch model: normalize, backbone to a feature map, head to class scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from spectro.core.config import ModelConfig
from spectro.core.errors import ConfigError
from spectro.core.registry import Registry
from spectro.models.heads import HEADS


class Normalize(nn.Module):
    """Shift and scale pictures; the numbers are part of the saved weights, so that serving uses those of training.

    Shape
    -----
    input `[batch, 1, bands, frames]`, 0..1; `mean` and `std` `[channels, 1, 1]`; output `[batch, channels, bands,
    frames]`: with three channels the grey picture is copied into each.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1))

    def refit(self, mean: float, std: float) -> None:
        """Take other numbers for every channel: those of features, which have units of their own."""
        self.mean.fill_(mean)
        self.std.fill_(std)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return `(pictures - mean) / std`."""
        return (pictures - self.mean) / self.std


class Standardize(nn.Module):
    """Shift and scale each band by the mean and deviation of the training pictures, learnt while training.

    For networks that eat features of different units. Batch normalization without parameters: batches are scaled by
    their own numbers while training, and by the average over all batches seen afterwards.
    """

    def __init__(self, bands: int) -> None:
        super().__init__()
        # No momentum: the plain average over batches. A small eps, so that bands of a small unit count as much.
        self.norm = nn.BatchNorm1d(bands, affine=False, momentum=None, eps=1e-10)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return `[batch, 1, bands, frames]`, standardized band by band."""
        return self.norm(pictures.squeeze(1)).unsqueeze(1)  # type: ignore[no-any-return]


class Network(nn.Module):
    """A classifier of pictures.

    Shape
    -----
    `forward`: `[batch, 1, bands, frames]` float, 0..1 -> logits `[batch, classes]`;
    `features`: -> feature map `[batch, channels, h, w]`, what `head` reads.
    """

    def __init__(
        self, *, normalize: nn.Module, backbone: nn.Module, head: nn.Module, stages: Sequence[nn.Module] | None = None
    ) -> None:
        super().__init__()
        self.normalize = normalize
        self.backbone = backbone
        self.head = head
        self._stages = list(backbone.children()) if stages is None else list(stages)  # a plain list: names stay single

    def features(self, pictures: Tensor) -> Tensor:
        """Return the backbone's feature map, `[batch, channels, h, w]`."""
        maps: Tensor = self.backbone(self.normalize(pictures))
        return maps

    def forward(self, pictures: Tensor) -> Tensor:
        """Return logits, `[batch, classes]`."""
        logits: Tensor = self.head(self.features(pictures))
        return logits

    def stages(self) -> list[nn.Module]:
        """Return the parts of the backbone that hold parameters, from input to output, each parameter in one part."""
        return [stage for stage in self._stages if any(True for _ in stage.parameters())]


Build = Callable[[ModelConfig, int, tuple[int, int]], Network]
"""Makes a network from the configuration, the number of classes and the pictures' (bands, frames)."""


@dataclass(frozen=True, kw_only=True)
class Design:
    """An own network: how it is built, what it is meant to eat, and where it comes from."""

    build: Build
    eats: str
    source: str


NETWORKS: Registry[Design] = Registry("model")
"""Own networks by name."""


def make_head(config: ModelConfig, maps: tuple[int, ...], classes: int, own: Callable[[], nn.Module]) -> nn.Module:
    """Return the head that `config` names for feature maps of shape `maps`; `auto` is the network's own."""
    return own() if config.head == "auto" else HEADS[config.head](maps, classes, config)


def convolutions(channels: int, block: Sequence[int], kernel: int) -> tuple[list[nn.Module], int]:
    """Return convolutions over frames with ReLU, of the filters that `block` says, and the number of the last ones."""
    layers: list[nn.Module] = []
    for filters in block:
        layers += [nn.Conv1d(channels, filters, kernel), nn.ReLU()]
        channels = filters
    return layers, channels


def probe(backbone: nn.Module, channels: int, shape: tuple[int, int], name: str) -> tuple[int, ...]:
    """Return the shape of the feature map, without its batch axis, that one picture of `shape` gives.

    Raises
    ------
    ConfigError
        the backbone cannot take pictures of that shape, or gives no feature map (a transformer over tokens).
    """
    was_training = backbone.training
    backbone.eval()
    try:
        with torch.no_grad():
            maps = backbone(torch.zeros(1, channels, *shape))
    except (RuntimeError, AssertionError, ValueError) as error:
        bands, frames = shape
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConfigError(f"'{name}' cannot take pictures of {bands} bands x {frames} frames: {reason}") from error
    backbone.train(was_training)
    if not isinstance(maps, Tensor) or maps.ndim != 4:
        raise ConfigError(
            f"'{name}' gives tokens, not one feature map; choose a convolutional model (resnet50, mobilenetv2_100)"
        )
    return tuple(maps.shape[1:])
