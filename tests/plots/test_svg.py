"""Charts as SVG text stay in their frame, with round ticks and readable labels."""

from __future__ import annotations

import math
import re

import pytest

from spectro.evaluation.results import Estimate
from spectro.plots.svg import Axis, Chart, Line, bar, interval, ticks, timeline


def test_charts_are_drawn_inside_their_frame_whatever_the_data() -> None:
    chart = Chart(
        title="t <&>",
        x=Axis(label="x", low=0, high=1),
        y=Axis(label="y", low=0, high=1, percent=True),
        lines=[Line(label="a", points=[(-1, 2), (0.5, 0.5), (3, -4)], dots=True, whiskers=[(0.5, -9, 9)])],
        marks=[(0.9, "here")],
    )
    svg = chart.svg()
    assert "t &lt;&amp;&gt;" in svg
    points = re.search('points="(.*?)"', svg)
    assert points
    for x, y in re.findall(r"([\d.-]+),([\d.-]+)", points[1]):
        assert 0 <= float(x) <= 360
        assert 0 <= float(y) <= 232


def test_what_is_not_known_is_not_drawn() -> None:
    unknown = Estimate(value=math.nan, low=math.nan, high=math.nan)
    bare = Estimate(value=0.5, low=math.nan, high=math.nan)
    line = Line(label="a", points=[(0, 0), (1, 1)], whiskers=[(0.5, math.nan, math.nan)])
    unit = Axis(label="", low=0, high=1)
    drawings = [interval(unknown), interval(bare), bar(unknown), bar(bare)]
    drawings.append(Chart(title="", x=unit, y=unit, lines=[line]).svg())
    assert not any("nan" in drawing for drawing in drawings)
    assert ["circle" in drawing for drawing in drawings[:2]] == [False, True]
    assert bar(unknown) == ""


def test_a_timeline_has_two_bars_per_segment_and_marks_one() -> None:
    assert timeline([0.1], [0.9], 0).count("<rect") == 4
    drawing = timeline([0.1, 0.2], [0.9, 0.5], 1)
    assert [drawing.count(f'class="{kind}"') for kind in ("below", "above", "marked")] == [2, 2, 1]


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0.4, 1), (1, 30), (0, 2.73), (1, 2), (5, 5)])
def test_ticks_are_few_round_and_inside(low: float, high: float) -> None:
    places = ticks(Axis(label="", low=low, high=high))
    assert 1 <= len(places) <= 8
    assert all(low - 1e-9 <= tick <= high + 1e-9 for tick in places)


@pytest.mark.parametrize(("height", "above"), [(0.1, True), (0.9, False)])
def test_a_mark_is_labelled_where_the_lines_leave_room(height: float, above: bool) -> None:
    unit = Axis(label="", low=0, high=1)
    line = Line(label="a", points=[(0, height), (0.8, height), (0.9, 1 - height)])  # a peak at the mark itself
    assert Chart(title="", x=unit, y=unit, lines=[line]).room(0.9) == (True, above)
    assert Chart(title="", x=unit, y=unit, lines=[line]).room(0.1) == (False, above)
