"""Networks by name: our own or timm's, with random or pretrained weights."""

from __future__ import annotations

import timm

from spectro.core.config import ModelConfig
from spectro.core.errors import ConfigError, WeightsError, did_you_mean
from spectro.models import (  # each registers its networks
    cnn1d,
    cnn2d,
    crnn,
    embedders,
    fcnn,
    lstm,
    timm_backbone,
    timm_weights,
)
from spectro.models.embedders import EMBEDDERS
from spectro.models.heads import HEADS
from spectro.models.network import NETWORKS, Network
from spectro.models.pretrained import WeightsInfo
from spectro.models.weights import read, resolve

__all__ = [
    "EMBEDDERS",
    "HEADS",
    "NETWORKS",
    "Network",
    "WeightsInfo",
    "build",
    "build_pretrained",
    "cnn1d",
    "cnn2d",
    "crnn",
    "fcnn",
    "lstm",
]


def build(config: ModelConfig, classes: int, shape: tuple[int, int]) -> Network:
    """Return the network that `config` describes, with random weights.

    Parameters
    ----------
    config
        Name, channels, head and dropout.
    classes
        Number of classes.
    shape
        Bands and frames of the input.

    Raises
    ------
    ConfigError
        the model or head is unknown, or the model cannot take such inputs.
    """
    ours = NETWORKS if config.name in NETWORKS else EMBEDDERS
    if config.name in ours:
        if config.in_chans != 1:
            raise ConfigError(f"'{config.name}' takes inputs with one channel; set in_chans to 1")
        return ours[config.name].build(config, classes, shape)
    if not timm.is_model(config.name):
        hint = did_you_mean(config.name, [*NETWORKS, *EMBEDDERS, *timm.list_models()])
        raise ConfigError(f"unknown model '{config.name}'{hint} (`spectro models list` shows them)")
    return timm_backbone.build(config, classes, shape)


def build_pretrained(
    config: ModelConfig, classes: int, shape: tuple[int, int], weights: str = "auto"
) -> tuple[Network, WeightsInfo]:
    """Return the network with its first weights, and where they came from.

    Parameters
    ----------
    config
        Name, channels, head and dropout.
    classes
        Number of classes.
    shape
        Bands and frames of the input.
    weights
        `auto`, `none`, `hub` or the path of a file, as in `weights.resolve`; our own networks have no
        pretrained weights, so `auto` starts them at random.

    Raises
    ------
    ConfigError
        as in `build`.
    WeightsError
        the weights are not to be found, or do not fit.
    """
    network = build(config, classes, shape)
    if config.name in NETWORKS:
        if weights not in ("auto", "none"):
            raise WeightsError(f"there are no pretrained weights of '{config.name}'; it starts with --weights none")
        return network, WeightsInfo(origin="random")
    info = resolve(config.name, weights)
    if info.path is not None:
        load = embedders.load if config.name in EMBEDDERS else timm_weights.load
        load(network, read(config.name, info), str(info.path))
    return network, info
