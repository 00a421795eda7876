"""Marks that tell classes apart: a colour and a shape for each, so that no reader has to rely on colour alone."""

from __future__ import annotations

from functools import cache

from matplotlib.markers import MarkerStyle

from spectro.core.errors import ConfigError

COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#1d1c1a")
"""Okabe and Ito's palette for the colour-blind, but for its yellow, which white paper swallows."""
SHAPES = ("o", "s", "^", "D", "v", "P", "X", "*")
"""Matplotlib's names of filled markers; one more than there are colours, so that pairs repeat late."""
SCALES = (1.0, 0.95, 1.1, 0.8, 1.1, 1.15, 1.1, 1.5)
"""How much larger each shape is drawn, so that all weigh about the same."""
MOST = len(COLOURS) * len(SHAPES)


def mark(number: int) -> tuple[int, int]:
    """Return the colour and the shape of a class, as indices; classes next to each other differ in both."""
    return number % len(COLOURS), number % len(SHAPES)


def check(labels: int) -> None:
    """Raise ConfigError where there are more classes than marks."""
    if labels > MOST:
        raise ConfigError(f"a map can tell {MOST} classes apart, but there are {labels}")


@cache
def outline(shape: int) -> str:
    """Return a shape as an SVG path around 0, 0, about 1 wide."""
    style = MarkerStyle(SHAPES[shape])
    letters = {1: "M", 2: "L", 3: "Q", 4: "C", 79: "Z"}  # codes of matplotlib.path.Path
    parts = []
    for points, code in style.get_path().transformed(style.get_transform()).iter_segments(simplify=False):
        flipped = [
            SCALES[shape] * (value if item % 2 == 0 else -value) for item, value in enumerate(points)
        ]  # SVG's y points down
        at = "" if letters[int(code)] == "Z" else " ".join(f"{value:.3f}" for value in flipped)
        parts.append(letters[int(code)] + at)
    return "".join(parts)
