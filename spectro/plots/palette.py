"""Colours and markers of drawings: classes differ in colour and in shape, so that no reader relies on colour alone."""

from __future__ import annotations

from functools import cache

import matplotlib
import numpy as np
from matplotlib.markers import MarkerStyle

from spectro.core.arrays import Image
from spectro.core.errors import ConfigError

INK, FAINT, GRID = "#333333", "#888888", "#e8e6e2"
"""Colours of text, of secondary lines and of grid lines."""
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#1d1c1a")
"""Okabe and Ito's palette, which is safe for colour-blind readers, without its yellow, which is invisible on white."""
SHAPES = ("o", "s", "^", "D", "v", "P", "X", "*")
"""Matplotlib's names of filled markers; one more than there are colours, so that pairs repeat late."""
SCALES = (1.0, 0.95, 1.1, 0.8, 1.1, 1.15, 1.1, 1.5)
"""Scale of each shape, so that all look about the same size."""
MOST_CLASSES = len(COLOURS) * len(SHAPES)


def class_mark(number: int) -> tuple[int, int]:
    """Return the colour and the shape of a class, as indices; consecutive classes differ in both."""
    return number % len(COLOURS), number % len(SHAPES)


def require_marks(classes: int) -> None:
    """Raise ConfigError when there are more classes than pairs of a colour and a shape."""
    if classes > MOST_CLASSES:
        raise ConfigError(f"a map has markers for {MOST_CLASSES} classes, but there are {classes}; draw fewer classes")


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


def magma(grey: Image) -> Image:
    """Return grey levels `[bands, frames]` in matplotlib's magma colours, `[bands, frames, 3]`."""
    colours: Image = (matplotlib.colormaps["magma"](grey)[..., :3] * 255).round().astype(np.uint8)
    return colours
