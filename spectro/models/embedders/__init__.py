"""Networks that were pretrained on sound, each with an input of its own: one file each, registered in `EMBEDDERS`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import torch
from torch import Tensor, nn

from spectro.core.config import ModelConfig
from spectro.core.errors import ConfigError, WeightsError
from spectro.core.registry import Registry
from spectro.models.heads import HEADS
from spectro.models.network import Design, Network, feature_map_shape, misfit
from spectro.models.stage_statistics import StageStatistics


@dataclass(frozen=True, kw_only=True)
class Embedder(Design):
    """A network with pretrained weights, which a package of `SHIPPED` holds under its name."""

    feature: str
    """Name in `FEATURES` of the input that it was trained on."""
    shape: tuple[int, int]
    """Bands and frames of what it was trained on; other numbers of frames will do."""
    read: Callable[[Path], dict[str, Tensor]]
    """Reads the package's file, under the names of our backbone."""


EMBEDDERS: Registry[Embedder] = Registry("embedder")
"""Every network pretrained on sound, by name."""


class Staged(nn.Module):
    """A backbone in stages: its output is the map of the last, or statistics of several for the head `multi`."""

    def __init__(self) -> None:
        super().__init__()
        self.statistics: StageStatistics | None = None

    def stage_maps(self, inputs: Tensor) -> tuple[Tensor, ...]:
        """Return the map of every stage from input to output, each `[batch, channels, h, w]`."""
        raise NotImplementedError

    def stages(self) -> list[nn.Module]:
        """Return the parts that hold the parameters, from input to output."""
        raise NotImplementedError

    def forward(self, inputs: Tensor) -> Tensor:
        """Return what the head reads of inputs `[batch, 1, bands, frames]`."""
        maps = self.stage_maps(inputs)
        return maps[-1] if self.statistics is None else self.statistics(self.statistics.chosen(maps))


def require_feature(name: str, feature: str) -> None:
    """Raise ConfigError where a model is an embedder and would be fed another feature than its own."""
    if name in EMBEDDERS and feature != EMBEDDERS[name].feature:
        wanted = EMBEDDERS[name].feature
        raise ConfigError(f"'{name}' was trained on the feature {wanted}, not {feature}; set the feature to {wanted}")


def with_head(backbone: Staged, config: ModelConfig, classes: int, shape: tuple[int, int]) -> Network:
    """Return a network of an embedder's backbone and the head that `config` names; `auto` is `multi`.

    Parameters
    ----------
    backbone
        With its first weights.
    config
        Name, head and dropout.
    classes
        Number of classes.
    shape
        Bands and frames of the input.

    Raises
    ------
    ConfigError
        the input has other bands than the embedder's.
    """
    embedder = EMBEDDERS[config.name]
    if shape[0] != embedder.shape[0]:
        wanted = f"the feature {embedder.feature}, {embedder.shape[0]} bands"
        raise ConfigError(f"'{config.name}' takes {wanted}, not {shape[0]}; set the feature to {embedder.feature}")
    name = "multi" if config.head == "auto" else config.head
    if name == "multi":
        with torch.no_grad():
            maps = backbone.eval().stage_maps(torch.zeros(1, 1, *shape))
        backbone.train().statistics = StageStatistics([one.shape[1:] for one in maps], config)
    head = HEADS[name](feature_map_shape(backbone, 1, shape, config.name), classes, config)
    return Network(normalize=nn.Identity(), backbone=backbone, head=head, stages=backbone.stages())


def load(network: Network, weights: Mapping[str, Tensor], source: str) -> None:
    """Put pretrained weights into the backbone of a network.

    Parameters
    ----------
    network
        The network of an embedder.
    weights
        Tensors by name, as `weights.read` returned them.
    source
        Where they are from, for messages.

    Raises
    ------
    WeightsError
        one is missing, not known, or of another shape.
    """
    if problem := misfit(weights, network.backbone.state_dict()):
        raise WeightsError(f"{source} does not fit: {problem}; is it another model's?")
    network.backbone.load_state_dict(dict(weights))


for _module in iter_modules(__path__):  # a new file in this folder is a new embedder; nothing else needs to change
    import_module(f"{__name__}.{_module.name}")
