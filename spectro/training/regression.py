"""The frozen stage of head `multi`: a ridge regression for a few strengths of regularization, one chosen."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import lightning_fabric
import numpy as np
import torch
from torch import Tensor

from spectro.core.config import FinetuneConfig
from spectro.inference.batches import Batches
from spectro.models.heads import Multi
from spectro.training.devices import exact_arithmetic, on_rank_zero
from spectro.training.progress import EpochResult, Progress, ValidationScores
from spectro.training.ridge import RidgeRegression
from spectro.training.task import Stage, Task, advance, begin, restore, validate

PENALTIES = (1.0, 0.3, 0.1, 0.03)
"""Penalties that are tried, from strong regularization to weak."""
WITHOUT_VALIDATION = 0.1
"""The one that is taken where no validation subset can choose."""


def penalties_of(task: Task) -> tuple[float, ...]:
    """Return the penalties that are tried."""
    return PENALTIES if len(task.val) else (WITHOUT_VALIDATION,)


def solve(
    fabric: lightning_fabric.Fabric,
    stage: Stage,
    task: Task,
    config: FinetuneConfig,
    progress: Progress,
    *,
    checkpoint: Path | str = "the checkpoint",
    save: Callable[[Progress], None] = lambda _: None,
    tick: Callable[[int], None] = lambda _: None,
) -> Progress:
    """Give the head of a stage the weights of a regression on its training items.

    Each strength counts as an epoch, and an interrupted training goes on with the next.

    Parameters
    ----------
    fabric
        Device and processes; rank zero computes.
    stage
        Its module is a `Multi` head; its batches hold what that reads, one for each view of the items.
    task
        What is learned.
    config
        Its `balance` is used: items of rare classes count more under `weights` and `sampler`.
    progress
        Where an interrupted training stands; it is changed.
    checkpoint
        The file that `progress` was read from, for messages.
    save
        Called on rank zero after each strength.
    tick
        Called with the number of training items after each strength.

    Returns
    -------
    Progress
        Where the training stands, with its history.
    """
    head = stage.module
    assert isinstance(head, Multi)
    if progress.stage == stage.name:
        restore({"module": head}, progress, checkpoint)
    else:
        begin(stage, progress)
    device = torch.device("cpu") if fabric.device.type == "mps" else fabric.device  # it has no numbers of 64 bits
    problem = _Problem(views=stage.train, task=task, balanced=config.balance in ("weights", "sampler"), device=device)
    began = time.perf_counter()
    for penalty in penalties_of(task)[progress.epoch :]:
        solved = on_rank_zero(fabric, lambda penalty=penalty: problem.solve(head, penalty))  # type: ignore[misc]
        head.load_state_dict(solved.state)
        seconds = time.perf_counter() - began
        scores = validate(fabric, stage, task, head, progress.epoch)
        now = time.perf_counter()
        result = solved.result(len(progress.history) + 1, stage.name, scores, now - began, seconds)
        began = now
        advance(progress, result, head, {"module": head.state_dict()})
        tick(len(task.train))
        if fabric.is_global_zero:
            save(progress)
        fabric.barrier()
    head.load_state_dict(progress.best)
    return progress


@dataclass(frozen=True, kw_only=True)
class _Solved:
    """A head's state that solves the regression for one strength, with its loss and accuracy on the training items."""

    state: dict[str, Tensor]
    loss: float
    accuracy: float

    def result(
        self, epoch: int, stage: str, scores: ValidationScores | None, seconds: float, solving: float
    ) -> EpochResult:
        """Return it as an epoch, of which `solving` seconds were spent on the solution; it has no learning rate."""
        return EpochResult(
            epoch=epoch,
            stage=stage,
            lr=0.0,
            train_loss=self.loss,
            train_accuracy=self.accuracy,
            val=scores,
            seconds=seconds,
            seconds_steps=solving,
            seconds_loading=0.0,
            seconds_waiting=0.0,
        )


@dataclass(kw_only=True)
class _Problem:
    """The regression that a head's weights solve; prepared when it is first needed, on rank zero."""

    views: Sequence[Batches]
    task: Task
    balanced: bool
    device: torch.device

    @cached_property
    def regression(self) -> RidgeRegression:
        """The training items of all views, each with its weight."""
        task, count = self.task, len(self.views)
        values = np.concatenate([batches.arrays[task.train] for batches in self.views]).astype(np.float32)
        truth = np.tile(task.truth[task.train], count)
        numbers = np.bincount(truth, minlength=task.classes)
        weights = len(truth) / (task.classes * numbers[truth]) if self.balanced else np.ones(len(truth))
        return RidgeRegression(
            torch.from_numpy(values.reshape(len(values), -1)).to(self.device),
            torch.from_numpy(truth).to(self.device),
            torch.from_numpy(weights / count).to(self.device),
            task.classes,
        )

    def solve(self, head: Multi, penalty: float) -> _Solved:
        """Return the solution for one strength."""
        with exact_arithmetic():
            regression = self.regression
            solution = regression.solve(penalty)
        with torch.no_grad():
            head.standardize.mean.copy_(regression.mean)
            head.standardize.scale.copy_(regression.scale)
            head.linear.weight.copy_(solution.weight)
            head.linear.bias.copy_(solution.bias)
        state = {name: value.detach().cpu().clone() for name, value in head.state_dict().items()}
        return _Solved(state=state, loss=solution.loss, accuracy=solution.accuracy)
