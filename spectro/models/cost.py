"""Parameters and multiply-adds of a network, measured by building it and running one input through it."""

from __future__ import annotations

import timm
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from spectro.core.config import ModelConfig
from spectro.core.errors import ConfigError
from spectro.models import EMBEDDERS, NETWORKS, Network, build
from spectro.models.embedders import Embedder
from spectro.models.model_cost import SHAPE, SPECTROGRAM_INPUT, VECTOR, VECTOR_INPUT, ModelCost
from spectro.models.weights import url_of


def measure(name: str, shape: tuple[int, int] = SHAPE) -> ModelCost:
    """Measure one network with a head for ten classes.

    Parameters
    ----------
    name
        Its name.
    shape
        Bands and frames of the input; embedders are measured with their own, networks of
        feature vectors with `VECTOR`.

    Raises
    ------
    ConfigError
        there is no such network.
    """
    design = {**NETWORKS, **EMBEDDERS}.get(name)
    if isinstance(design, Embedder):
        shape = design.shape
    elif design and design.input == VECTOR_INPUT:
        shape = VECTOR
    parameters, macs, note = None, None, design.source if design else ""
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
    pretrained = None if design else timm.get_pretrained_cfg(name)
    return ModelCost(
        name=name,
        kind="embedder" if name in EMBEDDERS else "own" if design else "timm",
        input=design.input if design else SPECTROGRAM_INPUT,
        shape=shape,
        parameters=parameters,
        multiply_adds=macs,
        repository=(pretrained and pretrained.hf_hub_id) or "",
        url=url_of(pretrained) if pretrained else "",
        note=note,
    )


def multiply_adds(network: Network, shape: tuple[int, int]) -> int:
    """Count the multiply-adds of one input in convolutions, linear and recurrent layers and attention.

    Parameters
    ----------
    network
        Any network; attention is counted where the network is on the device `meta`, LSTMs where it is not.
    shape
        Bands and frames of the input.
    """
    recurrent: list[int] = []

    def count(module: nn.Module, inputs: tuple[Tensor, ...], _: object) -> None:
        steps = inputs[0].shape[1]
        recurrent.append(steps * sum(weight.numel() for weight in module.parameters() if weight.ndim == 2))

    hooks = [module.register_forward_hook(count) for module in network.modules() if isinstance(module, nn.LSTM)]
    network.eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, 1, *shape, device=next(network.parameters()).device))
    for hook in hooks:
        hook.remove()
    return int(counter.get_total_flops()) // 2 + sum(recurrent)
