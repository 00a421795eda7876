"""The heat map of a sweep: two settings as axes, a panel for each combination of the others, every value printed."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from spectro.core.formatting import format_value

INK, FAINT, ROOM = "#333333", "#777777", "#f2f2f2"
CHOSEN = "#d55e00"  # Okabe and Ito's vermilion: stands out from all of viridis, to the colour-blind too
ACROSS = 3  # panels side by side
CELL = (1.15, 0.72)  # inches


def save_heat_map(found: Mapping[str, Any], path: Path) -> None:
    """Write the heat map of what `sweep` found as SVG, whose text is text."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "spectro", "font.family": "sans-serif"}):
        draw(found).savefig(temporary, format="svg", metadata={"Date": None})
    os.replace(temporary, path)


def draw(found: Mapping[str, Any]) -> Figure:
    """Draw clip accuracy on validation (on test, where the split has no validation) over the swept settings."""
    every = [*found["cells"], *found["failed"]]
    values = {name: _values([row["settings"][name] for row in every]) for name in found["settings"]}
    axes = [name for name in values if len(values[name]) > 1][:2] or found["settings"][:1]
    across, down = axes[0], axes[1] if len(axes) > 1 else None
    rest = [name for name in values if name not in axes]
    panels = [dict(zip(rest, one, strict=True)) for one in product(*(values[name] for name in rest))]
    panels = [one for one in panels if any(_lies_in(row, one) for row in every)]
    fold = "validation" if any(row["validation"] for row in found["cells"]) else "test"
    levels = [row[fold]["accuracy"]["value"] for row in found["cells"]]
    scale = Normalize(min(levels, default=0.0), max(levels, default=1.0))
    columns, rows = min(ACROSS, len(panels)), math.ceil(len(panels) / ACROSS)
    width, height = len(values[across]) * CELL[0] + 0.9, (len(values[down]) if down else 1) * CELL[1] + 0.9
    figure = Figure(figsize=(max(6.0, columns * width), rows * height + 0.8), layout="constrained", facecolor="white")
    figure.suptitle(_title(found, fold), color=INK, fontsize=11)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis in grid[len(panels) :]:
        axis.axis("off")
    for axis, panel in zip(grid, panels, strict=False):
        inside = [row for row in every if _lies_in(row, panel)]
        _panel(axis, found, inside, fold, scale, (across, values[across]), (down, values[down] if down else [None]))
        fixed = ", ".join(f"{name.partition('.')[2]} {format_value(value)}" for name, value in panel.items())
        axis.set_title(fixed, fontsize=9, loc="left", color=INK)
    return figure


def _panel(
    axis: Any,
    found: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    fold: str,
    scale: Normalize,
    across: tuple[str, Sequence[Any]],
    down: tuple[str | None, Sequence[Any]],
) -> None:
    """Draw one panel: a square per cell with its accuracy, below it the study's; blank where nothing was tried."""
    levels = np.full((len(down[1]), len(across[1])), np.nan)
    for row in rows:
        x = across[1].index(row["settings"][across[0]])
        y = down[1].index(row["settings"][down[0]]) if down[0] else 0
        lines = [] if row["figure"] is None else [f"study {row['figure']:.2f}".replace(" 0", " ")]
        colour = INK
        if fold in row:
            levels[y, x] = row[fold]["accuracy"]["value"]
            lines.insert(0, _share(levels[y, x]))
            colour = "white" if scale(levels[y, x]) < 0.45 else "black"  # whichever contrasts more with viridis
        else:
            lines.insert(0, "failed")
        axis.text(x, y, "\n".join(lines), ha="center", va="center", color=colour, fontsize=9)
        if row == found["chosen"]:
            axis.add_patch(
                Rectangle((x - 0.47, y - 0.45), 0.94, 0.9, fill=False, edgecolor=CHOSEN, linewidth=3, zorder=3)
            )
    axis.set_facecolor(ROOM)
    axis.imshow(levels, cmap="viridis", norm=scale, aspect="auto")
    axis.set_xticks(range(len(across[1])), [format_value(value) for value in across[1]])
    axis.set_yticks(range(len(down[1])), [format_value(value) for value in down[1]] if down[0] else [""])
    axis.set_xticks(np.arange(1, len(across[1])) - 0.5, minor=True)
    axis.set_yticks(np.arange(1, len(down[1])) - 0.5, minor=True)
    axis.grid(which="minor", color="white", linewidth=2)
    axis.set_xlabel(across[0], fontsize=9, color=INK)
    axis.set_ylabel(down[0] or "", fontsize=9, color=INK)
    axis.tick_params(which="both", labelsize=8, colors=INK, length=0)
    axis.spines[:].set_visible(False)


def _title(found: Mapping[str, Any], fold: str) -> str:
    head = f"{found['recipe']} on {found['split']}: clip accuracy on {fold}"
    best = found["chosen"]
    if best is None:
        return f"{head}\nno cell is chosen: the split has no validation clips" if found["cells"] else head
    test = best["test"]["accuracy"]
    between = "" if test["low"] is None else f" ({_share(test['low'])}-{_share(test['high'])})"
    return f"{head}\noutlined: the best on validation; on test it reaches {_share(test['value'])}{between}"


def _share(value: float) -> str:
    return f"{value:.3f}".removeprefix("0")


def _values(found: Sequence[Any]) -> list[Any]:
    """Return the values of a setting, numbers in order, others as they were given."""
    once = list(dict.fromkeys(found))
    return sorted(once) if all(isinstance(value, int | float) for value in once) else once


def _lies_in(row: Mapping[str, Any], panel: Mapping[str, Any]) -> bool:
    return all(row["settings"][name] == value for name, value in panel.items())
