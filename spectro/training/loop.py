"""The training loop, in plain sight: one stage after another, epoch by epoch, resumable at each epoch's end."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import lightning_fabric
import numpy as np
import timm.optim
import timm.scheduler
import timm.utils
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import ReduceLROnPlateau

from spectro.core.config import FinetuneConfig
from spectro.core.errors import RunError
from spectro.inference.batches import Batches, Clock, Items, predict_logits
from spectro.training.augment import mix

Row = dict[str, Any]
FOCAL_GAMMA = 2.0


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One stretch of training: what is trained, on what, for how long."""

    name: str
    """`frozen`, `finetune` or `scratch`."""
    module: nn.Module
    """Everything that is trained; from a batch of `train` to logits."""
    groups: list[dict[str, Any]]
    """Parameter groups of the optimizer."""
    epochs: int
    """Number of epochs."""
    lr: float
    """Highest learning rate."""
    train: Callable[[int], Batches]
    """Batches of an epoch."""
    plain: Batches
    """Batches without augmentation, for validation."""
    keep_eval: tuple[nn.Module, ...] = ()
    """Parts that stay in evaluation mode (frozen batch normalization)."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is learned: the items of each fold, their classes, and how a state is judged."""

    train: Items
    val: Items
    truth: Items
    """`[items]`, class of every item of the data."""
    classes: int
    """Number of classes."""
    class_weights: Tensor | None
    score: Callable[[NDArray[np.float32]], Row]
    """From the logits of `val` to `val_loss`, `val_clip_f1`, ..."""


@dataclass
class Progress:
    """Where a training stands: everything, beside the seeds, that an interrupted one needs to go on."""

    stage: str = ""
    epoch: int = 0
    states: dict[str, Any] = field(default_factory=dict)
    best: dict[str, Tensor] = field(default_factory=dict)
    best_score: list[float] = field(default_factory=lambda: [-math.inf])
    best_epoch: int = 0
    since_best: int = 0
    history: list[Row] = field(default_factory=list)
    seconds: float = 0.0
    """What it has taken up to the last saved epoch, in one sitting or several."""


def fit(
    fabric: lightning_fabric.Fabric,
    stage: Stage,
    task: Task,
    config: FinetuneConfig,
    progress: Progress,
    *,
    save: Callable[[Progress], None],
    tick: Callable[[int], None],
    tell: Callable[[str], None],
) -> None:
    """Train one stage from where `progress` stands; `stage.module` ends with its best weights.

    The best epoch is that of the highest macro-F1 of the validation clips, then of the lowest validation loss; without
    a validation fold it is the last. Each stage is judged by its own epochs: on few validation clips one lucky epoch of
    the frozen stage would else outlive a whole fine-tuning.

    Several processes share each batch, so that they take the steps that one would take; the first one judges and saves.

    Raises
    ------
    RunError
        the loss is no longer a number, or a process's share of a batch does not fit into memory.
    """
    micro = stage.plain.batch_size
    share = slice(fabric.global_rank, None, fabric.world_size)
    steps = len(stage.plain.split(task.train))
    optimizer = timm.optim.create_optimizer_v2(stage.groups, opt="adamw", lr=stage.lr, weight_decay=0.0)
    schedule = _schedule(optimizer, stage, config, steps)
    module, optimizer = fabric.setup(stage.module, optimizer)
    average = timm.utils.ModelEmaV3(stage.module, decay=config.ema, use_warmup=True) if config.ema else None
    parts: dict[str, Any] = {"module": stage.module, "optimizer": optimizer, "schedule": schedule}
    parts |= {"average": average.module} if average else {}
    if progress.stage == stage.name:
        for name, part in parts.items():
            part.load_state_dict(progress.states[name])
    else:
        progress.stage, progress.epoch, progress.since_best = stage.name, 0, 0
        progress.best, progress.best_score = _copy(stage.module), [-math.inf]

    began = time.perf_counter()
    while progress.epoch < stage.epochs and not (config.patience and progress.since_best >= config.patience):
        clock, epoch = Clock(), progress.epoch
        rng = np.random.default_rng([config.seed, epoch, fabric.global_rank])
        torch.manual_seed(int(rng.integers(2**62)))
        module.train()
        for part in stage.keep_eval:
            part.eval()
        batches, order = stage.train(epoch), _order(task, config, epoch)
        sizes = map(len, batches.split(order))
        losses, correct, stepping = 0.0, 0.0, time.perf_counter()
        for step, (size, (items, x)) in enumerate(
            zip(sizes, batches(order, epoch, clock=clock, share=share), strict=True)
        ):
            targets = _targets(torch.from_numpy(task.truth[items]).to(x.device), task.classes, config)
            if config.mixup and x.shape[-1] > 1:
                x, targets = mix(x, targets, config.mixup, rng)
            weight = len(items) * fabric.world_size / size  # the gradients of all processes are averaged as equals
            while True:  # a batch that does not fit is halved until it does
                try:
                    loss, logits = _backward(fabric, module, x, targets, task.class_weights, config, weight, micro)
                    break
                except torch.OutOfMemoryError:
                    if micro == 1:
                        raise
                    if fabric.world_size > 1:  # the others would wait for gradients that never come
                        raise RunError("a share of a batch did not fit into memory: lower --batch-size") from None
                    optimizer.zero_grad(set_to_none=True)
                    torch.cuda.empty_cache()
                    micro = math.ceil(micro / 2)
                    tell(f"a batch did not fit into memory: {micro} segments at a time from here, gradients added up")
            if not math.isfinite(loss):
                raise RunError(
                    f"the loss became {loss} in epoch {epoch + 1} of stage '{stage.name}'; the last good state is "
                    "kept: lower the learning rate (--lr, --finetune-lr) and start again in a new --out"
                )
            if config.clip_norm:
                fabric.clip_gradients(module, optimizer, max_norm=config.clip_norm, error_if_nonfinite=False)
            if not isinstance(schedule, ReduceLROnPlateau):
                schedule.step_update(epoch * steps + step)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            if average:
                average.update(stage.module)
            losses += loss * len(items)
            correct += int((logits.argmax(dim=1) == targets.argmax(dim=1)).sum())
            tick(size)
        stepping = time.perf_counter() - stepping - clock.waiting
        losses, correct = _summed(fabric, losses, correct)
        row: Row = {
            "epoch": len(progress.history) + 1,
            "stage": stage.name,
            "lr": max(group["lr"] for group in optimizer.param_groups),
            "train_loss": losses / len(order),
            "train_accuracy": correct / len(order),
        }
        judged = average.module if average else stage.module
        if len(task.val) and fabric.is_global_zero:
            with fabric.autocast():
                row |= task.score(predict_logits(judged, stage.plain, task.val))
        row = fabric.broadcast(row)
        score = [row["val_clip_f1"], -row["val_loss"]] if len(task.val) else [float(row["epoch"])]
        if isinstance(schedule, ReduceLROnPlateau):
            schedule.step(score[0])
        now = time.perf_counter()
        row |= {"seconds": now - began, "seconds_steps": stepping}
        row |= {"seconds_loading": clock.loading, "seconds_waiting": clock.waiting}
        progress.history.append(row)
        began = now  # so that saving counts, in the next epoch
        progress.epoch, progress.since_best = epoch + 1, progress.since_best + 1
        if score > progress.best_score:
            progress.best, progress.best_score = _copy(average.module if average else stage.module), score
            progress.best_epoch, progress.since_best = row["epoch"], 0
        progress.states = {name: part.state_dict() for name, part in parts.items()}
        if fabric.is_global_zero:
            save(progress)
        fabric.barrier()
    stage.module.load_state_dict(progress.best)


def _schedule(
    optimizer: torch.optim.Optimizer, stage: Stage, config: FinetuneConfig, steps: int
) -> timm.scheduler.scheduler.Scheduler | ReduceLROnPlateau:
    warm = round(config.warmup * stage.epochs * steps)
    if config.schedule == "plateau":
        return ReduceLROnPlateau(optimizer, mode="max", factor=0.1, patience=max(1, config.patience // 2))
    if config.schedule == "constant":
        forever = stage.epochs * steps + 1
        return timm.scheduler.StepLRScheduler(optimizer, decay_t=forever, warmup_t=warm, t_in_epochs=False)
    length = max(1, stage.epochs * steps - warm)
    return timm.scheduler.CosineLRScheduler(
        optimizer, t_initial=length, warmup_t=warm, warmup_prefix=True, t_in_epochs=False
    )


def _order(task: Task, config: FinetuneConfig, epoch: int) -> Items:
    """Return the training items of an epoch in the order they are seen; the same for every process."""
    rng = np.random.default_rng([config.seed, epoch])
    if config.balance == "sampler":
        counts = np.bincount(task.truth[task.train])
        weights = 1.0 / counts[task.truth[task.train]]
        return rng.choice(task.train, size=len(task.train), p=weights / weights.sum())
    return rng.permutation(task.train)


def _targets(truth: Tensor, classes: int, config: FinetuneConfig) -> Tensor:
    return F.one_hot(truth, classes) * (1 - config.label_smoothing) + config.label_smoothing / classes


def _backward(
    fabric: lightning_fabric.Fabric,
    module: Any,
    x: Tensor,
    targets: Tensor,
    weights: Tensor | None,
    config: FinetuneConfig,
    weight: float,
    micro: int,
) -> tuple[float, Tensor]:
    """Add up the gradients of `weight` times one batch, `micro` segments at a time; return its mean loss and logits."""
    total, logits = 0.0, []
    for start in range(0, len(x), micro):
        part, wanted = x[start : start + micro], targets[start : start + micro]
        out = module(part).float()
        if config.balance == "focal":
            log = F.log_softmax(out, dim=1)
            loss = -(wanted * (1 - log.exp()) ** FOCAL_GAMMA * log).sum(dim=1).mean()
        else:
            loss = F.cross_entropy(out, wanted, weight=weights)
        share = len(part) / len(x)
        fabric.backward(loss * (share * weight))
        total += loss.item() * share
        logits.append(out.detach())
    return total, torch.cat(logits)


def _summed(fabric: lightning_fabric.Fabric, *values: float) -> list[float]:
    """Add each value up over all processes."""
    if fabric.world_size == 1:
        return list(values)
    together: Any = fabric.all_reduce(torch.tensor(values, dtype=torch.float64, device=fabric.device), reduce_op="sum")
    return [float(value) for value in together]


def _copy(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().cpu().clone() for name, value in module.state_dict().items()}
