"""The learning curve: clip accuracy against the number of training groups, measured and extrapolated."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from matplotlib.figure import Figure

from spectro.evaluation.results import Estimate
from spectro.plots.figures import plain_text, save_figure
from spectro.plots.palette import COLOURS


class CurvePoint(Protocol):
    """One point of a learning curve."""

    @property
    def kind(self) -> str:
        """`measured` or `extrapolated`."""
        ...

    @property
    def groups(self) -> float:
        """Number of training groups."""
        ...

    @property
    def accuracy(self) -> Estimate:
        """Clip accuracy on the test set."""
        ...


class Curve(Protocol):
    """A learning curve, as `spectro.learning_curve` returns it."""

    @property
    def points(self) -> Sequence[CurvePoint]:
        """Its points, measured ones first."""
        ...


def draw_learning_curve(curve: Curve, path: Path | str) -> Path:
    """Draw a learning curve with its intervals.

    Parameters
    ----------
    curve
        What `spectro.learning_curve` returned.
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
    return save_figure(curve_figure(curve.points), path)


@plain_text()
def curve_figure(points: Sequence[CurvePoint]) -> Figure:
    """Return the figure: a solid line where accuracy was measured, a dashed one where it is extrapolated."""
    figure = Figure(figsize=(7, 4.4), layout="constrained")
    axes = figure.subplots()
    measured = [point for point in points if point.kind == "measured"]
    further = [measured[-1], *(point for point in points if point.kind == "extrapolated")]
    for line, style, colour, label in (
        (measured, "o-", COLOURS[0], "measured"),
        (further, "--", COLOURS[5], "extrapolated by an inverse power law: a guess"),
    ):
        groups = [point.groups for point in line]
        low, high = [point.accuracy.low for point in line], [point.accuracy.high for point in line]
        axes.fill_between(groups, low, high, color=colour, alpha=0.15, linewidth=0)
        axes.plot(groups, [point.accuracy.value for point in line], style, color=colour, label=label)
    axes.set_xlabel("training groups")
    axes.set_ylabel("clip accuracy on the test set")
    axes.set_ylim(0, 1)
    axes.set_xlim(left=0)
    axes.grid(axis="y", color="#eeeeee")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right")
    return figure
