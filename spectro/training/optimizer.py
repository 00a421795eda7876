"""The optimizer of a stage and its learning-rate schedule."""

from __future__ import annotations

from typing import Any

import timm.optim
import timm.scheduler
import torch
from torch import nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from spectro.core.config import FinetuneConfig

Schedule = timm.scheduler.scheduler.Scheduler | ReduceLROnPlateau


def make_optimizer(
    module: nn.Module, config: FinetuneConfig, *, lr: float, layer_decay: float = 1.0
) -> torch.optim.Optimizer:
    """Return AdamW over the trainable parameters, without weight decay on biases and normalization.

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
    """
    decay = config.weight_decay
    groups: list[dict[str, Any]]
    if layer_decay < 1:
        groups = timm.optim.param_groups_layer_decay(module, weight_decay=decay, layer_decay=layer_decay)
    else:
        groups = timm.optim.param_groups_weight_decay(module, weight_decay=decay)
    return timm.optim.create_optimizer_v2(groups, opt="adamw", lr=lr, weight_decay=0.0)


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
