"""Sweeps of settings: a recipe trained under each combination, the best chosen on validation, the grid as a table."""

from __future__ import annotations

import csv
import io
import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from spectro.core.errors import ConfigError, SpectroError
from spectro.core.runs import Run
from spectro.core.tables import write_text
from spectro.data.store import open_store
from spectro.evaluation.evaluate import compute_metrics
from spectro.evaluation.statistics import BootstrapConfig
from spectro.experiments.benchmark import ALIASES, data_for, ensure_split, over_seeds, train_seeds
from spectro.experiments.grid import SWEEPS, Cell, cells, grid
from spectro.experiments.recipes import select
from spectro.plots.heatmap import save_heat_map

FIGURES = ("accuracy", "macro_f1", "log_loss")
"""What is kept of a cell on each fold, of clips."""


def sweep(
    data: Path | str,
    *,
    recipe: str,
    settings: Mapping[str, Sequence[Any]] | None = None,
    name: str = "",
    split: str = "group",
    seeds: int = 1,
    epochs_cap: int = 0,
    out: Path | str = "runs/sweeps",
    weights: str = "auto",
    config_id: str | None = None,
    config: BootstrapConfig | None = None,
    tell: Callable[[str], None] = lambda _: None,
    progress: bool = False,
) -> dict[str, Any]:
    """Train a recipe under every combination of settings, and choose among them on validation.

    Features are computed, and pictures rendered into `<data>/variants`, as the settings want them. Runs that are
    finished are not trained again. Writes `sweep.csv`, `sweep.json` and the heat map `sweep.svg` (with a `name`, that
    name) into `<out>/<recipe>/<split>`.

    Parameters
    ----------
    data
        folder that `render` made.
    recipe
        name in `RECIPES`.
    settings
        full name of each setting, `<part>.<field>`, and its values. The part is the recipe's feature (`mfcc`, `mel`,
        ...), `segment`, `network` or `training`.
    name
        a name in `SWEEPS`, instead of `settings`.
    split
        name of a split in `data`; `group` (`grouped`), `clip` and `segment` (`leaky`) are made if they are missing.
    seeds
        number of trainings of each cell; figures are over all of them.
    epochs_cap
        longest stage of a network's training, in epochs; 0 for what the recipe says.
    out
        folder of the runs, `<out>/<recipe>/<split>/<settings>-<seed>`.
    weights
        first weights of pretrained backbones, as in `finetune`.
    config_id
        which pictures, when `data` holds several configurations.
    config
        how intervals are drawn.
    tell
        called with a line of text as each cell is finished.
    progress
        draw progress bars.

    Returns
    -------
    `cells`: per cell its `settings`, the `validation` and `test` figures of clips (validation None where the split has
    none), the study's `figure`, times and runs; `chosen`: the cell that is best on validation, by accuracy and then by
    log loss, whose test figure alone is fair, or None without validation; `failed`: cells that could not be trained,
    and why.

    Raises
    ------
    ConfigError
        the recipe, the sweep or a setting is unknown, or a value does not fit.
    """
    if seeds < 1:
        raise ConfigError(f"seeds is {seeds}, but must be at least 1")
    if bool(name) == bool(settings):
        raise ConfigError("a sweep takes either settings, such as mfcc.n_fft=512,1024, or the name of a study's sweep")
    chosen = select(recipe)
    if len(chosen) > 1:
        raise ConfigError(f"a sweep takes one recipe, but '{recipe}' names {len(chosen)}")
    split = ALIASES.get(split, split)
    drawn = open_store(data, config_id).config
    made = SWEEPS[name].cells(chosen[0], drawn) if name else cells(chosen[0], grid(settings or {}), drawn)
    ensure_split(data, split, config_id)
    folder = Path(out) / chosen[0].name / split
    rows: list[dict[str, Any]] = []
    failed: list[dict[str, Any]] = []
    for cell in made:
        try:
            place = data_for(data, cell.pictures, split, config_id, tell, progress)
            runs = train_seeds(
                cell.recipe,
                place,
                out=folder / cell.name,
                seeds=seeds,
                split=split,
                epochs_cap=epochs_cap,
                weights=weights,
                config_id=cell.pictures.config_id(),
                progress=progress,
            )
        except SpectroError as error:
            failed.append({"settings": dict(cell.settings), "figure": cell.figure, "message": str(error)})
            tell(f"{cell.name}: failed: {error}")
            continue
        rows.append(_row(cell, runs, config or BootstrapConfig()))
        judged = {fold: rows[-1][fold] for fold in ("validation", "test") if rows[-1][fold]}
        tell(f"{cell.name}: " + ", ".join(f"{fold} {one['accuracy']['value']:.3f}" for fold, one in judged.items()))
    found = {
        "recipe": chosen[0].name,
        "sweep": name,
        "protocol": SWEEPS[name].protocol if name else "",
        "split": rows[0]["split"] if rows else split,
        "seeds": seeds,
        "epochs_cap": epochs_cap or None,
        "settings": list(made[0].settings),
        "cells": rows,
        "chosen": _best(rows),
        "failed": failed,
    }
    stem = folder / (name or "sweep")
    write_text(stem.with_suffix(".json"), json.dumps(found, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    write_text(stem.with_suffix(".csv"), comma_separated(found))
    save_heat_map(found, stem.with_suffix(".svg"))
    return {**found, "files": [str(stem.with_suffix(end)) for end in (".csv", ".json", ".svg")]}


def _row(cell: Cell, runs: Sequence[Run], config: BootstrapConfig) -> dict[str, Any]:
    """Return the line of one cell: figures of clips over all its seeds."""
    cards = [run.card() for run in runs]
    figures: dict[str, Any] = {"validation": None, "test": None}
    clips = {}
    for title, fold in (("validation", "val"), ("test", "test")):
        if runs[0].predictions_path(fold).exists():
            judged = compute_metrics(over_seeds(runs, fold).pool(), config)
            figures[title] = {name: judged[name] for name in FIGURES}
            clips[title] = judged["n"] // len(runs)
    return {
        "settings": dict(cell.settings),
        "split": cards[0]["split"]["title"],
        **figures,
        "figure": cell.figure,
        "clips": clips,
        "parameters": cards[0]["model"]["parameters"],
        "fit_seconds": statistics.fmean(card["history"]["seconds"] for card in cards),
        "runs": [str(run.path) for run in runs],
    }


def _best(rows: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """Return the cell with the best clip accuracy on validation, of equals the one with the least log loss there."""
    judged = [row for row in rows if row["validation"]]
    return max(
        judged,
        key=lambda row: (row["validation"]["accuracy"]["value"], -row["validation"]["log_loss"]["value"]),
        default=None,
    )


def comma_separated(found: Mapping[str, Any]) -> str:
    """Return one line per cell, those that failed with the reason; every figure with its interval."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns = [
        (fold, name, end) for fold in ("validation", "test") for name in FIGURES for end in ("", "_low", "_high")
    ]
    titles = ["_".join((fold, name)) + end for fold, name, end in columns]
    writer.writerow([*found["settings"], *titles, "study", "fit_seconds", "chosen", "failed"])
    for row in [*found["cells"], *found["failed"]]:
        values = [(row.get(fold) or {}).get(name, {}).get(end.strip("_") or "value") for fold, name, end in columns]
        last = [row["figure"], row.get("fit_seconds"), int(row == found["chosen"]), row.get("message")]
        writer.writerow([*row["settings"].values(), *values, *last])
    return text.getvalue()
