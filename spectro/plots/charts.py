"""The line charts of the report: training, reliability, coverage, and accuracy by what was heard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from spectro.plots.svg import Axis, Chart, Line, Point


def training(history: Sequence[Mapping[str, str]], facts: Mapping[str, Any]) -> list[Chart]:
    """Return loss and accuracy by epoch, marked where fine-tuning starts and which epoch was kept.

    Parameters
    ----------
    history : rows of `history.csv`
    facts : the card's `history`
    """
    if not history:
        return []
    epochs = Axis(label="epoch", low=1, high=max(2, len(history)), whole=True)
    start = facts.get("finetune_starts")
    marks = [(float(start), "fine-tuning starts")] if start else []
    losses = [_series(history, "train_loss", "training"), _series(history, "val_loss", "validation", "second")]
    highest = max((y for line in losses for _, y in line.points), default=1.0)
    shares = [
        _series(history, "train_accuracy", "training"),
        _series(history, "val_segment_accuracy", "segments", "faint"),
        _series(history, "val_clip_accuracy", "clips", "second"),
    ]
    best = facts.get("best_epoch")
    kept = [(float(best), "kept")] if best and best != start else []
    return [
        Chart(
            title="Loss by epoch",
            x=epochs,
            y=Axis(label="loss", low=0, high=highest * 1.05),
            lines=[line for line in losses if line.points],
            marks=marks,
        ),
        Chart(
            title="Accuracy by epoch, in training and on validation segments and clips",
            x=epochs,
            y=Axis(label="accuracy", low=0, high=1, percent=True),
            lines=[line for line in shares if line.points],
            marks=kept if kept else marks,
        ),
    ]


def calibration(found: Mapping[str, Any]) -> list[Chart]:
    """Return the reliability plot and accuracy against coverage, from what `calibrate` found."""
    raw = _reliability(found["reliability"], "as it is", "second" if "after" in found else "main")
    lines = [Line(label="ideal", points=[(0, 0), (1, 1)], style="faint"), raw]
    if "after" in found:
        lines.append(_reliability(found["after"]["reliability"], "calibrated", "main"))
    share = Axis(label="confidence", low=0, high=1, percent=True)
    answered = [(point["coverage"], point["accuracy"]) for point in found["coverage"]]
    low = min(y for _, y in answered)
    return [
        Chart(
            title="Reliability: how often the model is right when it is so sure",
            x=share,
            y=Axis(label="accuracy", low=0, high=1, percent=True),
            lines=lines,
        ),
        Chart(
            title="Accuracy among the answers given, when the least confident clips are left unanswered",
            x=Axis(label="clips answered", low=0, high=1, percent=True),
            y=Axis(label="accuracy", low=int(low * 10) / 10, high=1, percent=True),
            lines=[Line(label="most confident first", points=answered)],
        ),
    ]


def heard(found: Sequence[Mapping[str, float]], seconds: float | None) -> list[Chart]:
    """Return accuracy by the number of segments heard, from what `votes.heard` found."""
    if len(found) < 2:
        return []
    points = [(point["segments"], point["accuracy"]) for point in found]
    low, high = min(y for _, y in points), max(y for _, y in points)
    unit = f"segments of {seconds:g} s heard per clip" if seconds else "segments heard per clip"
    return [
        Chart(
            title="Accuracy by the number of segments heard",
            x=Axis(label=unit, low=0.5, high=len(points) + 0.5, whole=True),
            y=Axis(label="accuracy", low=int(low * 10) / 10, high=min(1.0, int(high * 10 + 1) / 10), percent=True),
            lines=[Line(label="clips", points=points, dots=True)],
        )
    ]


def _reliability(rows: Sequence[Mapping[str, float]], label: str, style: str) -> Line:
    points = [(row["confidence"], row["accuracy"]) for row in rows]
    whiskers = [(row["confidence"], row["low"], row["high"]) for row in rows]
    return Line(label=label, points=points, style=style, dots=True, whiskers=whiskers if style == "main" else ())


def _series(history: Sequence[Mapping[str, str]], column: str, label: str, style: str = "main") -> Line:
    points: list[Point] = [(float(row["epoch"]), float(row[column])) for row in history if row.get(column)]
    return Line(label=label, points=points, style=style)
