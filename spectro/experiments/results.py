"""Results of experiments as values: the cells of a sweep, the points of a learning curve, and leakage gaps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from spectro.core.records import NanAsNull, Record
from spectro.evaluation.results import Estimate

Setting = bool | int | float | str | None
"""Value of one setting."""
SplitBy = Literal["segment", "clip", "group"]
"""What a split keeps whole."""


@dataclass(frozen=True, kw_only=True)
class SweepScores(Record):
    """How well clips of one subset are classified, over all seeds of a cell."""

    clips: int
    """Number of clips."""
    accuracy: Estimate
    macro_f1: Estimate
    log_loss: Estimate


@dataclass(frozen=True, kw_only=True)
class SweepCell(Record):
    """One combination of settings that was trained."""

    settings: Mapping[str, Setting]
    """Value of each setting, by its full name."""
    split: str
    """Title of the split."""
    validation: SweepScores | None
    """None where the split has no validation clips."""
    test: SweepScores
    reported: float | None
    """Accuracy that the study printed for these settings, 0..1."""
    parameters: int | None
    """Number of weights of a network."""
    fit_seconds: NanAsNull
    """Time of one training, mean over the seeds."""
    runs: tuple[str, ...]
    """Folder of the run of each seed."""


@dataclass(frozen=True, kw_only=True)
class FailedCell(Record):
    """One combination of settings that could not be trained."""

    settings: Mapping[str, Setting]
    """Value of each setting, by its full name."""
    reported: float | None
    """Accuracy that the study printed for these settings, 0..1."""
    message: str
    """Why."""


@dataclass(frozen=True, kw_only=True)
class SweepResult(Record):
    """A recipe under every combination of settings."""

    recipe: str
    preset: str
    """Name of the study's sweep; empty for settings of one's own."""
    protocol: str
    """What the study's accuracies were measured on; empty for settings of one's own."""
    split: str
    """Title of the split."""
    seeds: int
    """Number of trainings of each cell."""
    epochs_cap: int | None
    """Longest stage of a training, in epochs, where that was limited."""
    settings: tuple[str, ...]
    """Full names of the settings that vary."""
    cells: tuple[SweepCell, ...]
    chosen: SweepCell | None
    """The cell with the best accuracy on validation, of equals the one with the least log loss there; None without
    validation. Only its test accuracy is free of selection bias."""
    failed: tuple[FailedCell, ...]
    files: tuple[str, ...]
    """The table, this record and the heat map: `.csv`, `.json` and `.svg`."""


@dataclass(frozen=True, kw_only=True)
class CurvePoint(Record):
    """One point of a learning curve."""

    kind: Literal["measured", "extrapolated"]
    """`extrapolated` by an inverse power law: a guess, and worse the farther it reaches."""
    share: float
    """Share of the training groups; above 1 where extrapolated."""
    groups: float
    """Number of training groups, mean over the draws."""
    accuracy: Estimate
    """Clip accuracy on the test set, mean over the draws, with an interval over test groups."""
    deviation: float
    """Standard deviation of the accuracy over the draws; 0 where extrapolated."""


@dataclass(frozen=True, kw_only=True)
class LearningCurve(Record):
    """Clip accuracy against the number of training groups."""

    model: str
    """Name of the frozen backbone."""
    split: str
    """Title of the split."""
    points: tuple[CurvePoint, ...]
    """The measured points, then the extrapolated ones, each by rising number of groups."""

    @property
    def measured(self) -> tuple[CurvePoint, ...]:
        """The points that were measured."""
        return tuple(point for point in self.points if point.kind == "measured")

    @property
    def extrapolated(self) -> tuple[CurvePoint, ...]:
        """The points that continue the curve."""
        return tuple(point for point in self.points if point.kind == "extrapolated")


@dataclass(frozen=True, kw_only=True)
class LeakageGap(Record):
    """The accuracy of one model on the same spectrograms under one way of splitting."""

    by: SplitBy
    """What stays whole; `segment` and `clip` leak wherever a group has several clips."""
    leaking_groups: int
    """Number of groups in two or more subsets, mean over the folds."""
    segment_accuracy: Estimate
    """Accuracy of segments, with a 95 % interval from a bootstrap over groups."""
    clip_accuracy: Estimate
    """Accuracy of clips by soft vote of their segments."""
    gap: Estimate
    """Segment accuracy less that of the split by group, paired over the same segments: how much a leak inflates
    it."""
