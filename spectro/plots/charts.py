"""The line charts of a run: training history, reliability, coverage, and accuracy by number of segments."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from spectro.core.card import HistoryFacts
from spectro.evaluation.results import Calibration, ReliabilityBin, SegmentsUsed
from spectro.plots.svg import Axis, Chart, Line, Point


def training(history: Sequence[Mapping[str, str]], facts: HistoryFacts | None) -> list[Chart]:
    """Return loss and accuracy by epoch, with marks where fine-tuning starts and at the epoch that was kept.

    Parameters
    ----------
    history
        Rows of `history.csv`; empty where the model was not trained in epochs.
    facts
        History of the card, if it has one.

    Returns
    -------
    list of Chart
        Two charts, or none without a history.
    """
    if not history:
        return []
    epochs = Axis(label="epoch", low=1, high=max(2, len(history)), whole=True)
    start, best = (facts.finetune_starts, facts.best_epoch) if facts else (None, None)
    start_mark = [(float(start), "fine-tuning starts")] if start else []
    best_mark = [(float(best), "kept")] if best and best != start else []
    losses = [_series(history, "train_loss", "training"), _series(history, "val_loss", "validation", "second")]
    highest = max((y for line in losses for _, y in line.points), default=1.0)
    accuracies = [
        _series(history, "train_accuracy", "training"),
        _series(history, "val_segment_accuracy", "segments", "faint"),
        _series(history, "val_clip_accuracy", "clips", "second"),
    ]
    return [
        Chart(
            title="Loss by epoch",
            x=epochs,
            y=Axis(label="loss", low=0, high=highest * 1.05),
            lines=[line for line in losses if line.points],
            marks=start_mark,
        ),
        Chart(
            title="Accuracy by epoch: training segments, validation segments and validation clips",
            x=epochs,
            y=Axis(label="accuracy", low=0, high=1, percent=True),
            lines=[line for line in accuracies if line.points],
            marks=best_mark or start_mark,
        ),
    ]


def calibration(result: Calibration) -> list[Chart]:
    """Return the reliability diagram and accuracy against coverage."""
    lines = [
        Line(label="ideal", points=[(0, 0), (1, 1)], style="faint"),
        _reliability(result.before.reliability, "uncalibrated", "second" if result.after else "main"),
    ]
    if result.after:
        lines.append(_reliability(result.after.reliability, "calibrated", "main"))
    points = [(point.coverage, point.accuracy) for point in result.coverage if math.isfinite(point.accuracy)]
    lowest = min((y for _, y in points), default=0.0)
    return [
        Chart(
            title="Reliability: accuracy of clips by the confidence of their prediction",
            x=Axis(label="confidence", low=0, high=1, percent=True),
            y=Axis(label="accuracy", low=0, high=1, percent=True),
            lines=lines,
        ),
        Chart(
            title="Selective prediction: accuracy of the answers when the least confident clips are rejected",
            x=Axis(label="coverage (share of clips answered)", low=0, high=1, percent=True),
            y=Axis(label="accuracy", low=_tenth_below(lowest), high=1, percent=True),
            lines=[Line(label="most confident first", points=points)],
        ),
    ]


def accuracy_by_segments(points: Sequence[SegmentsUsed], seconds: float | None) -> list[Chart]:
    """Return clip accuracy by the number of segments that vote.

    Parameters
    ----------
    points
        Accuracy with one segment per clip, with two, and so on.
    seconds
        Length of a segment in seconds, if it is known.

    Returns
    -------
    list of Chart
        One chart, or none where clips have one segment.
    """
    if len(points) < 2:
        return []
    values = [(float(point.segments), point.accuracy) for point in points]
    low, high = min(y for _, y in values), max(y for _, y in values)
    unit = f"segments of {seconds:g} s per clip" if seconds else "segments per clip"
    return [
        Chart(
            title="Clip accuracy by number of segments",
            x=Axis(label=unit, low=0.5, high=len(values) + 0.5, whole=True),
            y=Axis(label="accuracy", low=_tenth_below(low), high=min(1.0, int(high * 10 + 1) / 10), percent=True),
            lines=[Line(label="clips", points=values, dots=True)],
        )
    ]


def _tenth_below(share: float) -> float:
    """Return where an axis begins whose lowest value is `share`; it ends at 1 at most."""
    return min(0.9, int(share * 10) / 10)


def _reliability(bins: Sequence[ReliabilityBin], label: str, style: str) -> Line:
    bins = [one for one in bins if math.isfinite(one.confidence) and math.isfinite(one.accuracy.value)]
    points = [(one.confidence, one.accuracy.value) for one in bins]
    whiskers = [(one.confidence, one.accuracy.low, one.accuracy.high) for one in bins]
    return Line(label=label, points=points, style=style, dots=True, whiskers=whiskers if style == "main" else ())


def _series(history: Sequence[Mapping[str, str]], column: str, label: str, style: str = "main") -> Line:
    points: list[Point] = [(float(row["epoch"]), float(row[column])) for row in history if row.get(column)]
    return Line(label=label, points=[(x, y) for x, y in points if math.isfinite(y)], style=style)
