"""Charts as SVG text: small, sharp, searchable, and coloured by the style sheet of the page.

Strokes and fills are classes (`main`, `second`, `faint`, ...) that the page's style sheet defines, and text is
`currentColor`, so one drawing works in light mode, in dark mode and in print.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape

from spectro.evaluation.results import Estimate

WIDTH, HEIGHT = 360, 232
LEFT, RIGHT, TOP, BOTTOM = 42, 10, 26, 36

Point = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Line:
    """One series of a chart."""

    label: str
    """Name in the legend."""
    points: Sequence[Point]
    """x and y."""
    style: str = "main"
    """Class that colours it: `main`, `second` or `faint`; `second` and `faint` are dashed as well."""
    dots: bool = False
    """Whether each point is marked."""
    whiskers: Sequence[tuple[float, float, float]] = ()
    """x, low and high of intervals."""


@dataclass(frozen=True, kw_only=True)
class Axis:
    """One axis of a chart."""

    label: str
    low: float
    high: float
    percent: bool = False
    """Whether values are shares, shown in percent."""
    whole: bool = False
    """Whether only whole numbers make sense as ticks."""


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A line chart with axes, legend and marks."""

    title: str
    """Its description for screen readers."""
    x: Axis
    y: Axis
    lines: Sequence[Line]
    marks: Sequence[tuple[float, str]] = field(default_factory=tuple)
    """Vertical lines: x and label."""

    def svg(self) -> str:
        """Draw it."""
        parts = [*self._axes(), *self._marks()]
        for line in self.lines:
            parts += self._line(line)
        parts += self._legend()
        return (
            f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(self.title)}">'
            f"<title>{escape(self.title)}</title>{''.join(parts)}</svg>"
        )

    def room(self, at: float) -> tuple[bool, bool]:
        """Return whether a label of the mark at `at` has room on its left, and whether above the lines there."""
        left = at > (self.x.low + self.x.high) / 2
        beside = at + (-0.1 if left else 0.1) * (self.x.high - self.x.low)
        lines = [line.points for line in self.lines if line.points]
        near = [min(points, key=lambda point: abs(point[0] - beside))[1] for points in lines]
        return left, sum(near) < len(near) * (self.y.low + self.y.high) / 2

    def _x(self, value: float) -> float:
        return _place(value, self.x, LEFT, WIDTH - RIGHT)

    def _y(self, value: float) -> float:
        return _place(value, self.y, HEIGHT - BOTTOM, TOP)

    def _axes(self) -> Iterable[str]:
        bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
        for tick in ticks(self.y):
            y = self._y(tick)
            yield f'<line class="grid" x1="{LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>'
            yield f'<text class="tick end" x="{LEFT - 6}" y="{y + 3.5:.1f}">{_tick_text(tick, self.y)}</text>'
        for tick in ticks(self.x):
            place = f'x="{self._x(tick):.1f}" y="{bottom + 15}"'
            yield f'<text class="tick middle" {place}>{_tick_text(tick, self.x)}</text>'
        yield f'<line class="axis" x1="{LEFT}" x2="{right}" y1="{bottom}" y2="{bottom}"/>'
        middle = (LEFT + right) / 2
        yield f'<text class="tick middle" x="{middle:.0f}" y="{HEIGHT - 4}">{escape(self.x.label)}</text>'

    def _marks(self) -> Iterable[str]:
        for value, text in self.marks:
            x = self._x(value)
            left, above = self.room(value)
            side, shift = ("end", -5) if left else ("start", 5)
            y = TOP + 10 if above else HEIGHT - BOTTOM - 7
            yield f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>'
            yield f'<text class="tick {side}" x="{x + shift:.1f}" y="{y}">{escape(text)}</text>'

    def _line(self, line: Line) -> Iterable[str]:
        for x, low, high in line.whiskers:
            if math.isnan(low) or math.isnan(high):
                continue
            place = f'x1="{self._x(x):.1f}" x2="{self._x(x):.1f}" y1="{self._y(low):.1f}" y2="{self._y(high):.1f}"'
            yield f'<line class="whisker {line.style}" {place}/>'
        path = " ".join(f"{self._x(x):.1f},{self._y(y):.1f}" for x, y in line.points)
        if len(line.points) > 1:
            yield f'<polyline class="line {line.style}" points="{path}"/>'
        if line.dots or len(line.points) == 1:
            for x, y in line.points:
                yield f'<circle class="dot {line.style}" cx="{self._x(x):.1f}" cy="{self._y(y):.1f}" r="3.2"/>'

    def _legend(self) -> Iterable[str]:
        yield f'<text class="tick" x="0" y="11">{escape(self.y.label)}</text>'
        x = float(WIDTH - RIGHT)
        for line in reversed(self.lines):
            x -= 6.1 * len(line.label)
            yield f'<text class="tick" x="{x:.0f}" y="11">{escape(line.label)}</text>'
            yield f'<line class="line {line.style}" x1="{x - 24:.0f}" x2="{x - 5:.0f}" y1="7.5" y2="7.5"/>'
            x -= 36


def _place(value: float, axis: Axis, start: float, end: float) -> float:
    share = (value - axis.low) / (axis.high - axis.low) if axis.high > axis.low else 0.5
    return start + min(1.0, max(0.0, share)) * (end - start)


def ticks(axis: Axis, count: int = 5) -> list[float]:
    """Return round numbers inside an axis, about `count` of them, in steps of 1, 2 or 5."""
    span = axis.high - axis.low
    if not 0 < span < math.inf:
        return [axis.low]
    raw = span / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw * 0.99)
    if axis.whole:
        step = max(1.0, round(step))
    first = math.ceil(axis.low / step - 1e-9)
    last = math.floor(axis.high / step + 1e-9)
    return [number * step for number in range(first, last + 1)]


def _tick_text(value: float, axis: Axis) -> str:
    return f"{100 * value:.0f}\N{NARROW NO-BREAK SPACE}%" if axis.percent else f"{value:g}"


def interval(estimate: Estimate, *, low: float = 0.0, high: float = 1.0, mark: float | None = None) -> str:
    """Draw an estimate as a dot on its interval, as wide as the table cell that holds it.

    Parameters
    ----------
    estimate
        The value and its interval; what is nan is not drawn.
    low, high
        Ends of the scale.
    mark
        A value to compare with, drawn as a tick.

    Returns
    -------
    str
        An `<svg>` element.
    """

    def at(value: float) -> str:
        return f"{100 * min(1.0, max(0.0, (value - low) / (high - low))):.2f}%"

    parts = ['<line class="track" x1="0" x2="100%" y1="8" y2="8"/>']
    if mark is not None:
        parts.append(f'<line class="baseline" x1="{at(mark)}" x2="{at(mark)}" y1="3" y2="13"/>')
    if _has_interval(estimate):
        parts.append(f'<line class="span" x1="{at(estimate.low)}" x2="{at(estimate.high)}" y1="8" y2="8"/>')
    if not math.isnan(estimate.value):
        parts.append(f'<circle class="dot main" cx="{at(estimate.value)}" cy="8" r="4"/>')
    return f'<svg class="interval" aria-hidden="true" focusable="false">{"".join(parts)}</svg>'


def bar(estimate: Estimate) -> str:
    """Draw a share as a bar with its interval as a thin line, as wide as the table cell; nothing where it is nan."""
    if math.isnan(estimate.value):
        return ""
    parts = [
        '<line class="track" x1="0" x2="100%" y1="8" y2="8"/>',
        f'<rect class="bar" x="0" y="4" width="{100 * estimate.value:.2f}%" height="8"/>',
    ]
    if _has_interval(estimate):
        place = f'x1="{100 * estimate.low:.2f}%" x2="{100 * estimate.high:.2f}%"'
        parts.append(f'<line class="range" {place} y1="8" y2="8"/>')
    return f'<svg class="interval" aria-hidden="true" focusable="false">{"".join(parts)}</svg>'


def _has_interval(estimate: Estimate) -> bool:
    return not (math.isnan(estimate.low) or math.isnan(estimate.high))


def timeline(below: Sequence[float], above: Sequence[float], marked: int) -> str:
    """Draw the segments of a clip from left to right, with the probabilities of two classes in each.

    Parameters
    ----------
    below
        Probability of the class that is drawn from the bottom, one per segment, 0..1.
    above
        Probability of the class that is drawn from the top, one per segment, 0..1.
    marked
        Index of the segment that is underlined.

    Returns
    -------
    str
        An `<svg>` element.
    """
    parts = []
    for item, (low, high) in enumerate(zip(below, above, strict=True)):
        x, width = 100 * item / len(below), 100 / len(below) - 1
        boxes = (("room", 0.0, 24.0), ("below", 24 * (1 - low), 24 * low), ("above", 0.0, 24 * high))
        for kind, y, height in boxes:
            parts.append(f'<rect class="{kind}" x="{x:.2f}" y="{y:.1f}" width="{width:.2f}" height="{height:.1f}"/>')
        if item == marked:
            parts.append(f'<rect class="marked" x="{x:.2f}" y="26" width="{width:.2f}" height="2"/>')
    return (
        '<svg class="timeline" viewBox="0 0 100 28" preserveAspectRatio="none" role="img" '
        f'aria-label="probabilities over {len(below)} segments">{"".join(parts)}</svg>'
    )
