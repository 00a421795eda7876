"""The learning curve shows measured and extrapolated points."""

from __future__ import annotations

from pathlib import Path

import pytest

from spectro.core.errors import ConfigError
from spectro.evaluation.results import Estimate
from spectro.experiments.results import CurvePoint, LearningCurve
from spectro.plots.learning_curve import curve_figure, draw_learning_curve


def point(groups: float, accuracy: float, extrapolated: bool = False) -> CurvePoint:
    return CurvePoint(
        kind="extrapolated" if extrapolated else "measured",
        share=groups / 20,
        groups=groups,
        accuracy=Estimate(value=accuracy, low=accuracy - 0.1, high=accuracy + 0.1),
        deviation=0.0,
    )


CURVE = LearningCurve(
    model="resnet18", split="group", points=(point(5, 0.4), point(10, 0.5), point(20, 0.6), point(40, 0.7, True))
)


def test_extrapolated_points_continue_the_measured_ones() -> None:
    measured, further = curve_figure(CURVE.points).axes[0].lines
    assert measured.get_xdata().tolist() == [5, 10, 20]  # type: ignore[union-attr]  # an array
    assert further.get_xdata().tolist() == [20, 40]  # type: ignore[union-attr]
    assert measured.get_linestyle() != further.get_linestyle()


def test_the_curve_is_written_as_png_or_svg(tmp_path: Path) -> None:
    for name in ("curve.png", "curve.svg"):
        path = draw_learning_curve(CURVE, tmp_path / name)
        assert path == tmp_path / name
        assert path.stat().st_size > 1000
    with pytest.raises(ConfigError, match=r"\.svg or \.png"):
        draw_learning_curve(CURVE, tmp_path / "curve.pdf")
