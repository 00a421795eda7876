"""The training loop, in plain sight: one stage, epoch by epoch, resumable at each epoch's end."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lightning_fabric
import numpy as np
import timm.utils
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import ReduceLROnPlateau

from spectro.core.arrays import Items
from spectro.core.config import FinetuneConfig
from spectro.core.errors import ConfigError, RunError
from spectro.data.shard_store import StreamedImages
from spectro.inference.batches import Clock
from spectro.training.augment import mix
from spectro.training.interpolate import interpolate
from spectro.training.optimizer import Schedule, make_optimizer, make_schedule
from spectro.training.progress import EpochResult, Progress
from spectro.training.seeds import seeded
from spectro.training.task import Stage, Task, advance, begin, diverged, restore, validate, weights_of

FOCAL_GAMMA = 2.0
SETTLED = 50
"""Steps after which losses are read from the device."""
Losses = list[tuple[Tensor, float]]
"""Mean losses of the parts of a batch, each with its share of the batch."""


@dataclass
class _Training:
    """What the epochs of one stage share."""

    fabric: lightning_fabric.Fabric
    stage: Stage
    task: Task
    config: FinetuneConfig
    module: Any
    """The stage's module, wrapped by Fabric."""
    optimizer: Any
    """The optimizer, wrapped by Fabric."""
    schedule: Schedule
    average: timm.utils.ModelEmaV3 | None
    """Moving average of the weights, if one is kept."""
    steps: int
    """Steps of an epoch."""
    micro: int
    """Segments of a batch that are computed at once."""
    log: Callable[[str], None]

    @property
    def result(self) -> nn.Module:
        """The weights that are validated and kept."""
        return self.stage.module if self.average is None else self.average.module

    def parts(self) -> dict[str, Any]:
        """Return by name what a checkpoint must hold the state of."""
        parts = {"module": self.stage.module, "optimizer": self.optimizer, "schedule": self.schedule}
        return parts if self.average is None else {**parts, "average": self.average.module}


@dataclass(frozen=True, kw_only=True)
class _Epoch:
    """What the training steps of one epoch gave."""

    lr: float
    loss: float
    accuracy: float
    seconds: float
    clock: Clock


@dataclass
class _Tally:
    """Sums over the steps of an epoch, read from the device now and then: reading waits for all of its work."""

    where: str
    """The epoch, for messages."""
    loss: float = 0.0
    """Sum over items."""
    correct: float = 0.0
    """Number of items that are classified as their target."""
    waiting: list[tuple[Losses, Tensor, int]] = field(default_factory=list)
    """Losses, correct items and size of the steps that were not read yet."""

    def add(self, losses: Losses, correct: Tensor, size: int) -> None:
        """Note a step."""
        self.waiting.append((losses, correct, size))
        if len(self.waiting) >= SETTLED:
            self.settle()

    def settle(self) -> None:
        """Read the steps that were not read yet; raises RunError where a loss is not a number."""
        if not self.waiting:
            return
        values = iter(torch.stack([loss for losses, _, _ in self.waiting for loss, _ in losses]).tolist())
        for losses, _, size in self.waiting:
            loss = sum(next(values) * share for _, share in losses)
            if not math.isfinite(loss):
                raise RunError(diverged(f"the loss became {loss} in {self.where}"))
            self.loss += loss * size
        self.correct += sum(torch.stack([correct for _, correct, _ in self.waiting]).tolist())
        self.waiting.clear()


def fit(
    fabric: lightning_fabric.Fabric,
    stage: Stage,
    task: Task,
    config: FinetuneConfig,
    progress: Progress | None = None,
    *,
    checkpoint: Path | str = "the checkpoint",
    save: Callable[[Progress], None] = lambda _: None,
    tick: Callable[[int], None] = lambda _: None,
    log: Callable[[str], None] = print,
) -> Progress:
    """Train one stage from where `progress` stands; `stage.module` ends with its best weights.

    The best epoch is that of the highest macro-F1 of the validation clips, then of the lowest validation loss; without
    a validation subset it is the last. Each stage is scored by its own epochs (otherwise a lucky epoch of the frozen
    stage would be kept over all fine-tuned ones), unless its start counts: then weights between start and end take part
    too.

    Several processes share each batch, so that they take the steps that one would take; rank zero validates and saves.

    Parameters
    ----------
    fabric
        Device, precision and processes, from `devices.set_up`.
    stage
        What is trained, and on what.
    task
        What is learned.
    config
        Optimizer, loss and mixing; the stage decides about epochs and learning rate.
    progress
        Where an interrupted training stands; it is changed. None starts a new one.
    checkpoint
        The file that `progress` was read from, for messages.
    save
        Called on rank zero after each epoch.
    tick
        Called with the number of items after each step.
    log
        Called with a line of text when a batch does not fit into memory.

    Returns
    -------
    Progress
        Where the training stands, with its history.

    Raises
    ------
    RunError
        the loss is no longer a number, a process's share of a batch does not fit into memory, or the checkpoint is of
        another network.
    ConfigError
        a batch holds one segment, from which batch normalization cannot learn.
    """
    progress = progress or Progress()
    training = _begin(fabric, stage, task, config, log)
    if progress.stage == stage.name:
        restore(training.parts(), progress, checkpoint)
    else:
        begin(stage, progress)
    began = time.perf_counter()
    while progress.epoch < stage.epochs and not (config.patience and progress.since_best >= config.patience):
        epoch = _train_epoch(training, progress.epoch, tick)
        scores = validate(fabric, stage, task, training.result, progress.epoch)
        now = time.perf_counter()
        result = EpochResult(
            epoch=len(progress.history) + 1,
            stage=stage.name,
            lr=epoch.lr,
            train_loss=epoch.loss,
            train_accuracy=epoch.accuracy,
            val=scores,
            seconds=now - began,
            seconds_steps=epoch.seconds,
            seconds_loading=epoch.clock.loading,
            seconds_waiting=epoch.clock.waiting,
        )
        began = now  # so that saving counts, in the next epoch
        if isinstance(training.schedule, ReduceLROnPlateau):
            training.schedule.step(result.score[0])
        states = {name: part.state_dict() for name, part in training.parts().items()}
        advance(progress, result, training.result, states)
        if fabric.is_global_zero:
            save(progress)
        fabric.barrier()
    if stage.start_counts:
        interpolate(fabric, stage, task, progress, weights_of(training.result))
    stage.module.load_state_dict(progress.best)
    return progress


def _begin(
    fabric: lightning_fabric.Fabric, stage: Stage, task: Task, config: FinetuneConfig, log: Callable[[str], None]
) -> _Training:
    """Make optimizer, schedule and moving average."""
    steps = len(stage.plain.split(task.train))
    optimizer = make_optimizer(
        stage.module,
        config,
        lr=stage.lr,
        layer_decay=stage.layer_decay,
        layers=stage.layers,
        undecayed=stage.undecayed,
    )
    schedule = make_schedule(optimizer, config, epochs=stage.epochs, steps=steps)
    module, wrapped = fabric.setup(stage.module, optimizer)
    decay = config.ema_decay
    return _Training(
        fabric=fabric,
        stage=stage,
        task=task,
        config=config,
        module=module,
        optimizer=wrapped,
        schedule=schedule,
        average=timm.utils.ModelEmaV3(stage.module, decay=decay, use_warmup=True) if decay else None,
        steps=steps,
        micro=stage.plain.batch_size,
        log=log,
    )


def _train_epoch(training: _Training, epoch: int, tick: Callable[[int], None]) -> _Epoch:
    """Take all steps of one epoch, with random numbers that depend on seed, epoch and process alone."""
    fabric, stage, task, config = training.fabric, training.stage, training.task, training.config
    rng = np.random.default_rng([config.seed, epoch, fabric.global_rank])
    share = slice(fabric.global_rank, None, fabric.world_size)
    training.module.train()
    for part in stage.keep_eval:
        part.eval()
    batches, clock = stage.train[epoch % len(stage.train)], Clock()
    order = _order(task, config, epoch, batches.arrays)
    sizes = map(len, batches.split(order))
    tally, began = _Tally(where=f"epoch {epoch + 1} of stage '{stage.name}'"), time.perf_counter()
    with seeded(int(rng.integers(2**62)), fabric.device):
        for step, (size, (items, x)) in enumerate(
            zip(sizes, batches(order, epoch, clock=clock, share=share), strict=True)
        ):
            targets = _targets(torch.from_numpy(task.truth[items]), task.classes, config).to(
                x.device, non_blocking=True
            )
            if x.shape[-1] > 1:
                x, targets = mix(x, targets, mixup=config.mixup, cutmix=config.cutmix, rng=rng)
            weight = len(items) * fabric.world_size / size  # the gradients of all processes are averaged as equals
            losses, logits = _gradients(training, x, targets, weight)
            _update(training, epoch * training.steps + step)
            tally.add(losses, (logits.argmax(dim=1) == targets.argmax(dim=1)).sum(), len(items))
            tick(size)
    tally.settle()
    seconds = time.perf_counter() - began - clock.waiting
    loss, correct = _summed(fabric, tally.loss, tally.correct)
    lr = max(group["lr"] for group in training.optimizer.param_groups)
    return _Epoch(lr=lr, loss=loss / len(order), accuracy=correct / len(order), seconds=seconds, clock=clock)


def _gradients(training: _Training, x: Tensor, targets: Tensor, weight: float) -> tuple[Losses, Tensor]:
    """Compute the gradients of one batch, in halves as long as it does not fit; return its losses and logits."""
    while True:
        try:
            return _backward(training, x, targets, weight)
        except torch.OutOfMemoryError:
            if training.micro == 1:
                raise
            if training.fabric.world_size > 1:  # the others would wait for gradients that never come
                raise RunError("a share of a batch did not fit into memory: lower --batch-size") from None
            training.optimizer.zero_grad(set_to_none=True)
            torch.cuda.empty_cache()
            training.micro = math.ceil(training.micro / 2)
            training.log(
                f"a batch did not fit into memory: {training.micro} segments at a time from here, gradients added up"
            )


def _backward(training: _Training, x: Tensor, targets: Tensor, weight: float) -> tuple[Losses, Tensor]:
    """Add up the gradients of `weight` times one batch, `micro` segments at a time; return its losses and logits."""
    losses, logits, micro = [], [], training.micro
    for start in range(0, len(x), micro):
        part, wanted = x[start : start + micro], targets[start : start + micro]
        try:
            out = training.module(part).float()
        except ValueError as error:
            if len(part) > 1 or "more than 1 value" not in str(error):
                raise
            raise ConfigError(
                f"batch normalization cannot learn from one segment whose feature map is one cell: a batch holds "
                f"{len(part)} of {len(training.task.train)} segments; choose another --batch-size, or --freeze-bn"
            ) from None
        if training.config.balance == "focal":
            log = F.log_softmax(out, dim=1)
            loss = -(wanted * (1 - log.exp()) ** FOCAL_GAMMA * log).sum(dim=1).mean()
        else:
            loss = F.cross_entropy(out, wanted, weight=training.task.class_weights)
        share = len(part) / len(x)
        training.fabric.backward(loss * (share * weight))
        losses.append((loss.detach(), share))
        logits.append(out.detach())
    return losses, torch.cat(logits)


def _update(training: _Training, step: int) -> None:
    """Clip the gradients and change the weights by them; `step` counts from the beginning of the stage."""
    config, optimizer = training.config, training.optimizer
    if config.grad_clip:
        training.fabric.clip_gradients(training.module, optimizer, max_norm=config.grad_clip, error_if_nonfinite=False)
    if not isinstance(training.schedule, ReduceLROnPlateau):
        training.schedule.step_update(step)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    if training.average:
        training.average.update(training.stage.module)


def _order(task: Task, config: FinetuneConfig, epoch: int, arrays: object) -> Items:
    """Return the training items of an epoch in the order they are seen; the same for every process."""
    rng, items = np.random.default_rng([config.seed, epoch]), task.train
    if config.balance == "sampler":
        counts = np.bincount(task.truth[items])
        weights = 1.0 / counts[task.truth[items]]
        items = rng.choice(items, size=len(items), p=weights / weights.sum())
    if isinstance(arrays, StreamedImages):
        return arrays.shuffled(items, rng)
    return items if config.balance == "sampler" else rng.permutation(items)


def _targets(truth: Tensor, classes: int, config: FinetuneConfig) -> Tensor:
    return F.one_hot(truth, classes) * (1 - config.label_smoothing) + config.label_smoothing / classes


def _summed(fabric: lightning_fabric.Fabric, *values: float) -> list[float]:
    """Add each value up over all processes."""
    if fabric.world_size == 1:
        return list(values)
    tensor = torch.tensor(values, dtype=torch.float64, device=fabric.device)
    total: Any = fabric.all_reduce(tensor, reduce_op="sum")
    return [float(value) for value in total]
