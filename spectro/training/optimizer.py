"""The optimizer of a stage and its learning-rate schedule."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import timm.optim
import timm.scheduler
import torch
from torch import nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from spectro.core.config import FinetuneConfig

Schedule = timm.scheduler.scheduler.Scheduler | ReduceLROnPlateau


def make_optimizer(
    module: nn.Module,
    config: FinetuneConfig,
    *,
    lr: float,
    layer_decay: float = 1.0,
    layers: Sequence[nn.Module] = (),
    undecayed: Collection[nn.Parameter] = (),
) -> torch.optim.Optimizer:
    """Return AdamW over the trainable parameters, without weight decay on biases, normalization and `undecayed`.

    Parameters
    ----------
    module
        What is trained.
    config
        Its `weight_decay` is used.
    lr
        Highest learning rate.
    layer_decay
        Factor on the learning rate from each layer to the one before it; 1 = the same rate everywhere.
    layers
        The layers of the backbone from input to output; what belongs to none (the head) comes after them.
    undecayed
        Further parameters without weight decay: position embeddings, class tokens.
    """
    number_of = {parameter: number for number, layer in enumerate(layers) for parameter in layer.parameters()}
    groups: dict[tuple[int, bool], dict[str, Any]] = {}
    for name, parameter in module.named_parameters():
        if not parameter.requires_grad:
            continue
        plain = parameter.ndim <= 1 or name.endswith(".bias") or any(parameter is one for one in undecayed)
        before = len(layers) - number_of.get(parameter, len(layers)) if layer_decay < 1 else 0
        decay = 0.0 if plain else config.weight_decay
        group = groups.setdefault(
            (before, plain), {"params": [], "lr": lr * layer_decay**before, "weight_decay": decay}
        )
        group["params"].append(parameter)
    return timm.optim.create_optimizer_v2(list(groups.values()), opt="adamw", lr=lr, weight_decay=0.0)


def make_schedule(optimizer: torch.optim.Optimizer, config: FinetuneConfig, *, epochs: int, steps: int) -> Schedule:
    """Return the learning-rate schedule of a stage: a warm-up, then what `lr_schedule` names.

    Parameters
    ----------
    optimizer
        Its learning rates are scheduled.
    config
        Its `lr_schedule`, `warmup_ratio` and `patience` are used.
    epochs
        Epochs of the stage.
    steps
        Steps of one epoch.
    """
    warm = round(config.warmup_ratio * epochs * steps)
    if config.lr_schedule == "plateau":
        return ReduceLROnPlateau(optimizer, mode="max", factor=0.1, patience=max(1, config.patience // 2))
    if config.lr_schedule == "constant":
        return timm.scheduler.StepLRScheduler(optimizer, decay_t=epochs * steps + 1, warmup_t=warm, t_in_epochs=False)
    return timm.scheduler.CosineLRScheduler(
        optimizer, t_initial=max(1, epochs * steps - warm), warmup_t=warm, warmup_prefix=True, t_in_epochs=False
    )
