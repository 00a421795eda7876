"""What a training has done so far: one record per epoch, and everything that an interrupted one needs to go on."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import Any

from torch import Tensor

from spectro.core.records import Record


@dataclass(frozen=True, kw_only=True)
class ValidationScores(Record):
    """How a model does on the validation subset, which decides about the best epoch and early stopping."""

    loss: float
    """Log loss of the segments."""
    segment_accuracy: float
    clip_accuracy: float
    """Accuracy of clips after a soft vote of their segments, 0..1."""
    clip_f1: float
    """Macro-F1 of clips, 0..1."""

    @property
    def rank(self) -> tuple[float, ...]:
        """What states of a model are compared by: macro-F1 of the clips, then the loss."""
        return (self.clip_f1, -self.loss)


@dataclass(frozen=True, kw_only=True)
class EpochResult(Record):
    """One epoch, a line of `history.csv`."""

    epoch: int
    """Number of the epoch over all stages, from 1."""
    stage: str
    """`frozen`, `finetune` or `scratch`."""
    lr: float
    """Highest learning rate at the end of the epoch; 0 for a strength of a regression, which is solved at once."""
    train_loss: float
    train_accuracy: float
    val: ValidationScores | None
    """None without a validation subset."""
    seconds: float
    """Duration of the epoch, validation and the previous checkpoint included."""
    seconds_steps: float
    """Time spent on training steps."""
    seconds_loading: float
    """Time spent on making batches, beside the training where a thread does it."""
    seconds_waiting: float
    """Time that the training waited for batches."""

    def values(self) -> dict[str, float]:
        """Return the measured values by the names of their columns, those of validation as `val_<name>`."""
        values: dict[str, float] = {}
        for column in fields(self):
            value = getattr(self, column.name)
            if isinstance(value, ValidationScores):
                values |= {f"val_{name}": score for name, score in value.to_dict().items()}
            elif column.name not in ("epoch", "stage") and value is not None:
                values[column.name] = value
        return values

    @property
    def score(self) -> tuple[float, ...]:
        """What epochs are compared by: macro-F1 of the validation clips, then the validation loss; else the number."""
        return (float(self.epoch),) if self.val is None else self.val.rank


@dataclass
class Progress:
    """Where a training stands: everything, beside the seeds, that an interrupted one needs to go on."""

    stage: str = ""
    """Name of the stage that was reached; empty before the first."""
    epoch: int = 0
    """Finished epochs of that stage."""
    states: dict[str, Any] = field(default_factory=dict)
    """`state_dict` of the module, the optimizer, the schedule and the moving average."""
    best: dict[str, Tensor] = field(default_factory=dict)
    """Weights of the best epoch of the stage."""
    best_score: tuple[float, ...] = (-math.inf,)
    best_accuracy: float = 0.0
    """Validation accuracy of clips with them, 0..1; 0 without a validation subset."""
    best_epoch: int = 0
    best_share: float = 1.0
    """How far they are from the start of the stage to that epoch: less than 1 where weights between are better."""
    start: dict[str, Tensor] = field(default_factory=dict)
    """Weights that the stage began with, where its start counts."""
    since_best: int = 0
    """Epochs since the best one."""
    history: list[EpochResult] = field(default_factory=list)
    seconds: float = 0.0
    """Duration up to the last saved epoch, over all interruptions."""
