"""The line charts of a run show what they are given."""

from __future__ import annotations

import math

from spectro.core.card import HistoryFacts
from spectro.evaluation.results import (
    Calibration,
    CalibrationQuality,
    CoveragePoint,
    Estimate,
    ReliabilityBin,
    SegmentsUsed,
)
from spectro.plots import charts


def test_training_has_loss_and_accuracy_with_marks() -> None:
    history = [{"epoch": str(n), "train_loss": str(2 / n), "val_loss": "", "train_accuracy": "0.5"} for n in (1, 2, 3)]
    facts = HistoryFacts(seconds=1.0, finetune_starts=2, best_epoch=3, search=None, warnings=())
    loss, accuracy = charts.training(history, facts)
    assert [line.label for line in loss.lines] == ["training"]  # nothing was measured on validation
    assert loss.lines[0].points == [(1, 2), (2, 1), (3, 2 / 3)]
    assert [x for x, _ in loss.marks] == [2]
    assert [x for x, _ in accuracy.marks] == [3]
    assert charts.training([], facts) == []
    assert charts.training(history, None)[0].marks == []


def test_calibration_draws_both_reliabilities_and_coverage() -> None:
    one = ReliabilityBin(confidence=0.6, accuracy=Estimate(value=0.5, low=0.4, high=0.6), n=3)
    quality = CalibrationQuality(ece=Estimate(value=0.1, low=math.nan, high=math.nan), log_loss=1.0, reliability=(one,))
    coverage = (CoveragePoint(coverage=0.5, accuracy=0.75, threshold=0.6),)
    raw = Calibration(temperature=None, before=quality, after=None, coverage=coverage)
    both = Calibration(temperature=2.0, before=quality, after=quality, coverage=coverage)
    assert [[line.style for line in charts.calibration(given)[0].lines] for given in (raw, both)] == [
        ["faint", "main"],
        ["faint", "second", "main"],
    ]
    assert charts.calibration(both)[0].lines[2].whiskers == [(0.6, 0.4, 0.6)]
    assert charts.calibration(raw)[1].lines[0].points == [(0.5, 0.75)]


def test_accuracy_by_segments_needs_two_numbers() -> None:
    points = [SegmentsUsed(segments=n, accuracy=0.5 + n / 10) for n in (1, 2)]
    (chart,) = charts.accuracy_by_segments(points, 3.0)
    assert chart.lines[0].points == [(1, 0.6), (2, 0.7)]
    assert "3 s" in chart.x.label
    assert charts.accuracy_by_segments(points[:1], 3.0) == []
