"""What there is to choose from: each model with what it eats, its size, its cost, and its weights."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import timm
import torch
from torch import Tensor, nn

from spectro.core.config import ModelConfig
from spectro.core.errors import ConfigError, did_you_mean
from spectro.models import build
from spectro.models.network import NETWORKS, Network
from spectro.models.weights import at_hand

VECTOR = (57, 1)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One model of the catalogue."""

    name: str
    """What `--backbone` or `--model` takes."""
    eats: str
    """What its pictures show; timm's take any."""
    shape: tuple[int, int]
    """Bands and frames that it was measured with."""
    parameters: int
    """Numbers that training can change, with a linear or its own head for ten classes; 0 if it cannot be built."""
    gmacs: float
    """Multiply-adds of one picture in convolutions, linear and recurrent layers, in billions (10^9)."""
    weights: str
    """Where first weights are at hand (`package ...`, `hub cache`), `hub` if they must be downloaded, or `none`."""
    note: str
    """Where it comes from, or why it cannot take such pictures."""


def names(pattern: str = "") -> list[str]:
    """Return the names that match a shell pattern (`res*`): own networks first, then timm's.

    Without a pattern: own networks and those of timm's whose weights are at hand.

    Raises
    ------
    ConfigError
        nothing matches.
    """
    everything = [*NETWORKS, *timm.list_models()]
    if not pattern:
        return [name for name in everything if name in NETWORKS or at_hand(name)]
    found = [name for name in everything if fnmatch.fnmatchcase(name.lower(), pattern.lower())]
    if not found:
        raise ConfigError(f"no model matches '{pattern}'{did_you_mean(pattern.strip('*'), everything)}")
    return found


def entry(name: str, shape: tuple[int, int] = (128, 431)) -> Entry:
    """Measure one model on pictures of `shape` (feature vectors where it eats those); raises ConfigError if unknown."""
    design = NETWORKS.get(name) if name in NETWORKS else None
    if design and "vector" in design.eats:
        shape = VECTOR
    parameters, macs, note = 0, 0, design.source if design else ""
    # Large ones without memory for their weights; own ones are small, and an LSTM without memory takes seconds.
    with torch.device("cpu" if design else "meta"):
        try:
            network = build(ModelConfig(name=name), 10, shape)
            parameters = sum(parameter.numel() for parameter in network.parameters())
            macs = multiply_adds(network, shape)
        except ConfigError as error:
            if not design and not timm.is_model(name):
                raise
            note = str(error)
    return Entry(
        name=name,
        eats=design.eats if design else "any [bands, frames]",
        shape=shape,
        parameters=parameters,
        gmacs=macs / 1e9,
        weights=_weights(name),
        note=note,
    )


def catalogue(pattern: str = "", shape: tuple[int, int] = (128, 431)) -> Iterator[Entry]:
    """Yield an entry for each of `names(pattern)` as it is measured: up to a second each for the large ones."""
    return (entry(name, shape) for name in names(pattern))


def multiply_adds(network: Network, shape: tuple[int, int]) -> int:
    """Count the multiply-adds of one picture in convolutions, linear and recurrent layers."""
    counted: list[int] = []

    def count(module: nn.Module, inputs: tuple[Tensor, ...], outputs: Any) -> None:
        if isinstance(module, nn.LSTM):
            steps = inputs[0].shape[1]
            counted.append(steps * sum(weight.numel() for weight in module.parameters() if weight.ndim == 2))
        elif isinstance(module, nn.Conv1d | nn.Conv2d | nn.Linear):
            weight = module.weight
            counted.append(outputs.numel() // weight.shape[0] * weight.numel())

    hooks = [module.register_forward_hook(count) for module in network.modules()]
    network.eval()
    with torch.no_grad():
        network(torch.zeros(1, 1, *shape, device=next(network.parameters()).device))
    for hook in hooks:
        hook.remove()
    return sum(counted)


def _weights(name: str) -> str:
    if name in NETWORKS:
        return "none"
    found = at_hand(name)
    if found:
        return found.origin
    config = timm.get_pretrained_cfg(name)
    return "hub" if config is not None and config.hf_hub_id else "none"
