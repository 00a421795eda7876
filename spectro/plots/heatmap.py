"""The heat map of a sweep: two settings as axes, one panel per combination of the others, every value printed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from spectro.core.formatting import format_value
from spectro.evaluation.results import Estimate
from spectro.plots.figures import plain_text, save_figure
from spectro.plots.palette import INK

ROOM = "#f2f2f2"
"""Colour of cells that were not tried."""
CHOSEN = "#d55e00"
"""Colour of the outline: Okabe and Ito's vermilion, which stands out from viridis for colour-blind readers too."""
ACROSS = 3
"""Panels side by side."""
CELL = (1.15, 0.72)
"""Width and height of a cell, in inches."""

Setting = bool | int | float | str | None
"""Value of one setting."""


class Scores(Protocol):
    """Metrics of one subset."""

    @property
    def accuracy(self) -> Estimate:
        """Clip accuracy."""
        ...


class Cell(Protocol):
    """One combination of settings."""

    @property
    def settings(self) -> Mapping[str, Setting]:
        """Value of each setting, by its full name."""
        ...

    @property
    def reported(self) -> float | None:
        """Accuracy that the study printed, 0..1."""
        ...


class TrainedCell(Cell, Protocol):
    """One combination of settings that was trained."""

    @property
    def validation(self) -> Scores | None:
        """Metrics on validation; None where the split has none."""
        ...

    @property
    def test(self) -> Scores:
        """Metrics on test."""
        ...


class Sweep(Protocol):
    """A recipe under every combination of settings, as `spectro.sweep` returns it."""

    @property
    def recipe(self) -> str:
        """Name of the recipe."""
        ...

    @property
    def split(self) -> str:
        """Title of the split."""
        ...

    @property
    def settings(self) -> Sequence[str]:
        """Full names of the settings that vary."""
        ...

    @property
    def cells(self) -> Sequence[TrainedCell]:
        """Combinations that were trained."""
        ...

    @property
    def failed(self) -> Sequence[Cell]:
        """Combinations that could not be trained."""
        ...

    @property
    def chosen(self) -> TrainedCell | None:
        """The best one on validation."""
        ...


@dataclass(frozen=True)
class _Grid:
    """What all panels share."""

    subset: Literal["validation", "test"]
    """Whose accuracy is drawn."""
    colours: Normalize
    across: tuple[str, Sequence[Setting]]
    """Name and values of the setting from left to right."""
    down: tuple[str, Sequence[Setting]] | None
    """Name and values of the setting from top to bottom, if there is a second one."""

    def place(self, settings: Mapping[str, Setting]) -> tuple[int, int]:
        """Return row and column of a cell."""
        row = self.down[1].index(settings[self.down[0]]) if self.down else 0
        return row, self.across[1].index(settings[self.across[0]])

    def accuracy(self, cell: TrainedCell) -> float:
        """Return the accuracy that is drawn; nan where there is none."""
        scores = cell.validation if self.subset == "validation" else cell.test
        return math.nan if scores is None else scores.accuracy.value


def save_heat_map(sweep: Sweep, path: Path | str) -> Path:
    """Draw a sweep as a heat map.

    Parameters
    ----------
    sweep
        What `spectro.sweep` returned.
    path
        SVG or PNG file to write.

    Returns
    -------
    Path
        The path of the file.

    Raises
    ------
    ConfigError
        The name ends in neither .svg nor .png.
    """
    return save_figure(heat_map(sweep), path)


@plain_text()
def heat_map(sweep: Sweep) -> Figure:
    """Return the figure: clip accuracy on validation (on test, where there is no validation) over the settings."""
    every: list[Cell] = [*sweep.cells, *sweep.failed]
    values = {name: _values(cell.settings[name] for cell in every) for name in sweep.settings}
    axes = [name for name in values if len(values[name]) > 1][:2] or list(sweep.settings[:1])
    others = [name for name in values if name not in axes]
    panels = [dict(zip(others, one, strict=True)) for one in product(*(values[name] for name in others))]
    panels = [panel for panel in panels if any(_belongs(cell, panel) for cell in every)]
    grid = _grid(sweep, [(name, values[name]) for name in axes])
    columns, rows = min(ACROSS, len(panels)), math.ceil(len(panels) / ACROSS)
    width = len(grid.across[1]) * CELL[0] + 0.9
    height = (len(grid.down[1]) if grid.down else 1) * CELL[1] + 0.9
    figure = Figure(figsize=(max(6.0, columns * width), rows * height + 0.8), layout="constrained", facecolor="white")
    figure.suptitle(_title(sweep, grid.subset), color=INK, fontsize=11)
    places: list[Axes] = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
    for place in places[len(panels) :]:
        place.axis("off")
    for place, panel in zip(places, panels, strict=False):
        _panel(place, sweep, panel, grid)
        fixed = ", ".join(f"{name.partition('.')[2]} {format_value(value)}" for name, value in panel.items())
        place.set_title(fixed, fontsize=9, loc="left", color=INK)
    return figure


def _grid(sweep: Sweep, axes: Sequence[tuple[str, Sequence[Setting]]]) -> _Grid:
    subset: Literal["validation", "test"] = "validation" if any(cell.validation for cell in sweep.cells) else "test"
    down = axes[1] if len(axes) > 1 else None
    grid = _Grid(subset=subset, colours=Normalize(0.0, 1.0), across=axes[0], down=down)
    levels = [level for cell in sweep.cells if not math.isnan(level := grid.accuracy(cell))]
    grid.colours.vmin, grid.colours.vmax = min(levels, default=0.0), max(levels, default=1.0)
    return grid


def _panel(axes: Axes, sweep: Sweep, panel: Mapping[str, Setting], grid: _Grid) -> None:
    """Draw one panel: a square per cell with its accuracy, below it the study's; blank where nothing was tried."""
    levels = np.full((len(grid.down[1]) if grid.down else 1, len(grid.across[1])), np.nan)
    for cell in sweep.cells:
        if _belongs(cell, panel):
            row, column = grid.place(cell.settings)
            levels[row, column] = grid.accuracy(cell)
            _print(axes, (row, column), cell, _share(levels[row, column]), _contrast(grid, levels[row, column]))
            if cell == sweep.chosen:
                corner = (column - 0.47, row - 0.45)
                axes.add_patch(Rectangle(corner, 0.94, 0.9, fill=False, edgecolor=CHOSEN, linewidth=3, zorder=3))
    for failed in sweep.failed:
        if _belongs(failed, panel):
            _print(axes, grid.place(failed.settings), failed, "failed", INK)
    axes.set_facecolor(ROOM)
    axes.imshow(levels, cmap="viridis", norm=grid.colours, aspect="auto")
    _name_axes(axes, grid)


def _print(axes: Axes, place: tuple[int, int], cell: Cell, text: str, colour: str) -> None:
    lines = [text] if cell.reported is None else [text, f"study {cell.reported:.2f}".replace(" 0", " ")]
    axes.text(place[1], place[0], "\n".join(lines), ha="center", va="center", color=colour, fontsize=9)


def _contrast(grid: _Grid, level: float) -> str:
    """Return the colour of text that contrasts more with viridis at that level."""
    return "white" if grid.colours(level) < 0.45 else "black"


def _name_axes(axes: Axes, grid: _Grid) -> None:
    name, values = grid.down or ("", [""])
    axes.set_xticks(range(len(grid.across[1])), [format_value(value) for value in grid.across[1]])
    axes.set_yticks(range(len(values)), [format_value(value) for value in values])
    axes.set_xticks(np.arange(1, len(grid.across[1])) - 0.5, minor=True)
    axes.set_yticks(np.arange(1, len(values)) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=2)
    axes.set_xlabel(grid.across[0], fontsize=9, color=INK)
    axes.set_ylabel(name, fontsize=9, color=INK)
    axes.tick_params(which="both", labelsize=8, colors=INK, length=0)
    axes.spines[:].set_visible(False)


def _title(sweep: Sweep, subset: str) -> str:
    head = f"{sweep.recipe} on {sweep.split}: clip accuracy on {subset}"
    if sweep.chosen is None:
        return f"{head}\nno cell is chosen: the split has no validation clips" if sweep.cells else head
    test = sweep.chosen.test.accuracy
    interval = "" if math.isnan(test.low) else f" ({_share(test.low)}-{_share(test.high)})"
    return f"{head}\noutlined: best on validation; its test accuracy is {_share(test.value)}{interval}"


def _share(value: float) -> str:
    return "n/a" if math.isnan(value) else f"{value:.3f}".removeprefix("0")


def _values(settings: Iterable[Setting]) -> list[Setting]:
    """Return the values of a setting, each once: numbers in order, others as they were given."""
    once = list(dict.fromkeys(settings))
    numbers = [value for value in once if isinstance(value, int | float)]
    return [*sorted(numbers)] if len(numbers) == len(once) else once


def _belongs(cell: Cell, panel: Mapping[str, Setting]) -> bool:
    return all(cell.settings[name] == value for name, value in panel.items())
