"""Drawings as files, SVG or PNG by the name's ending: maps, box plots, heat maps of tables, and line charts."""

from __future__ import annotations

import re
import textwrap
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter

from spectro.core.errors import ConfigError, DataError
from spectro.core.files import replacing
from spectro.evaluation.projection import ClipMap, Plane, Vectors
from spectro.evaluation.results import ClassScores, Estimate
from spectro.plots.palette import COLOURS, FAINT, GRID, INK, SCALES, SHAPES, class_mark, require_marks
from spectro.plots.svg import Chart, ticks

FORMATS = (".svg", ".png")
FORBIDDEN = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]")
"""What no XML may hold, but a name may."""
STYLES: Mapping[str, Mapping[str, Any]] = {
    "main": {"color": COLOURS[0], "linestyle": "-"},
    "second": {"color": COLOURS[5], "linestyle": (0, (5, 3))},
    "faint": {"color": FAINT, "linestyle": ":"},
}
"""Matplotlib's settings for a `Line`, by its style."""
PER_COLUMN = 20
"""Classes in one column of a legend."""


def save_figure(figure: Figure, path: Path | str) -> Path:
    """Write a figure whole or not at all: real text in SVG, 150 dots per inch in PNG.

    Raises
    ------
    ConfigError
        The name ends in neither .svg nor .png.
    """
    path = Path(path)
    kind = path.suffix.lower()
    if kind not in FORMATS:
        raise ConfigError(f"{path} is neither SVG nor PNG; give a name that ends in .svg or .png")
    with replacing(path) as temporary, plain_text(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # in PNG a box stands for it, SVG has it as text
        figure.savefig(temporary, format=kind[1:], dpi=150, metadata={"Date": None} if kind == ".svg" else None)
        if kind == ".svg" and FORBIDDEN.search(svg := temporary.read_bytes()):
            temporary.write_bytes(FORBIDDEN.sub(b" ", svg))
    return path


@contextmanager
def plain_text() -> Iterator[None]:
    """Draw, inside this context or decorator, dollar signs in names as such, and real text in SVG."""
    with matplotlib.rc_context({"text.parse_math": False, "svg.fonttype": "none", "svg.hashsalt": "spectro"}):
        yield


def require_finite(vectors: Vectors) -> None:
    """Raise DataError where the vectors of clips hold what is no number, as those of a diverged network do."""
    if not np.isfinite(vectors.values).all():
        raise DataError(
            f"{vectors.title}: some values are not finite (the network diverged), so there is nothing to draw"
        )


def agreement_text(clip_map: ClipMap) -> str:
    """Return in one sentence how many neighbours share a clip's class."""
    return str(clip_map.agreement or "All clips are of one group, so neighbours from other groups cannot be compared.")


@plain_text()
def map_figure(clip_map: ClipMap) -> Figure:
    """Draw the planes side by side: a point per clip, its class by colour and shape, paler if it was trained on."""
    labels = clip_map.vectors.labels
    require_marks(len(labels))
    columns = 1 + len(labels) // PER_COLUMN
    figure = Figure(figsize=(5.2 * len(clip_map.planes) + 2.2 * columns, 6.2), layout="constrained")
    sentence = textwrap.fill(agreement_text(clip_map), 57 * len(clip_map.planes))
    figure.suptitle(f"{clip_map.vectors.title}\n{sentence}", x=0.01, ha="left", color=INK, fontsize=11)
    panels: list[Axes] = np.ravel(figure.subplots(1, len(clip_map.planes))).tolist()
    for axes, plane in zip(panels, clip_map.planes, strict=True):
        _plane(axes, plane, clip_map.vectors)
    legend = [Line2D([], [], linestyle="", label=label, **_marker(number, 7)) for number, label in enumerate(labels)]
    if not clip_map.vectors.tested.all():
        pale = Line2D([], [], linestyle="", marker="o", color=FAINT, alpha=0.4, markersize=4)
        pale.set_label("small and pale:\nnot a test clip")
        legend.append(pale)
    figure.legend(handles=legend, loc="outside right upper", frameon=False, fontsize=9, ncols=columns)
    return figure


def _marker(number: int, size: float) -> dict[str, Any]:
    colour, shape = class_mark(number)
    settings = {"marker": SHAPES[shape], "color": COLOURS[colour], "markersize": size * SCALES[shape]}
    return {**settings, "markeredgecolor": "white", "markeredgewidth": 0.5}


def _plane(axes: Axes, plane: Plane, vectors: Vectors) -> None:
    for number in range(len(vectors.labels)):
        own = vectors.truth == number
        trained, tested = plane.points[own & ~vectors.tested], plane.points[own & vectors.tested]
        axes.plot(*trained.T, linestyle="", alpha=0.3, **_marker(number, 4))
        axes.plot(*tested.T, linestyle="", zorder=3, **_marker(number, 6.5))
    axes.set_title(plane.method, loc="left", color=INK, fontsize=11)
    note = textwrap.fill(plane.note, 62)
    axes.set_xlabel("\n".join(filter(None, (plane.axes[0], note))), fontsize=9, color=INK)
    axes.set_ylabel(plane.axes[1], fontsize=9, color=INK)
    axes.tick_params(labelsize=8, colors=FAINT, length=2)
    if not plane.axes[0]:
        axes.set_xticks([])
        axes.set_yticks([])
    axes.spines[:].set_color(GRID)


@plain_text()
def boxes_figure(vectors: Vectors, columns: Sequence[str]) -> Figure:
    """Draw one panel per column, with a box per class over the means of its clips; their number follows the name.

    Parameters
    ----------
    vectors
        One vector per clip.
    columns
        Names of the values to draw, out of `vectors.columns`.

    Returns
    -------
    Figure
        Up to three panels across.
    """
    across = min(3, len(columns))
    down = -(-len(columns) // across)
    names = vectors.labels
    height = down * (1.1 + 0.27 * len(names))
    figure = Figure(figsize=(3 + 4.2 * across, height + 0.4), layout="constrained")
    figure.suptitle(f"{vectors.title}, by class", x=0.01, ha="left", color=INK, fontsize=11)
    panels: list[Axes] = np.ravel(figure.subplots(down, across, squeeze=False, sharey=True)).tolist()
    counts = np.bincount(vectors.truth, minlength=len(names))
    for axes in panels[len(columns) :]:
        axes.set_visible(False)
    for axes, column in zip(panels, columns, strict=False):
        values = vectors.values[:, vectors.columns.index(column)]
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
        axes.set_title(column, loc="left", color=INK, fontsize=10)
        axes.set_yticks(range(1, len(names) + 1), [f"{n} ({c})" for n, c in zip(names, counts, strict=True)])
        plain_axes(axes, grid="x")
    panels[0].invert_yaxis()
    caption = "Boxes: middle half of the clips; line: median; whiskers: at most 1.5 box widths."
    figure.supxlabel(caption, x=0.01, ha="left", fontsize=9, color=FAINT)
    return figure


@plain_text()
def confusion_figure(labels: Sequence[str], confusion: Sequence[Sequence[int]], title: str) -> Figure:
    """Draw counts `[true, predicted]`, shaded by their share of the row: right ones blue, wrong ones orange."""
    counts = np.array(confusion)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = 2.2 + 0.42 * len(labels)
    figure = Figure(figsize=(side + 1, side), layout="constrained")
    axes = figure.subplots()
    axes.set_facecolor("#f5f3ef")
    right = np.eye(len(labels), dtype=bool)
    for cells, shade in ((right, "Blues"), (~right, "Oranges")):
        axes.imshow(np.ma.array(shares, mask=~cells | (counts == 0)), cmap=shade, vmin=0, vmax=1.25)
    for (row, column), count in np.ndenumerate(counts):
        if count:
            colour = "white" if shares[row, column] > 0.7 else INK
            axes.text(column, row, str(count), ha="center", va="center", fontsize=9, color=colour)
    axes.set_xticks(range(len(labels)), labels, rotation=90)
    axes.set_yticks(range(len(labels)), labels)
    axes.set_xlabel("predicted class", color=INK)
    axes.set_ylabel("true class", color=INK)
    plain_axes(axes, title)
    axes.spines[:].set_visible(False)
    return figure


@plain_text()
def classes_figure(per_class: Mapping[str, ClassScores], title: str) -> Figure:
    """Draw precision, recall and F1 of each class as a heat map, with intervals, and its number of clips."""
    estimates = [(scores.precision, scores.recall, scores.f1) for scores in per_class.values()]
    values = np.array([[one.value for one in row] for row in estimates], np.float64)
    figure = Figure(figsize=(7.4, 1.3 + 0.44 * len(per_class)), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(values, cmap="cividis", vmin=0, vmax=1, aspect="auto")
    for number, row in enumerate(estimates):
        for column, one in enumerate(row):
            colour = "black" if one.value > 0.5 else "white"
            axes.text(column, number, _with_interval(one), ha="center", va="center", fontsize=9, color=colour)
    axes.set_xticks(range(3), ("precision", "recall", "F1"))
    axes.set_yticks(range(len(per_class)), [f"{name} ({row.support})" for name, row in per_class.items()])
    plain_axes(axes, title)
    axes.spines[:].set_visible(False)
    figure.colorbar(image, ax=axes, pad=0.02).outline.set_visible(False)
    return figure


def _with_interval(estimate: Estimate) -> str:
    if np.isnan(estimate.value):
        return "undefined"
    interval = "" if np.isnan(estimate.low) else f" ({estimate.low:.2f} to {estimate.high:.2f})"
    return f"{estimate.value:.2f}{interval}"


@plain_text()
def charts_figure(charts: Sequence[Chart]) -> Figure:
    """Draw line charts side by side."""
    figure = Figure(figsize=(6 * len(charts), 4), layout="constrained")
    for axes, chart in zip(np.ravel(figure.subplots(1, len(charts))).tolist(), charts, strict=True):
        _chart(axes, chart)
    return figure


def _chart(axes: Axes, chart: Chart) -> None:
    for line in (line for line in chart.lines if line.points):
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
    if any(line.points for line in chart.lines):
        axes.legend(frameon=False, fontsize=9, labelcolor=INK)
    plain_axes(axes, "\n".join(textwrap.wrap(chart.title, 64)), grid="y")


def plain_axes(axes: Axes, title: str = "", *, grid: str = "") -> None:
    """Style axes: a title on the left, no spine at the top and the right, grid lines along `x` or `y` if wanted."""
    if title:
        axes.set_title(title, fontsize=10, loc="left", color=INK)
    axes.tick_params(labelsize=9, colors=INK, length=2)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(FAINT)
    if grid:
        axes.grid(axis="x" if grid == "x" else "y", color=GRID)
        axes.set_axisbelow(True)
