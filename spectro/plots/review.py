"""Accuracy against the number of labels, for several orders of labelling."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from matplotlib.figure import Figure

from spectro.evaluation.results import Estimate
from spectro.plots.figures import plain_text, save_figure
from spectro.plots.palette import COLOURS


class Point(Protocol):
    """The accuracy that some number of labels buys."""

    @property
    def labels(self) -> int:
        """Number of labelled clips."""
        ...

    @property
    def accuracy(self) -> Estimate:
        """Accuracy of the test clips."""
        ...


class Curve(Protocol):
    """Accuracy against labels for one order."""

    @property
    def order(self) -> str:
        """Name of the order."""
        ...

    @property
    def points(self) -> Sequence[Point]:
        """By rising number of labels."""
        ...


@plain_text()
def review_figure(curves: Sequence[Curve]) -> Figure:
    """Return the figure: a line per order, with the interval of the random one as a band."""
    figure = Figure(figsize=(7, 4.4), layout="constrained")
    axes = figure.subplots()
    for number, curve in enumerate(curves):
        labels = [point.labels for point in curve.points]
        values = [point.accuracy.value for point in curve.points]
        is_baseline = curve.order == "random"
        if is_baseline:
            low, high = [[getattr(point.accuracy, end) for point in curve.points] for end in ("low", "high")]
            axes.fill_between(labels, low, high, color="#888888", alpha=0.15, linewidth=0)
        colour = "#666666" if is_baseline else COLOURS[number % len(COLOURS)]
        axes.plot(labels, values, "o--" if is_baseline else "o-", color=colour, label=curve.order, markersize=4)
    axes.set_xlabel("labelled clips")
    axes.set_ylabel("clip accuracy on the test set")
    axes.grid(axis="y", color="#eeeeee")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right")
    return figure


def draw_review(curves: Sequence[Curve], path: Path | str) -> Path:
    """Draw the curves of a simulation.

    Parameters
    ----------
    curves
        Those of what `spectro.simulate_review` returned.
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
    return save_figure(review_figure(curves), path)
