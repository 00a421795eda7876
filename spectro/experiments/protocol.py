"""The protocol that all systems of an experiment share: splits, segments, seeds and how runs are pooled."""

from __future__ import annotations

import math
import os
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from spectro.core.config import RenderConfig, SplitConfig
from spectro.core.data_folder import DataFolder
from spectro.core.errors import ConfigError
from spectro.core.predictions import Predictions
from spectro.core.runs import Run
from spectro.core.tables import Subset
from spectro.data.rerender import rerender
from spectro.data.splits import split as make_split
from spectro.experiments.recipes import Recipe

ALIASES = {"grouped": "group", "leaky": "segment"}
"""Other names of splits that are made where they are missing."""


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """How every system of an experiment is trained."""

    seeds: int = 1
    """Number of trainings of each system."""
    epochs_cap: int = 0
    """Longest stage of a network's training, in epochs; 0 for what the recipe states."""
    weights: str = "auto"
    """First weights of pretrained backbones, as in `finetune`."""
    progress: bool = False
    """Draw progress bars."""

    def __post_init__(self) -> None:
        if self.seeds < 1:
            raise ConfigError(f"seeds is {self.seeds}, but must be at least 1")


def require_results_folder(out: Path | str) -> Path:
    """Return the folder for the runs of an experiment; raises ConfigError where it is something else."""
    out = Path(out)
    if os.path.lexists(out) and not out.is_dir():
        raise ConfigError(f"{out} is a file, but out is the folder of all runs; choose another out")
    kinds = {"card.json": "a run", "job.json": "a run", "clips.csv": "a data folder", "source.json": "a data folder"}
    kind = next((kind for name, kind in kinds.items() if os.path.lexists(out / name)), None)
    if kind:
        raise ConfigError(f"{out} is {kind}, but out is the folder of all runs; choose another out")
    return out


def ensure_split(data: DataFolder, name: str, config_id: str | None) -> None:
    """Make one of the plain splits if it is missing; training refuses any other name that does not exist."""
    if name in ("group", "clip", "segment") and not data.has_split(name):
        make_split(data, config=SplitConfig(by=name), name=name, config_id=config_id)  # type: ignore[arg-type]


def data_for(
    data: DataFolder,
    render_config: RenderConfig,
    split: str,
    config_id: str | None,
    log: Callable[[str], None],
    progress: bool,
) -> DataFolder:
    """Return the data folder whose clips are rendered that way, made if it is missing; clips that fail are logged."""
    rendering = rerender(data, render_config, split=split, config_id=config_id, progress=progress)
    folder = DataFolder.open(rendering.data)
    if rendering.failed:
        log(f"{folder.path}: {len(rendering.failed)} clips cannot be rendered this way, see failed.csv there")
    return folder


def train_seeds(
    recipe: Recipe, data: DataFolder, *, out: Path, split: str, config_id: str, options: TrainOptions
) -> list[Run]:
    """Train a recipe once per seed, into `<out>-<seed>`."""
    return [
        recipe.train(
            data,
            out=out.with_name(f"{out.name}-{seed}"),
            split=split,
            seed=seed,
            epochs_cap=options.epochs_cap,
            weights=options.weights,
            config_id=config_id,
            progress=options.progress,
        )
        for seed in range(options.seeds)
    ]


def over_seeds(runs: Sequence[Run], subset: Subset) -> Predictions:
    """Return the predictions of all seeds as one, clips and segments named by seed, the groups those of the data."""
    parts = [run.predictions(subset) for run in runs]
    return Predictions.join(
        [
            replace(
                part,
                ids=tuple(f"{item}#{seed}" for item in part.ids),
                clip_ids=tuple(f"{clip}#{seed}" for clip in part.clip_ids),
            )
            for seed, part in enumerate(parts)
        ]
    )


def fit_seconds(runs: Sequence[Run]) -> float:
    """Return the time of one training, in seconds, as a mean over runs; nan where no card has it."""
    times = [run.card.history.seconds for run in runs if run.card.history]
    return statistics.fmean(times) if times else math.nan
