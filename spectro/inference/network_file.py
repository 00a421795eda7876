"""A network from its weights file: what card and file claim is compared before memory is taken for either."""

from __future__ import annotations

import math
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from spectro.core.config import ModelConfig
from spectro.core.errors import ConfigError, RunError, first_line
from spectro.models import NETWORKS, build
from spectro.models.catalogue import known
from spectro.models.network import Network, misfit

SMALL_INPUT, SMALL_NETWORK = 1 << 20, 1 << 28
"""Values of one input, and parameters, up to which a network is built at once: 1 GB of weights."""
WIDEST_LAYER = 4096
"""Widest layer of the networks that the catalogue lists, rounded up."""
MOST_STAGES = 100
"""Stages of the networks that the catalogue lists, rounded up."""
WIDEST_DENSE = 512
"""Widest layer that one of our own networks has behind a whole input."""
REMEDY = "is it another model's file? make the run again with the command that made it"


def load_network(path: Path, config: ModelConfig, classes: int, shape: tuple[int, int]) -> Network:
    """Return the network that `config` describes, on the CPU, with the weights of a safetensors file.

    Parameters
    ----------
    path
        The file; it is only read.
    config
        Name, channels, head and dropout.
    classes
        Number of classes.
    shape
        Bands and frames of the input.

    Raises
    ------
    RunError
        the file is damaged, or its weights are not those of that network.
    ConfigError
        the network is unknown, or cannot take such inputs.
    """
    small = math.prod(shape) <= SMALL_INPUT and most_parameters(config, classes, shape) <= SMALL_NETWORK
    given = _read(path)
    network = build(config, classes, shape) if small else _outline(config, classes, shape)
    wanted = network.state_dict()
    if problem := misfit(given, wanted):
        raise RunError(f"{path} does not fit the card: {problem}; {REMEDY}")
    weights = {name: given[name].to(wanted[name].dtype) for name in wanted}
    if not small and any(name not in wanted for name, _ in network.named_buffers()):
        network = build(config, classes, shape)  # it computes buffers that are in no file, and its size is known now
        small = True
    network.load_state_dict(weights, assign=not small)
    return network


def most_parameters(config: ModelConfig, classes: int, shape: tuple[int, int]) -> float:
    """Return a number of parameters that a network surely does not exceed; infinite where nothing is known of it."""
    cells, hidden = math.prod(shape), config.hidden
    head = ((9 if config.head == "conv" else 1) * WIDEST_LAYER + classes) * max(hidden, WIDEST_LAYER)
    flat = 2 * cells * hidden if config.head == "flatten" else 0
    if config.head == "multi":
        head = classes * (config.stages or MOST_STAGES) * max(config.stage_values, 2 * WIDEST_LAYER)
    if config.name in NETWORKS:
        return cells * WIDEST_DENSE + flat + head
    facts = known().get(config.name)
    return facts.parameters + flat + head if facts and facts.parameters else math.inf


def _outline(config: ModelConfig, classes: int, shape: tuple[int, int]) -> Network:
    """Return a network without memory for its weights."""
    try:
        with torch.device("meta"):
            return build(config, classes, shape)
    except (RuntimeError, NotImplementedError, ValueError, TypeError, OverflowError) as error:
        reason = first_line(error)
        raise ConfigError(f"'{config.name}' for {shape[0]} bands x {shape[1]} frames: {reason}") from None


def _read(path: Path) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load_file(path)
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, MemoryError, safetensors.SafetensorError) as error:
        reason = first_line(error)
        raise RunError(f"{path} cannot be read as weights: {reason}; {REMEDY}") from None
