"""Weights between the start of fine-tuning and its end, the best of which on validation is kept (WiSE-FT)."""

from __future__ import annotations

from collections.abc import Mapping

import lightning_fabric
from torch import Tensor

from spectro.training.progress import Progress
from spectro.training.task import Stage, Task, validate, weights_of

SHARES = (0.25, 0.5, 0.75)
"""How far from the start to the end of a stage; the start and every epoch were validated before."""


def interpolate(
    fabric: lightning_fabric.Fabric, stage: Stage, task: Task, progress: Progress, end: Mapping[str, Tensor]
) -> None:
    """Validate weights on the straight line from the start of a stage to its end, and keep one that is better.

    Fine-tuned weights know more of the training set and less of everything else than those that they began with; what
    lies between is often better than both (Wortsman et al., Robust fine-tuning of zero-shot models, 2022).

    Parameters
    ----------
    fabric
        Precision and processes.
    stage
        A finished stage whose start counts; its module is changed.
    task
        What was learned; without a validation subset nothing can be chosen, and nothing is done.
    progress
        Where the training stands; its best weights are replaced where others are better.
    end
        Weights of the last epoch.
    """
    if not len(task.val) or not progress.start:
        return
    for share in SHARES:
        between = {name: _between(progress.start[name], value, share) for name, value in end.items()}
        stage.module.load_state_dict(between)
        scores = validate(fabric, stage, task, stage.module, stage.epochs - 1)
        assert scores is not None
        if scores.rank > progress.best_score:
            progress.best = weights_of(stage.module)
            progress.best_score, progress.best_accuracy = scores.rank, scores.clip_accuracy
            progress.best_epoch, progress.best_share = len(progress.history), share


def _between(start: Tensor, end: Tensor, share: float) -> Tensor:
    """Return what lies between two tensors; counters are those of the end."""
    return start.to(end.device).lerp(end, share) if end.is_floating_point() else end
