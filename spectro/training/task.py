"""What a stage of a training is, what it learns, and how each of its epochs ends: validated, noted, the best kept."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lightning_fabric
import numpy as np
from torch import Tensor, nn

from spectro.core.arrays import Floats32, Items
from spectro.core.errors import RunError
from spectro.inference.batches import Batches, predict_logits
from spectro.training.devices import on_rank_zero
from spectro.training.progress import EpochResult, Progress, ValidationScores


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One part of a training: which layers are trained, on what, for how long."""

    name: str
    """`frozen`, `finetune` or `scratch`."""
    module: nn.Module
    """Everything that is trained; from a batch to logits."""
    epochs: int
    """Number of epochs; of a regression, how many of `PENALTIES` are tried."""
    lr: float
    """Highest learning rate."""
    train: tuple[Batches, ...]
    """Batches for training; each epoch takes the next of them in turn."""
    plain: Batches
    """Batches without augmentation, for validation."""
    layer_decay: float = 1.0
    """Factor on the learning rate from each layer to the one before it."""
    layers: tuple[nn.Module, ...] = ()
    """Layers of the backbone from input to output, for `layer_decay`."""
    undecayed: frozenset[nn.Parameter] = frozenset()
    """Parameters without weight decay, besides biases and normalization."""
    keep_eval: tuple[nn.Module, ...] = ()
    """Parts that stay in evaluation mode (frozen batch normalization)."""
    solved: bool = False
    """Whether the module is a `Multi` head whose weights are computed (`regression.solve`), not trained."""
    start_counts: bool = False
    """Whether the state at the beginning takes part in the choice of the best epoch, with its score in the stage
    before."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is learned: items with their classes, and how a state of the model is scored."""

    train: Items
    """Items to train on."""
    truth: Items
    """`[items]`, class of every item of the data."""
    classes: int
    """Number of classes."""
    val: Items = field(default_factory=lambda: np.array([], np.int64))
    """Items to validate on, if any."""
    score: Callable[[Floats32], ValidationScores] | None = None
    """From the logits of `val` to their scores; needed with `val`."""
    class_weights: Tensor | None = None
    """`[classes]`, weights in the loss."""


def begin(stage: Stage, progress: Progress) -> None:
    """Let `progress` stand at the beginning of a stage."""
    progress.stage, progress.epoch, progress.since_best = stage.name, 0, 0
    progress.best = weights_of(stage.module)
    progress.start = progress.best if stage.start_counts else {}
    if not stage.start_counts:
        progress.best_score = (-math.inf,)


def validate(
    fabric: lightning_fabric.Fabric, stage: Stage, task: Task, module: nn.Module, epoch: int
) -> ValidationScores | None:
    """Return in all processes the scores that rank zero computes; None without a validation subset.

    Parameters
    ----------
    fabric
        Precision and processes.
    stage
        Its plain batches are used.
    task
        What is learned.
    module
        What is validated: the stage's module, or an average of its weights.
    epoch
        Number of the epoch in the stage, from 0, for messages.

    Raises
    ------
    RunError
        the outputs of the network are not numbers.
    """

    def score() -> ValidationScores | None:
        if not len(task.val):
            return None
        assert task.score is not None, "a task with validation items has a score"
        with fabric.autocast():
            logits = predict_logits(module, stage.plain, task.val)
            if not np.isfinite(logits).all():
                where = f"epoch {epoch + 1} of stage '{stage.name}'"
                raise RunError(diverged(f"the network's outputs are not numbers after {where}"))
            return task.score(logits)

    return on_rank_zero(fabric, score)


def advance(progress: Progress, result: EpochResult, module: nn.Module, states: Mapping[str, Any]) -> None:
    """Note a finished epoch, and its weights if they are the best of the stage.

    Parameters
    ----------
    progress
        Where the training stands; it is changed.
    result
        The epoch.
    module
        What was validated.
    states
        What an interrupted stage needs to go on, by name.
    """
    progress.history.append(result)
    progress.epoch, progress.since_best = progress.epoch + 1, progress.since_best + 1
    if result.score > progress.best_score:
        progress.best, progress.best_score = weights_of(module), result.score
        progress.best_accuracy = result.val.clip_accuracy if result.val else 0.0
        progress.best_epoch, progress.since_best = result.epoch, 0
    progress.states = dict(states)


def diverged(what: str) -> str:
    """Return the message of a training whose numbers are no longer finite."""
    return (
        f"{what}; the last good state is kept: lower the learning rate (--lr, --finetune-lr) and start again in a "
        "new --out"
    )


def restore(parts: Mapping[str, Any], progress: Progress, checkpoint: Path | str) -> None:
    """Bring the parts of a stage to where an interrupted training stands.

    Parameters
    ----------
    parts
        What has a `load_state_dict`, by name.
    progress
        Where the training stands.
    checkpoint
        The file that it was read from, for messages.

    Raises
    ------
    RunError
        its states are those of another network, or of other versions of the libraries.
    """
    try:
        for name, part in parts.items():
            part.load_state_dict(progress.states[name])
    except (RuntimeError, LookupError, TypeError, ValueError, AttributeError) as error:
        reason = " ".join(str(error).split())[:120]
        raise RunError(
            f"{checkpoint} does not fit this network ({reason}): was it made with other versions of torch or timm? "
            f"Bring those back, or remove {checkpoint} to start that training again"
        ) from None


def weights_of(module: nn.Module) -> dict[str, Tensor]:
    """Return a copy of a module's weights on the CPU, by name."""
    return {name: value.detach().cpu().clone() for name, value in module.state_dict().items()}
