"""Every class has its own marker, and neighbours differ in colour and shape."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from spectro.core.errors import ConfigError
from spectro.plots.palette import MOST_CLASSES, SHAPES, class_mark, magma, outline, require_marks


def test_every_class_has_its_own_marker_and_neighbours_differ() -> None:
    marks = [class_mark(number) for number in range(MOST_CLASSES)]
    assert len(set(marks)) == MOST_CLASSES
    assert all(a[0] != b[0] and a[1] != b[1] for a, b in itertools.pairwise(marks))
    require_marks(MOST_CLASSES)
    with pytest.raises(ConfigError, match=str(MOST_CLASSES + 1)):
        require_marks(MOST_CLASSES + 1)


def test_outlines_are_closed_paths() -> None:
    outlines = {outline(shape) for shape in range(len(SHAPES))}
    assert len(outlines) == len(SHAPES)
    assert all(path.startswith("M") and path.endswith("Z") for path in outlines)


def test_magma_runs_from_black_to_light() -> None:
    colours = magma(np.array([[0, 128, 255]], np.uint8))
    assert colours.shape == (1, 3, 3)
    assert colours.dtype == np.uint8
    lightness = colours.sum(axis=-1)[0].tolist()
    assert lightness == sorted(lightness)
    assert lightness[0] < 10
    assert lightness[2] > 600
