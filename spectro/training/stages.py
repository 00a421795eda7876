"""The stages of a training: a head on cached features of a frozen backbone, fine-tuning, or a network from scratch."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import lightning_fabric
import numpy as np
import rich.progress
import torch
from torch import Tensor, nn

from spectro.core.arrays import softmax
from spectro.core.config import FinetuneConfig, ModelConfig
from spectro.core.errors import ConfigError
from spectro.inference.batches import Batches
from spectro.models import NETWORKS
from spectro.models.heads import Multi
from spectro.models.network import Network
from spectro.models.split import split_backbone
from spectro.training.augment import Augment
from spectro.training.backbone_features import Cache, cached_backbone_features, facts_of
from spectro.training.dataset import TrainingData
from spectro.training.devices import on_rank_zero
from spectro.training.regression import penalties_of
from spectro.training.task import Stage, Task

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.SyncBatchNorm)
FINETUNE_EPOCHS, SCRATCH_EPOCHS = 10, 30
"""Epochs of all layers where none are given."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything that the stages of one training are made from."""

    model: ModelConfig
    config: FinetuneConfig
    data: TrainingData
    network: Network
    """On the device, with its first weights."""
    weights: str
    """What distinguishes the first weights from others: their hash, or the seed of random ones."""
    fabric: lightning_fabric.Fabric
    bar: rich.progress.Progress
    plain: Batches
    """The items as they are."""
    augmented: Batches
    """The items with augmentation; the same as `plain` without it."""


def resolve_settings(model: ModelConfig, config: FinetuneConfig, items: int) -> FinetuneConfig:
    """Return the settings with a number for `epochs` and a choice of `freeze_bn`.

    Where no number is given, it is 10 for fine-tuning and 30 from scratch, or as many as make `min_steps` steps.

    Parameters
    ----------
    model, config
        What is trained, and how.
    items
        Number of training items.

    Raises
    ------
    ConfigError
        an own network, which has no frozen stage, would not be trained at all.
    """
    usual = usual_epochs(model, config)
    if config.freeze_bn is None:
        config = replace(config, freeze_bn=model.head == "multi" and model.name not in NETWORKS)
    if config.epochs is not None:
        return config
    steps = math.ceil(items / config.batch_size)
    return replace(config, epochs=max(usual, math.ceil(config.min_steps / steps)))


def usual_epochs(model: ModelConfig, config: FinetuneConfig) -> int:
    """Return how many epochs of all layers are given, or the usual number.

    Raises
    ------
    ConfigError
        an own network, which has no frozen stage, would not be trained at all.
    """
    scratch = model.name in NETWORKS
    if scratch and config.epochs == 0:
        raise ConfigError(
            f"epochs is 0, but '{model.name}' has no frozen stage: all its layers train for `epochs`, "
            f"say --epochs {SCRATCH_EPOCHS}"
        )
    if config.epochs is not None:
        return config.epochs
    return SCRATCH_EPOCHS if scratch else FINETUNE_EPOCHS


def make_batches(data: TrainingData, config: FinetuneConfig, device: torch.device) -> tuple[Batches, Batches]:
    """Return batches of the items as they are, and augmented; one and the same where nothing is augmented."""
    arrays = data.arrays()
    augment = Augment(config.augment, config.seed, data.shape)
    plain = Batches(arrays, device, config.batch_size)
    return plain, plain if augment.transform is None else Batches(arrays, device, config.batch_size, augment)


def make_task(data: TrainingData, config: FinetuneConfig, device: torch.device) -> Task:
    """Return what is to be learned from the data, with class weights if they are wanted."""
    train, val = data.subsets["train"], data.subsets["val"]
    counts = np.bincount(data.truth[train], minlength=len(data.labels))
    weights = torch.tensor(len(train) / (len(counts) * counts), dtype=torch.float32, device=device)
    return Task(
        train=train,
        val=val,
        truth=data.truth,
        classes=len(data.labels),
        class_weights=weights if config.balance == "weights" else None,
        score=lambda logits: data.score(val, softmax(logits)),
    )


def make_stages(plan: Plan, task: Task, reached: str = "") -> Iterator[Stage]:
    """Yield the stages that are still to be trained, each made when its turn comes.

    Parameters
    ----------
    plan
        What they are made from; its settings have a number of epochs (`resolve_settings`).
    task
        What is learned.
    reached
        Name of the stage that an interrupted training stands in; empty at the beginning.
    """
    if plan.model.name in NETWORKS:
        yield _scratch(plan)
        return
    if plan.config.frozen_epochs and reached in ("", "frozen"):
        yield _frozen(plan, task)
    if plan.config.epochs:
        yield _finetuning(plan, plan.config.epochs)


def _scratch(plan: Plan) -> Stage:
    """Train all layers of an own network, from random weights."""
    return Stage(
        name="scratch",
        module=plan.network,
        epochs=plan.config.epochs or 0,
        lr=plan.config.lr,
        train=(plan.augmented,),
        plain=plan.plain,
    )


def _frozen(plan: Plan, task: Task) -> Stage:
    """Train the head alone, on cached features of the frozen backbone; the head `multi` is solved."""
    network, config = plan.network, plan.config
    solved = isinstance(network.head, Multi)
    pooled = bool(getattr(network.head, "pooled", False))
    batches = _cached(plan, "features", network.eval().features, config.head_batch_size, pooled=pooled)
    return Stage(
        name="frozen",
        module=network.head,
        epochs=len(penalties_of(task)) if solved else config.frozen_epochs,
        lr=config.lr,
        train=batches,
        plain=batches[0],
        solved=solved,
    )


def _finetuning(plan: Plan, epochs: int) -> Stage:
    """Train all layers, or the last ones on the output of the frozen ones, which may be cached."""
    network, config = plan.network, plan.config
    stages = network.stages()
    frozen = stages[: -config.unfreeze] if config.unfreeze else []
    for parameter in [p for stage in frozen for p in stage.parameters()]:
        parameter.requires_grad_(False)
    keep_eval = [m for m in network.modules() if isinstance(m, BATCH_NORMS)] if config.freeze_bn else frozen
    module: nn.Module = network
    train: tuple[Batches, ...] = (plan.augmented,)
    plain = plan.plain
    if config.cache_finetune:
        shape = (plan.model.in_chans, *plan.data.shape)
        front, back = split_backbone(network.backbone.eval(), stages[-config.unfreeze :], plan.model.name, shape)
        before = nn.Sequential(network.normalize, front)
        what = f"before the last {config.unfreeze}"
        train = _cached(plan, what, before, config.batch_size, pooled=False)
        module, plain = nn.Sequential(back, network.head), train[0]
    if config.compile:
        module.compile()
    return Stage(
        name="finetune",
        module=module,
        epochs=epochs,
        lr=config.finetune_lr,
        train=train,
        plain=plain,
        layer_decay=config.layer_decay,
        layers=tuple(stages),
        undecayed=network.undecayed(),
        keep_eval=tuple(keep_eval),
        start_counts=isinstance(network.head, Multi) and config.frozen_epochs > 0,
    )


def _cached(
    plan: Plan, what: str, extract: Callable[[Tensor], Tensor], batch_size: int, *, pooled: bool
) -> tuple[Batches, ...]:
    """Return batches of what `extract` gives for every item, one per view: the plain items, then augmented ones."""
    config, items = plan.config, len(plan.data.segments)
    ticker = plan.bar.add_task("features of the frozen backbone", total=config.views * items)
    caches = [_cache(plan, what, pooled=pooled, view=view) for view in range(config.views)]
    views = []
    for view, cache in enumerate(caches):

        def fill(view: int = view, cache: Cache = cache) -> None:
            cached_backbone_features(
                cache,
                extract,
                plan.augmented if view else plan.plain,
                items,
                epoch=view,
                pooled=pooled,
                pending=1 + sum(not later.path.exists() for later in caches[view + 1 :]),
                tick=lambda done: plan.bar.advance(ticker, done),
            )

        on_rank_zero(plan.fabric, fill)  # the others read what rank zero has written
        views.append(Batches(np.load(cache.path, mmap_mode="r", allow_pickle=False), plan.fabric.device, batch_size))
    return tuple(views)


def _cache(plan: Plan, what: str, *, pooled: bool, view: int) -> Cache:
    """Return where a view of the features is kept, and what it depends on."""
    model, config, data = plan.model, plan.config, plan.data
    return Cache.of(
        (data.features or data.store).path,
        model.name,
        **facts_of(model),
        weights=plan.weights,
        what=what,
        pooled=pooled,
        arrays=data.digest(),
        **({"augment": config.augment, "seed": config.seed, "view": view} if view else {}),
    )
