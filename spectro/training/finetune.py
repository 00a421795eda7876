"""Train one network on one split: the head on a frozen backbone, then the layers behind it; or all from scratch."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import lightning_fabric
import rich.console
import rich.progress
import torch

from spectro.core.card import HistoryFacts, ModelFacts
from spectro.core.config import Config, FinetuneConfig, ModelConfig
from spectro.core.data_folder import DataFolder
from spectro.core.errors import ConfigError
from spectro.core.files import digest_text
from spectro.core.runs import Run
from spectro.models import WeightsInfo, build_pretrained
from spectro.models.embedders import require_feature
from spectro.models.network import Network, Normalize
from spectro.training.advice import advice
from spectro.training.baseline import baseline_accuracy
from spectro.training.checkpoint import (
    Basis,
    checkpoint_path,
    discard_checkpoint,
    load_checkpoint,
    save_checkpoint,
    write_history,
)
from spectro.training.dataset import TrainingData
from spectro.training.devices import fast_arithmetic, on_rank_zero, reporting_failures, set_up
from spectro.training.jobs import Job, claim
from spectro.training.loop import fit
from spectro.training.progress import Progress
from spectro.training.regression import solve
from spectro.training.save import make_card, save_network
from spectro.training.seeds import seeded
from spectro.training.stages import Plan, make_batches, make_stages, make_task, resolve_settings
from spectro.training.tracking import TRACKERS


@dataclass(frozen=True, kw_only=True)
class _Session:
    """One network, its data and its run, while it is trained."""

    run: Run
    model: ModelConfig
    config: FinetuneConfig
    data: TrainingData
    network: Network
    weights: WeightsInfo
    fabric: lightning_fabric.Fabric
    track: Sequence[str]
    began: float
    """When the training began, by `time.perf_counter`; earlier by what an interrupted one has taken."""
    basis: Basis
    """What it was begun with."""


def finetune(
    data: DataFolder | Path | str,
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
    command: str = "",
) -> Run:
    """Train a network on the spectrograms of `data`, or on another feature, and leave a complete run in `out`.

    The same call after an interruption resumes from the last finished epoch and ends with the same weights, history
    and predictions; after a finished run it returns that run.

    Parameters
    ----------
    data
        Folder that `render` and `split` wrote.
    out
        Folder of the run.
    model, config
        What is trained, and how.
    split
        Name of a split in `data/splits`.
    weights
        Where the pretrained weights come from: `auto`, `none`, `hub` or a file.
    config_id
        Which spectrograms, when `data` holds several configurations.
    feature, feature_config
        Input of the network: `mel` is the spectrograms, any other name of `FEATURES` is computed once, with its
        settings. Only spectrograms are augmented.
    track
        Trackers that log each epoch beside `history.csv`: `tensorboard`, `mlflow`, `wandb`.
    progress
        Draw a progress bar.
    command
        Command line that started the training, for the card.

    Returns
    -------
    Run
        The finished run.

    Raises
    ------
    ConfigError
        a setting does not fit the model, the number of processes or the installed packages.
    DataError
        the split lacks clips or classes.
    RunError
        `out` holds a run of other settings or something else, or the training failed.
    BusyError
        another process is training in `out`.
    WeightsError
        the weights are not installed and cannot be downloaded.
    """
    model = model or ModelConfig()
    require_feature(model.name, feature)
    config = config or FinetuneConfig()
    fabric = set_up(config.device, config.precision)
    _check_shares(fabric, config)
    dataset = on_rank_zero(
        fabric, lambda: TrainingData.open(data, split, config_id, feature, feature_config, progress=progress)
    )
    started = time.perf_counter()  # features, like spectrograms, are there before training
    config = resolve_settings(model, config, len(dataset.subsets["train"]))
    config = replace(config, augment="none") if dataset.features else config
    run = Run(Path(out))
    job = Job(
        model=model,
        training=config,
        weights=weights,
        split=dataset.split.sha256,
        spectrograms=dataset.store.config_id,
        feature={feature: dataset.features.config_id} if dataset.features else {},
    )
    with ExitStack() as held:  # the folder, by rank zero, until the run is complete
        if on_rank_zero(fabric, lambda: held.enter_context(claim(run, job))):
            return Run.open(run)
        network, origin = _build(model, config, dataset, weights, fabric)
        basis = _basis(job, origin, dataset)
        state = load_checkpoint(run, basis)
        session = _Session(
            run=run,
            model=model,
            config=config,
            data=dataset,
            network=network,
            weights=origin,
            fabric=fabric,
            track=track,
            began=started - state.seconds,
            basis=basis,
        )
        with reporting_failures(fabric, run), fast_arithmetic(fabric.device):
            _train(session, state, progress)
            if fabric.is_global_zero:
                _save(session, state, command)
        fabric.barrier()
    return Run.open(run)


def _basis(job: Job, weights: WeightsInfo, data: TrainingData) -> Basis:
    """Return what a training is begun with; labels may be edited without rendering again."""
    classes = map(str, data.truth.tolist())
    inputs = digest_text(data.digest(), *data.labels, *classes)
    return Basis(job=job.config_id(), weights=weights.sha256, data=inputs)


def _check_shares(fabric: lightning_fabric.Fabric, config: FinetuneConfig) -> None:
    """Refuse batches that are too small to be shared; raises ConfigError."""
    processes, smallest = fabric.world_size, min(config.batch_size, config.head_batch_size)
    if processes > 1 and smallest < 2 * processes:
        raise ConfigError(
            f"{processes} processes cannot share batches of {smallest}; they need {2 * processes} or more"
        )


def _build(
    model: ModelConfig, config: FinetuneConfig, data: TrainingData, weights: str, fabric: lightning_fabric.Fabric
) -> tuple[Network, WeightsInfo]:
    """Return the network on its device with its first weights, scaled to the training items, and their origin."""
    shape = on_rank_zero(fabric, lambda: data.shape)
    with seeded(config.seed, fabric.device):
        network, origin = build_pretrained(model, len(data.labels), shape, weights)
    if data.features and isinstance(network.normalize, Normalize):
        network.normalize.refit(*data.scale())
    return network.to(fabric.device).to(memory_format=torch.channels_last), origin


def _train(session: _Session, state: Progress, progress: bool) -> None:
    """Train all stages that are not finished, with a checkpoint after each epoch."""
    run, fabric, config, data = session.run, session.fabric, session.config, session.data
    items = len(data.subsets["train"])
    plain, augmented = make_batches(data, config, fabric.device)
    with _bar(progress and fabric.is_global_zero) as bar, ExitStack() as opened:
        settings = {**session.model.to_dict(), **config.to_dict()}
        trackers = [
            opened.enter_context(TRACKERS[name](run, settings))
            for name in (session.track if fabric.is_global_zero else ())
        ]
        if state.history and fabric.is_global_zero:  # its last line may be missing: it is written after the checkpoint
            write_history(run, state)

        def save(state: Progress) -> None:
            save_checkpoint(run, state, session.began, session.basis)
            for log in trackers:
                log(state.history[-1])

        plan = Plan(
            model=session.model,
            config=config,
            data=data,
            network=session.network,
            weights=session.weights.sha256 or f"random {config.seed}",
            fabric=fabric,
            bar=bar,
            plain=plain,
            augmented=augmented,
        )
        task, place = make_task(data, config, fabric.device), checkpoint_path(run)
        for stage in make_stages(plan, task, state.stage):
            total = stage.epochs * items
            done = state.epoch * items if state.stage == stage.name else 0
            ticker = bar.add_task(f"{run.name} {stage.name}", total=total, completed=done)
            tick = partial(bar.advance, ticker)
            if stage.solved:
                solve(fabric, stage, task, config, state, checkpoint=place, save=save, tick=tick)
            else:
                log = bar.console.print
                fit(fabric, stage, task, config, state, checkpoint=place, save=save, tick=tick, log=log)
            bar.update(ticker, completed=total)


@contextmanager
def _bar(visible: bool) -> Iterator[rich.progress.Progress]:
    console = rich.console.Console(stderr=True, quiet=not visible)
    columns = (*rich.progress.Progress.get_default_columns(), rich.progress.TimeElapsedColumn())
    with rich.progress.Progress(*columns, console=console, disable=not visible) as bar:
        yield bar


def _save(session: _Session, state: Progress, command: str) -> None:
    """Write everything that the run needs, then remove the checkpoint."""
    config, network, data = session.config, session.network, session.data
    starts = next((row.epoch for row in state.history if row.stage == "finetune"), None)
    baseline = baseline_accuracy(data, config.seed) if config.baseline else None
    history = HistoryFacts(
        seconds=time.perf_counter() - session.began,
        finetune_starts=starts,
        best_epoch=state.best_epoch,
        best_share=state.best_share,
        search=None,
        warnings=advice(state, config, data, baseline),
        baseline=baseline,
    )
    model = ModelFacts(
        name=session.model.name,
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        network=session.model,
        settings={},
    )
    card = make_card(session.run, data, kind="torch", model=model, seed=config.seed, history=history, command=command)
    card = replace(card, training=config, weights=session.weights.facts())
    save_network(session.run, data, network, session.fabric.device, card)
    discard_checkpoint(session.run)
