"""Sweeps of settings: a recipe trained under each combination, the best chosen on validation, the grid as a table."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from spectro.core.config import RenderConfig
from spectro.core.data_folder import DataFolder
from spectro.core.errors import ConfigError, SpectroError
from spectro.core.files import csv_text, read_document, write_document, write_text
from spectro.core.formatting import defuse
from spectro.core.runs import Run
from spectro.core.tables import Subset
from spectro.data.store import open_store
from spectro.evaluation.evaluate import compute_metrics
from spectro.evaluation.results import Estimate
from spectro.evaluation.statistics import BootstrapConfig
from spectro.experiments.grid import SWEEPS, Cell, cells, grid
from spectro.experiments.protocol import (
    ALIASES,
    TrainOptions,
    data_for,
    ensure_split,
    fit_seconds,
    over_seeds,
    require_results_folder,
    train_seeds,
)
from spectro.experiments.recipes import Recipe, select
from spectro.experiments.results import FailedCell, Setting, SweepCell, SweepResult, SweepScores
from spectro.plots.heatmap import save_heat_map

SWEEP_VERSION = 1
METRICS = ("accuracy", "macro_f1", "log_loss")
"""What the table has of a cell on validation and on test."""


def sweep(
    data: DataFolder | Path | str,
    *,
    recipe: str,
    settings: Mapping[str, Sequence[Setting]] | None = None,
    preset: str = "",
    split: str = "group",
    seeds: int = 1,
    epochs_cap: int = 0,
    out: Path | str = "runs/sweeps",
    weights: str = "auto",
    config_id: str | None = None,
    config: BootstrapConfig | None = None,
    log: Callable[[str], None] = lambda _: None,
    progress: bool = False,
) -> SweepResult:
    """Train a recipe under every combination of settings, and choose among them on validation.

    Features are computed, and spectrograms rendered into `<data>/variants`, as the settings require. Finished runs are
    not trained again. Writes `sweep.csv`, `sweep.json` and the heat map `sweep.svg` (with a `preset`, that name) into
    `<out>/<recipe>/<split>`.

    Parameters
    ----------
    data
        Folder that `render` made.
    recipe
        Name in `RECIPES`.
    settings
        Full name of each setting, `<part>.<field>`, and its values. The part is the recipe's feature (`mfcc`, `mel`,
        ...), `segment`, `network` or `training`.
    preset
        Name of a study's sweep in `SWEEPS`, instead of `settings`.
    split
        Name of a split in `data`; `group` (`grouped`), `clip` and `segment` (`leaky`) are made if they are missing.
    seeds
        Number of trainings of each cell; metrics are over all of them.
    epochs_cap
        Longest stage of a network's training, in epochs; 0 for what the recipe states.
    out
        Folder of the runs, `<out>/<recipe>/<split>/<settings>-<seed>`.
    weights
        First weights of pretrained backbones, as in `finetune`.
    config_id
        Which spectrograms, when `data` holds several configurations.
    config
        How intervals are drawn.
    log
        Called with a line of text as each cell is finished.
    progress
        Draw progress bars.

    Returns
    -------
    SweepResult
        Every cell with its metrics of clips, the cell that is best on validation, and what failed.

    Raises
    ------
    ConfigError
        the recipe, the sweep or a setting is unknown, a value does not fit, or `out` holds something else.
    """
    options = TrainOptions(seeds=seeds, epochs_cap=epochs_cap, weights=weights, progress=progress)
    chosen, data, split = _one_recipe(recipe), DataFolder.open(data), ALIASES.get(split, split)
    grid_cells = _cells(chosen, settings, preset, open_store(data, config_id).config)
    folder = require_results_folder(Path(out) / chosen.name / split)
    require_results_folder(out)
    files = tuple(folder / f"{preset or 'sweep'}.{ending}" for ending in ("csv", "json", "svg"))
    _require_own(files)
    ensure_split(data, split, config_id)

    def train(cell: Cell) -> list[Run]:
        place = data_for(data, cell.render_config, split, config_id, log, progress)
        wanted = cell.render_config.config_id()
        return train_seeds(cell.recipe, place, out=folder / cell.name, split=split, config_id=wanted, options=options)

    trained, failed = _train_cells(grid_cells, train, config or BootstrapConfig(), log)
    result = SweepResult(
        recipe=chosen.name,
        preset=preset,
        protocol=SWEEPS[preset].protocol if preset else "",
        split=trained[0].split if trained else split,
        seeds=seeds,
        epochs_cap=epochs_cap or None,
        settings=tuple(grid_cells[0].settings),
        cells=tuple(trained),
        chosen=_best(trained),
        failed=tuple(failed),
        files=tuple(map(str, files)),
    )
    save_sweep(result)
    return result


def save_sweep(result: SweepResult) -> None:
    """Write the table, the record and the heat map of a sweep into its `files`."""
    table, record, heat_map = map(Path, result.files)
    write_document(record, "sweep", SWEEP_VERSION, result.to_dict())
    write_text(table, sweep_csv(result))
    save_heat_map(result, heat_map)


def _require_own(files: Sequence[Path]) -> None:
    """Raise ConfigError where the table or the heat map would replace what is not of an earlier sweep."""
    there = [path for path in files if os.path.lexists(path)]
    if there:
        record = next(path for path in files if path.suffix == ".json")
        try:
            read_document(record, "sweep", SWEEP_VERSION, remedy="remove it", error=ConfigError)
        except (ConfigError, OSError):
            raise ConfigError(
                f"{there[0]} would be replaced, but {record} is no record of an earlier sweep; "
                "remove it, or choose another out"
            ) from None


def sweep_csv(result: SweepResult) -> str:
    """Return one line per cell, those that failed with the reason; every metric with its interval."""
    titles = [
        f"{subset}_{metric}{end}" for subset in ("validation", "test") for metric in METRICS
        for end in ("", "_low", "_high")
    ]  # fmt: skip
    rows: list[list[object]] = []
    for cell in result.cells:
        scores = [*_columns(cell.validation), *_columns(cell.test)]
        chosen = int(cell == result.chosen)
        rows.append([*cell.settings.values(), *scores, cell.reported, cell.fit_seconds, chosen, None])
    for failure in result.failed:
        blank = [None] * len(titles)
        rows.append([*failure.settings.values(), *blank, failure.reported, None, 0, failure.message])
    columns = [*result.settings, *titles, "study", "fit_seconds", "chosen", "failed"]
    return csv_text(columns, [[defuse(value) for value in row] for row in rows])


def _one_recipe(name: str) -> Recipe:
    chosen = select(name)
    if len(chosen) > 1:
        raise ConfigError(f"a sweep takes one recipe, but '{name}' names {len(chosen)}")
    return chosen[0]


def _cells(
    recipe: Recipe, settings: Mapping[str, Sequence[Setting]] | None, preset: str, render_config: RenderConfig
) -> list[Cell]:
    if bool(preset) == bool(settings):
        raise ConfigError("a sweep takes either settings, such as mfcc.n_fft=512,1024, or the name of a study's sweep")
    return SWEEPS[preset].cells(recipe, render_config) if preset else cells(recipe, grid(settings or {}), render_config)


def _train_cells(
    grid_cells: Sequence[Cell],
    train: Callable[[Cell], list[Run]],
    config: BootstrapConfig,
    log: Callable[[str], None],
) -> tuple[list[SweepCell], list[FailedCell]]:
    """Train and evaluate every cell; one that cannot be trained does not stop the others."""
    trained: list[SweepCell] = []
    failed: list[FailedCell] = []
    for cell in grid_cells:
        try:
            runs = train(cell)
        except SpectroError as error:
            failed.append(FailedCell(settings=cell.settings, reported=cell.reported, message=str(error)))
            log(f"{cell.name}: failed: {error}")
            continue
        trained.append(_evaluate_cell(cell, runs, config))
        log(f"{cell.name}: {_accuracies(trained[-1])}")
    return trained, failed


def _evaluate_cell(cell: Cell, runs: Sequence[Run], config: BootstrapConfig) -> SweepCell:
    card = runs[0].card
    return SweepCell(
        settings=cell.settings,
        split=card.split.title,
        validation=_scores(runs, "val", config) if runs[0].has_predictions("val") else None,
        test=_scores(runs, "test", config),
        reported=cell.reported,
        parameters=card.model.parameters if card.model else None,
        fit_seconds=fit_seconds(runs),
        runs=tuple(str(run.path) for run in runs),
    )


def _scores(runs: Sequence[Run], subset: Subset, config: BootstrapConfig) -> SweepScores:
    metrics = compute_metrics(over_seeds(runs, subset).pool(), config)
    return SweepScores(
        clips=metrics.n // len(runs),
        accuracy=metrics.accuracy,
        macro_f1=metrics.macro_f1,
        log_loss=metrics.log_loss,
    )


def _accuracies(cell: SweepCell) -> str:
    validation = f"validation {cell.validation.accuracy.value:.3f}, " if cell.validation else ""
    return f"{validation}test {cell.test.accuracy.value:.3f}"


def _best(trained: Sequence[SweepCell]) -> SweepCell | None:
    """Return the cell with the best clip accuracy on validation, of equals the one with the least log loss there."""
    ranked = [
        ((cell.validation.accuracy.value, -cell.validation.log_loss.value), cell)
        for cell in trained
        if cell.validation is not None
    ]
    return max(ranked, key=lambda pair: pair[0])[1] if ranked else None


def _columns(scores: SweepScores | None) -> list[float | None]:
    """Return value and interval of each metric; blanks where there is none."""
    if scores is None:
        return [None for _ in range(3 * len(METRICS))]
    estimates: list[Estimate] = [getattr(scores, metric) for metric in METRICS]
    return [value for estimate in estimates for value in estimate.to_dict().values()]
