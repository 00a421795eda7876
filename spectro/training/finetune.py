"""Train one model on one split: the head on cached features of a frozen backbone, then the layers behind it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning_fabric
import numpy as np
import rich.console
import rich.progress
import timm.optim
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from spectro.core.arrays import softmax
from spectro.core.config import Config, FinetuneConfig, ModelConfig
from spectro.core.errors import ConfigError
from spectro.core.runs import Run
from spectro.inference.batches import Batches
from spectro.models import NETWORKS, WeightsInfo, build_pretrained
from spectro.models.network import Network, Normalize
from spectro.models.split import split_backbone
from spectro.training.augment import Augment
from spectro.training.backbone_features import cache_key, cached_features
from spectro.training.checkpoint import claim, discard_checkpoint, load_checkpoint, save_checkpoint
from spectro.training.dataset import TrainingData
from spectro.training.devices import on_rank_zero, reporting_failures, set_up
from spectro.training.loop import Progress, Stage, Task, fit
from spectro.training.save import save_network
from spectro.training.tracking import TRACKERS

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.SyncBatchNorm)


def finetune(
    data: Path | str,
    *,
    out: Path | str,
    model: ModelConfig | None = None,
    config: FinetuneConfig | None = None,
    split: str = "group",
    weights: str = "auto",
    config_id: str | None = None,
    feature: str = "mel",
    feature_config: Config | None = None,
    track: Sequence[str] = (),
    progress: bool = False,
) -> Run:
    """Train a model on the pictures of `data`, or on another feature, and leave all that is needed to use it in `out`.

    The same call after an interruption goes on from the last finished epoch and ends with the same weights, history
    and predictions; after a finished run it returns that run.

    Parameters
    ----------
    data
        folder that `render` and `split` wrote.
    out
        folder of the run.
    model, config
        what is trained, and how.
    split
        name of a split in `data/splits`.
    weights
        `auto`, `none`, `hub` or a file: where the pretrained weights come from.
    config_id
        which pictures, when `data` holds several configurations.
    feature, feature_config
        what the model eats: `mel` is the pictures, any other name of `FEATURES` is computed once, under its settings.
        Only pictures are augmented.
    track
        `tensorboard`, `mlflow`: where else than in `history.csv` each epoch is written down.
    progress
        draw a progress bar.

    Raises
    ------
    ConfigError
        a setting does not fit the model, the number of processes or the installed packages.
    DataError
        the split lacks clips or classes.
    RunError
        `out` holds a run of other settings, or the training failed.
    WeightsError
        the weights are not at hand.
    """
    model, config = model or ModelConfig(), config or FinetuneConfig()
    if model.name in NETWORKS and not config.epochs:
        raise ConfigError(f"epochs is 0, but '{model.name}' has no frozen stage: all its layers train for `epochs`")
    fabric = set_up(config.device, config.precision)
    dataset = on_rank_zero(
        fabric, lambda: TrainingData.open(data, split, config_id, feature, feature_config, progress=progress)
    )
    started = time.perf_counter()  # features, like pictures, are there before training
    if dataset.features:
        config = replace(config, augment="none")
    run = Run(Path(out))
    job: dict[str, Any] = {
        "model": model.to_dict(),
        "training": config.to_dict(),
        "split": dataset.split.sha256,
        "pictures": dataset.store.config_id,
        "weights": weights,
        **({"feature": {feature: dataset.features.config_id}} if dataset.features else {}),
    }
    processes, smallest = fabric.world_size, min(config.batch_size, config.head_batch_size)
    if processes > 1 and smallest < 2 * processes:
        raise ConfigError(
            f"{processes} processes cannot share batches of {smallest}; they need {2 * processes} or more"
        )
    if on_rank_zero(fabric, lambda: claim(run, job)):
        return Run.open(run.path)
    torch.manual_seed(config.seed)
    shape = on_rank_zero(fabric, lambda: dataset.shape)
    network, origin = build_pretrained(model, len(dataset.labels), shape, weights)
    if dataset.features and isinstance(network.normalize, Normalize):
        network.normalize.refit(*dataset.scale())
    network.to(fabric.device).to(memory_format=torch.channels_last)
    console = rich.console.Console(stderr=True, quiet=not (progress and fabric.is_global_zero))
    columns = (*rich.progress.Progress.get_default_columns(), rich.progress.TimeElapsedColumn())
    state = load_checkpoint(run)
    began = started - state.seconds
    with reporting_failures(fabric, run), ExitStack() as opened:
        trackers = [
            opened.enter_context(TRACKERS[name](run, {**model.to_dict(), **config.to_dict()}))
            for name in (track if fabric.is_global_zero else ())
        ]

        def save(state: Progress) -> None:
            save_checkpoint(run, state, began)
            for tracker in trackers:
                tracker(state.history[-1])

        with rich.progress.Progress(*columns, console=console, disable=console.quiet) as bar:
            for stage in _stages(network, model, config, dataset, fabric, origin, state.stage, bar):
                total = stage.epochs * len(dataset.folds["train"])
                done = state.epoch * len(dataset.folds["train"]) if state.stage == stage.name else 0
                ticker = bar.add_task(f"{run.name} {stage.name}", total=total, completed=done)
                fit(
                    fabric,
                    stage,
                    _task(dataset, config, fabric.device),
                    config,
                    state,
                    save=save,
                    tick=lambda items, ticker=ticker: bar.advance(ticker, items),  # type: ignore[misc]
                    tell=console.print,
                )
                bar.update(ticker, completed=total)
        if fabric.is_global_zero:
            facts = {
                "model": {**model.to_dict(), "parameters": sum(p.numel() for p in network.parameters())},
                "weights": origin.to_card(),
                "training": config.to_dict(),
                "seed": config.seed,
                "history": {
                    "finetune_starts": next(
                        (row["epoch"] for row in state.history if row["stage"] == "finetune"), None
                    ),
                    "best_epoch": state.best_epoch,
                    "seconds": time.perf_counter() - began,
                },
            }
            save_network(run, dataset, network, fabric.device, facts)
            discard_checkpoint(run)
    fabric.barrier()
    return Run.open(run.path)


def _stages(
    network: Network,
    model: ModelConfig,
    config: FinetuneConfig,
    dataset: TrainingData,
    fabric: lightning_fabric.Fabric,
    origin: WeightsInfo,
    reached: str,
    bar: rich.progress.Progress,
) -> Any:
    """Yield the stages that are still to be trained, each made when its turn comes."""
    arrays = dataset.arrays()
    augment = Augment(config.augment, config.seed, dataset.shape)
    plain = Batches(arrays, fabric.device, config.batch_size)
    augmented = plain if augment.transform is None else Batches(arrays, fabric.device, config.batch_size, augment)
    if model.name in NETWORKS:
        yield Stage(
            name="scratch",
            module=network,
            groups=_groups(network, config.weight_decay, 1.0),
            epochs=config.epochs,
            lr=config.lr,
            train=lambda _: augmented,
            plain=plain,
        )
        return

    def cached(what: str, extract: Callable[[Tensor], Tensor], size: int, *, pooled: bool) -> list[Batches]:
        facts = {"name": model.name, "in_chans": model.in_chans, "weights": origin.sha256 or f"random {config.seed}"}
        views = _cached_views(
            extract, {**facts, "what": what, "pooled": pooled}, config, dataset, (plain, augmented), fabric, bar
        )
        return [Batches(view, fabric.device, size) for view in views]

    if config.epochs and reached in ("", "frozen"):
        pooled = bool(getattr(network.head, "pooled", False))
        maps = cached("features", network.eval().features, config.head_batch_size, pooled=pooled)
        yield Stage(
            name="frozen",
            module=network.head,
            groups=_groups(network.head, config.weight_decay, 1.0),
            epochs=config.epochs,
            lr=config.lr,
            train=lambda epoch: maps[epoch % len(maps)],
            plain=maps[0],
        )
    if config.finetune_epochs:
        stages = network.stages()
        frozen = stages[: -config.unfreeze] if config.unfreeze else []
        for parameter in [p for stage in frozen for p in stage.parameters()]:
            parameter.requires_grad_(False)
        still = [m for m in network.modules() if isinstance(m, BATCH_NORMS)] if config.bn == "frozen" else frozen
        module: nn.Module = network
        fed, judged = [augmented], plain
        if config.cache_finetune:
            front, back = split_backbone(network.backbone.eval(), stages[-config.unfreeze :], model.name)
            before = nn.Sequential(network.normalize, front)
            fed = cached(f"before the last {config.unfreeze}", before, config.batch_size, pooled=False)
            module, judged = nn.Sequential(back, network.head), fed[0]
        if config.compile:
            module.compile()
        yield Stage(
            name="finetune",
            module=module,
            groups=_groups(module, config.weight_decay, config.layer_decay),
            epochs=config.finetune_epochs,
            lr=config.finetune_lr,
            train=lambda epoch: fed[epoch % len(fed)],
            plain=judged,
            keep_eval=tuple(still),
        )


def _cached_views(
    extract: Callable[[Tensor], Tensor],
    facts: dict[str, Any],
    config: FinetuneConfig,
    dataset: TrainingData,
    batches: tuple[Batches, Batches],
    fabric: lightning_fabric.Fabric,
    bar: rich.progress.Progress,
) -> list[NDArray[np.float16]]:
    """Return what `extract` gives for every picture, one array per view: the plain pictures, then augmented ones."""
    items = len(dataset.segments)
    ticker = bar.add_task("features of the frozen backbone", total=config.views * items)
    views = []
    for view in range(config.views):
        made_by = {"augment": config.augment, "seed": config.seed, "view": view} if view else {}
        key = cache_key(**facts, pictures=dataset.digest(), **made_by)
        path = (dataset.features or dataset.store).path / "features" / f"{facts['name']}-{key}.npy"
        if fabric.is_global_zero:
            cached_features(
                path,
                extract,
                batches[min(view, 1)],
                items,
                epoch=view,
                pooled=facts["pooled"],
                tick=lambda done: bar.advance(ticker, done),
            )
        fabric.barrier()  # the others read what the first has written
        views.append(np.load(path, mmap_mode="r"))
    return views


def _task(dataset: TrainingData, config: FinetuneConfig, device: torch.device) -> Task:
    """Return what is learned from the dataset."""
    train, val = dataset.folds["train"], dataset.folds["val"]
    counts = np.bincount(dataset.truth[train], minlength=len(dataset.labels))
    weights = torch.tensor(len(train) / (len(counts) * counts), dtype=torch.float32, device=device)
    return Task(
        train=train,
        val=val,
        truth=dataset.truth,
        classes=len(dataset.labels),
        class_weights=weights if config.balance == "weights" else None,
        score=lambda logits: dataset.score(val, softmax(logits)),
    )


def _groups(module: nn.Module, weight_decay: float, layer_decay: float) -> list[dict[str, Any]]:
    """Return the trainable parameters, without weight decay on biases and norms, with a rate that falls by layer."""
    if layer_decay < 1:
        groups: list[dict[str, Any]] = timm.optim.param_groups_layer_decay(
            module, weight_decay=weight_decay, layer_decay=layer_decay
        )
    else:
        groups = timm.optim.param_groups_weight_decay(module, weight_decay=weight_decay)
    return groups
