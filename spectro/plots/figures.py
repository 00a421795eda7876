"""Figures as files, SVG or PNG by the ending of their name: maps, box plots, tables as heat maps, and line charts."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter

from spectro.core.errors import ConfigError
from spectro.evaluation.projection import ClipMap, Plane, Vectors
from spectro.plots.palette import COLOURS, SCALES, SHAPES, check, mark
from spectro.plots.svg import Chart, ticks

FORMATS = (".svg", ".png")
INK, FAINT, GRID = "#333333", "#888888", "#e8e6e2"
STYLES: Mapping[str, Mapping[str, Any]] = {
    "main": {"color": COLOURS[0], "linestyle": "-"},
    "second": {"color": COLOURS[5], "linestyle": (0, (5, 3))},
    "faint": {"color": FAINT, "linestyle": ":"},
}
"""The looks of a `Line`, by its style."""
PER_COLUMN = 20
"""Classes in one column of a legend."""


def save_figure(figure: Figure, out: Path | str) -> Path:
    """Write a figure whole or not at all: real text in SVG, 150 dots per inch in PNG.

    Raises
    ------
    ConfigError
        the name ends in neither .svg nor .png.
    """
    out = Path(out)
    kind = out.suffix.lower()
    if kind not in FORMATS:
        raise ConfigError(f"{out} should end in .svg or .png, the two kinds of figure that are written")
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "spectro"}):
            figure.savefig(temporary, format=kind[1:], dpi=150, metadata={"Date": None} if kind == ".svg" else None)
        os.replace(temporary, out)
    finally:
        temporary.unlink(missing_ok=True)
    return out


def map_figure(made: ClipMap) -> Figure:
    """Draw the planes side by side: a point per clip, its class by colour and shape, paler if it was trained on."""
    labels = made.vectors.labels
    check(len(labels))
    width = 5.2 * len(made.planes) + 2.2 * (1 + len(labels) // PER_COLUMN)
    figure = Figure(figsize=(width, 6.2), layout="constrained")
    said = str(made.agreement or "All clips come from one group, so no neighbour from elsewhere can be asked.")
    figure.suptitle(
        f"{made.vectors.title}\n" + textwrap.fill(said, 57 * len(made.planes)),
        x=0.01,
        ha="left",
        color=INK,
        fontsize=11,
    )
    for axes, plane in zip(np.ravel(figure.subplots(1, len(made.planes))), made.planes, strict=True):
        _plane(axes, plane, made.vectors)
    key = [Line2D([], [], linestyle="", label=label, **_look(number, 7)) for number, label in enumerate(labels)]
    if not made.vectors.tested.all():
        pale = Line2D([], [], linestyle="", marker="o", color=FAINT, alpha=0.4, markersize=4)
        pale.set_label("small and pale:\nnot a test clip")
        key.append(pale)
    figure.legend(
        handles=key, loc="outside right upper", frameon=False, fontsize=9, ncols=1 + len(labels) // PER_COLUMN
    )
    return figure


def _look(number: int, size: float) -> dict[str, Any]:
    colour, shape = mark(number)
    look = {"marker": SHAPES[shape], "color": COLOURS[colour], "markersize": size * SCALES[shape]}
    return {**look, "markeredgecolor": "white", "markeredgewidth": 0.5}


def _plane(axes: Any, plane: Plane, vectors: Vectors) -> None:
    for number in range(len(vectors.labels)):
        own = vectors.truth == number
        pale, full = plane.points[own & ~vectors.tested], plane.points[own & vectors.tested]
        axes.plot(*pale.T, linestyle="", alpha=0.3, **_look(number, 4))
        axes.plot(*full.T, linestyle="", zorder=3, **_look(number, 6.5))
    axes.set_title(plane.method, loc="left", color=INK, fontsize=11)
    note = textwrap.fill(plane.note, 62)
    axes.set_xlabel("\n".join(filter(None, (plane.axes[0], note))), fontsize=9, color=INK)
    axes.set_ylabel(plane.axes[1], fontsize=9, color=INK)
    axes.tick_params(labelsize=8, colors=FAINT, length=2)
    if not plane.axes[0]:
        axes.set_xticks([])
        axes.set_yticks([])
    axes.spines[:].set_color(GRID)


def boxes_figure(vectors: Vectors, columns: Sequence[str]) -> Figure:
    """Draw one panel per column: a box per class over its clips, whose number stands behind its name."""
    across = min(3, len(columns))
    down = -(-len(columns) // across)
    names = vectors.labels
    height = down * (1.1 + 0.27 * len(names))
    figure = Figure(figsize=(3 + 4.2 * across, height + 0.4), layout="constrained")
    figure.suptitle(f"{vectors.title}, by class", x=0.01, ha="left", color=INK, fontsize=11)
    panels = figure.subplots(down, across, squeeze=False, sharey=True)
    counts = np.bincount(vectors.truth, minlength=len(names))
    for number, axes in enumerate(panels.flat):
        if number >= len(columns):
            axes.set_visible(False)
            continue
        values = vectors.values[:, vectors.columns.index(columns[number])]
        axes.boxplot(
            [values[vectors.truth == label] for label in range(len(names))],
            orientation="horizontal",
            widths=0.62,
            patch_artist=True,
            boxprops={"facecolor": "#cfe3f1", "edgecolor": COLOURS[0]},
            medianprops={"color": COLOURS[5], "linewidth": 2},
            whiskerprops={"color": COLOURS[0]},
            capprops={"color": COLOURS[0]},
            flierprops={"marker": "o", "markersize": 3, "markeredgecolor": FAINT},
        )
        axes.set_title(columns[number], loc="left", color=INK, fontsize=10)
        axes.set_yticks(range(1, len(names) + 1), [f"{n} ({c})" for n, c in zip(names, counts, strict=True)])
        _calm(axes, grid="x")
    panels.flat[0].invert_yaxis()
    below = "Boxes hold the middle half of the clips, the line is the median, whiskers reach 1.5 box widths at most."
    figure.supxlabel(below, x=0.01, ha="left", fontsize=9, color=FAINT)
    return figure


def confusion_figure(labels: Sequence[str], confusion: Sequence[Sequence[int]], title: str) -> Figure:
    """Draw counts `[true, said]`, shaded by their share of the row: right ones blue, wrong ones orange."""
    counts = np.array(confusion)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = 2.2 + 0.42 * len(labels)
    figure = Figure(figsize=(side + 1, side), layout="constrained")
    axes: Any = figure.subplots()
    axes.set_facecolor("#f5f3ef")
    right = np.eye(len(labels), dtype=bool)
    for chosen, shade in ((right, "Blues"), (~right, "Oranges")):
        axes.imshow(np.ma.array(shares, mask=~chosen | (counts == 0)), cmap=shade, vmin=0, vmax=1.25)
    for (row, column), count in np.ndenumerate(counts):
        if count:
            colour = "white" if shares[row, column] > 0.7 else INK
            axes.text(column, row, str(count), ha="center", va="center", fontsize=9, color=colour)
    axes.set_xticks(range(len(labels)), labels, rotation=90)
    axes.set_yticks(range(len(labels)), labels)
    axes.set_xlabel("what the model said", color=INK)
    axes.set_ylabel("true class", color=INK)
    _calm(axes, title)
    axes.spines[:].set_visible(False)
    return figure


def classes_figure(per_class: Mapping[str, Mapping[str, Any]], title: str) -> Figure:
    """Draw precision, recall and F1 of each class as a heat map, with intervals, and its number of clips."""
    scores = ("precision", "recall", "f1")
    values = np.array([[row[score]["value"] for score in scores] for row in per_class.values()], np.float64)
    figure = Figure(figsize=(7.4, 1.3 + 0.44 * len(per_class)), layout="constrained")
    axes: Any = figure.subplots()
    drawn = axes.imshow(values, cmap="cividis", vmin=0, vmax=1, aspect="auto")
    for (row, column), value in np.ndenumerate(values):
        figure_of = list(per_class.values())[row][scores[column]]
        between = "" if figure_of["low"] is None else f" ({figure_of['low']:.2f} to {figure_of['high']:.2f})"
        text = "undefined" if np.isnan(value) else f"{value:.2f}{between}"
        axes.text(column, row, text, ha="center", va="center", fontsize=9, color="black" if value > 0.5 else "white")
    axes.set_xticks(range(3), ("precision", "recall", "F1"))
    axes.set_yticks(range(len(per_class)), [f"{name} ({row['support']})" for name, row in per_class.items()])
    _calm(axes, title)
    axes.spines[:].set_visible(False)
    figure.colorbar(drawn, ax=axes, pad=0.02).outline.set_visible(False)
    return figure


def charts_figure(charts: Sequence[Chart]) -> Figure:
    """Draw the report's line charts side by side."""
    figure = Figure(figsize=(6 * len(charts), 4), layout="constrained")
    for axes, chart in zip(np.ravel(figure.subplots(1, len(charts))), charts, strict=True):
        _chart(axes, chart)
    return figure


def _chart(axes: Any, chart: Chart) -> None:
    for line in chart.lines:
        x, y = np.transpose(line.points)
        dots = "o" if line.dots or len(line.points) == 1 else ""
        axes.plot(x, y, marker=dots, markersize=5, linewidth=1.8, label=line.label, **STYLES[line.style])
        for at, low, high in line.whiskers:
            axes.plot([at, at], [low, high], linewidth=1, alpha=0.6, color=STYLES[line.style]["color"])
    for at, text in chart.marks:
        left, above = chart.room(at)
        axes.axvline(at, color=FAINT, linewidth=1, linestyle=(0, (3, 3)))
        axes.annotate(
            text, (at, 0.93 if above else 0.03), xycoords=("data", "axes fraction"), xytext=(-5 if left else 5, 0),
            textcoords="offset points", ha="right" if left else "left", fontsize=9, color=INK,
        )  # fmt: skip
    for axis, scale in ((axes.xaxis, chart.x), (axes.yaxis, chart.y)):
        axis.set_ticks(ticks(scale))
        if scale.percent:
            axis.set_major_formatter(PercentFormatter(1, 0))
    axes.set_xlim(chart.x.low, chart.x.high)
    axes.set_ylim(chart.y.low, chart.y.high)
    axes.set_xlabel(chart.x.label, color=INK)
    axes.set_ylabel(chart.y.label, color=INK)
    axes.legend(frameon=False, fontsize=9, labelcolor=INK)
    _calm(axes, "\n".join(textwrap.wrap(chart.title, 64)), grid="y")


def _calm(axes: Any, title: str = "", *, grid: str = "") -> None:
    if title:
        axes.set_title(title, fontsize=10, loc="left", color=INK)
    axes.tick_params(labelsize=9, colors=INK, length=2)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(FAINT)
    if grid:
        axes.grid(axis=grid, color=GRID)
        axes.set_axisbelow(True)
