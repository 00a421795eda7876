"""Names of classes and runs are drawn as they are: no formula, no broken file, nobody left out of a legend."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

from spectro.core.errors import DataError
from spectro.core.predictions import Predictions
from spectro.core.tables import Clip
from spectro.evaluation.projection import Vectors, map_clips
from spectro.plots.draw import draw_run
from spectro.plots.figures import boxes_figure, map_figure, require_finite, save_figure
from tests import builders

NAMES = (
    "$x_{$",
    r"$\frac{1}{0$ $",
    "_hidden",
    "<script>alert(1)</script>",
    "two\nlines",
    "bell\x07\x01",
    "日本語 🎵",
    "-",
    "&amp; %d {0}",
)


def vectors() -> Vectors:
    """Return vectors of 4 clips of each class."""
    clips = tuple(Clip(id=f"{n}.wav", label=name, group=str(n)) for name in NAMES for n in range(4))
    rng = np.random.default_rng(0)
    return Vectors(
        title="features of $x$",
        clips=clips,
        values=rng.standard_normal((len(clips), 3)).astype(np.float32),
        columns=("a_b", "$c$", "d"),
        tested=np.ones(len(clips), bool),
    )


def svg_text(path: Path) -> str:
    """Return all text of an SVG file, which must be valid XML."""
    return " ".join("".join(node.itertext()) for node in ET.parse(path).iter() if node.tag.endswith("text"))


@pytest.mark.parametrize("kind", ["svg", "png"])
def test_figures_of_a_run_show_every_name(kind: str, tmp_path: Path) -> None:
    truth = np.arange(4 * len(NAMES)) % len(NAMES)
    ids = tuple(f"{n}.wav" for n in range(len(truth)))
    probs = np.full((len(truth), len(NAMES)), 0.05)
    probs[np.arange(len(truth)), truth] = 1 - 0.05 * (len(NAMES) - 1)
    predictions = Predictions(ids=ids, clip_ids=ids, groups=ids, labels=NAMES, probs=probs, truth=truth)
    run = builders.make_run(tmp_path / "$run_$", {"test": predictions}, builders.model_card("$run_$", labels=NAMES))
    paths = {path.stem: path for path in draw_run(run, tmp_path / "plots", kind=kind)}  # type: ignore[arg-type]
    if kind == "svg":
        for name in ("$x_{$", "_hidden", "<script>", "日本語", "&amp; %d {0}"):
            assert name in svg_text(paths["classes"])
            assert name in svg_text(paths["confusion"])
        assert "$run_$" in svg_text(paths["confusion"])


@pytest.mark.parametrize("kind", ["svg", "png"])
def test_maps_and_boxes_show_every_name(kind: str, tmp_path: Path) -> None:
    clip_map = map_clips(vectors(), ["pca"])
    for title, figure in (("map", map_figure(clip_map)), ("boxes", boxes_figure(vectors(), ["a_b", "$c$"]))):
        path = save_figure(figure, tmp_path / f"{title}.{kind}")
        if kind == "svg":
            assert all(name in svg_text(path) for name in ("$x_{$", "_hidden", "<script>", "日本語"))


def test_vectors_of_a_diverged_network_are_not_drawn() -> None:
    one = vectors()
    require_finite(one)
    one.values[3, 1] = np.nan
    with pytest.raises(DataError, match="diverged"):
        require_finite(one)
