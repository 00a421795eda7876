"""The map of the report: the clips of a run as points, as SVG text that the page's style sheet colours."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np

from spectro.core.errors import SpectroError
from spectro.core.runs import Run
from spectro.evaluation.projection import ClipMap, Plane, Vectors, map_clips, run_vectors
from spectro.plots.figures import agreement_text, require_finite
from spectro.plots.palette import class_mark, outline, require_marks

MOST_CLIPS = 1000
"""Clips on the map of a page: test clips first, then others drawn at random."""
SIDE, MARGIN = 360, 12
SIZE, PALE_SIZE = 8.5, 5.0  # of a marker, in units of the drawing


@dataclass(frozen=True, kw_only=True)
class ReportMap:
    """The map of a page."""

    title: str
    agreement: str
    """How many neighbours share a clip's class, in one sentence."""
    planes: tuple[tuple[Plane, str], ...]
    """Each plane with its drawing."""
    legend: tuple[tuple[str, str], ...]
    """Each class with its marker as SVG."""
    pale: bool
    """Whether some clips are drawn pale, because they are not test clips."""


def report_map(run: Run, data: Path | None, missing: list[str]) -> ReportMap | None:
    """Return the map of a run's feature map; where there is none, say why in `missing`.

    Parameters
    ----------
    run
        A finished run.
    data
        Data folder; None for the one that the card names.
    missing
        Takes the reason where there is no map.
    """
    try:
        vectors = run_vectors(run, data=data, most=MOST_CLIPS)
        require_marks(len(vectors.labels))
        require_finite(vectors)
        clip_map = map_clips(vectors)
    except (SpectroError, OSError) as error:
        missing.append(f"No map of the clips: {error}.")
        return None
    return ReportMap(
        title=vectors.title,
        agreement=agreement_text(clip_map),
        planes=tuple((plane, plane_svg(plane, clip_map)) for plane in clip_map.planes),
        legend=tuple((label, legend_marker(number)) for number, label in enumerate(vectors.labels)),
        pale=not vectors.tested.all(),
    )


def plane_svg(plane: Plane, clip_map: ClipMap) -> str:
    """Draw a plane: test clips over the others, each with a tooltip."""
    label = f"{plane.method} of {len(clip_map.vectors.clips)} clips, coloured by class"
    return (
        f'<svg class="chart map" viewBox="0 0 {SIDE} {SIDE}" role="img" aria-label="{escape(label)}">'
        f'<rect class="ground" width="{SIDE}" height="{SIDE}"/>{"".join(_markers(plane, clip_map.vectors))}</svg>'
    )


def legend_marker(number: int) -> str:
    """Draw the marker of a class."""
    return f'<svg class="key-mark" viewBox="-6 -6 12 12" aria-hidden="true">{_marker(number, 0, 0, SIZE)}</svg>'


def _markers(plane: Plane, vectors: Vectors) -> Iterable[str]:
    low, high = plane.points.min(axis=0), plane.points.max(axis=0)
    places = MARGIN + (SIDE - 2 * MARGIN) * (plane.points - low) / np.maximum(high - low, 1e-12)
    order = np.argsort(vectors.tested, kind="stable").tolist()
    for item in order:
        x, y = float(places[item, 0]), SIDE - float(places[item, 1])
        tested, clip = bool(vectors.tested[item]), vectors.clips[item]
        title = f"{clip.id}, {clip.label}" if tested else ""
        yield _marker(int(vectors.truth[item]), x, y, SIZE if tested else PALE_SIZE, title=title, pale=not tested)


def _marker(number: int, x: float, y: float, size: float, *, title: str = "", pale: bool = False) -> str:
    colour, shape = class_mark(number)
    tooltip = f"<title>{escape(title)}</title>" if title else ""
    style = f"point k{colour}{' pale' if pale else ''}"
    place = f"translate({x:.1f} {y:.1f}) scale({size:g})"
    return f'<path class="{style}" transform="{place}" d="{outline(shape)}">{tooltip}</path>'
