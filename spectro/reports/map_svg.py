"""The map of the report: a run's clips as points, as SVG text that is coloured by the page that it stands in."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np

from spectro.core.errors import SpectroError
from spectro.core.runs import Run
from spectro.evaluation.projection import ClipMap, Plane, Vectors, map_clips, run_vectors
from spectro.plots.palette import check, mark, outline

MOST_CLIPS = 1000
"""Clips on the map of a page: the tested ones first, then others drawn at random."""
SIDE, MARGIN = 360, 12
SIZE, PALE_SIZE = 8.5, 5.0  # of a mark, in units of the drawing


@dataclass(frozen=True, kw_only=True)
class PageMap:
    """What a page shows of a map."""

    title: str
    agreement: str
    planes: tuple[tuple[Plane, str], ...]
    """Each plane with its drawing."""
    legend: tuple[tuple[str, str], ...]
    """Each class with its mark as SVG."""
    pale: bool
    """Whether some clips are drawn pale, because they were not in the test fold."""


def page_map(run: Run, data: Path | None, missing: list[str]) -> PageMap | None:
    """Return the map of a run's feature map; where there can be none, say why in `missing`."""
    try:
        vectors = run_vectors(run, data=data, most=MOST_CLIPS)
        check(len(vectors.labels))
        made = map_clips(vectors)
    except (SpectroError, OSError) as error:
        missing.append(f"There is no map of the clips: {error}.")
        return None
    return PageMap(
        title=vectors.title,
        agreement=str(made.agreement or "All clips come from one group, so no neighbour from elsewhere can be asked."),
        planes=tuple((plane, draw(plane, made)) for plane in made.planes),
        legend=tuple((label, legend_mark(number)) for number, label in enumerate(vectors.labels)),
        pale=not vectors.tested.all(),
    )


def draw(plane: Plane, made: ClipMap) -> str:
    """Draw a plane: clips that were tested over the others, each named where the pointer rests."""
    what = f"{plane.method} of {len(made.vectors.clips)} clips, coloured by class"
    return (
        f'<svg class="chart map" viewBox="0 0 {SIDE} {SIDE}" role="img" aria-label="{escape(what)}">'
        f'<rect class="ground" width="{SIDE}" height="{SIDE}"/>{"".join(_marks(plane, made.vectors))}</svg>'
    )


def legend_mark(number: int) -> str:
    """Draw the mark of a class."""
    return f'<svg class="key-mark" viewBox="-6 -6 12 12" aria-hidden="true">{_mark(number, 0, 0, SIZE)}</svg>'


def _marks(plane: Plane, vectors: Vectors) -> Iterable[str]:
    low, high = plane.points.min(axis=0), plane.points.max(axis=0)
    places = MARGIN + (SIDE - 2 * MARGIN) * (plane.points - low) / np.maximum(high - low, 1e-12)
    order = np.argsort(vectors.tested, kind="stable").tolist()
    for item in order:
        x, y = float(places[item, 0]), SIDE - float(places[item, 1])
        tested, clip = bool(vectors.tested[item]), vectors.clips[item]
        title = f"{clip.id}, {clip.label}" if tested else ""
        yield _mark(int(vectors.truth[item]), x, y, SIZE if tested else PALE_SIZE, title=title, pale=not tested)


def _mark(number: int, x: float, y: float, size: float, *, title: str = "", pale: bool = False) -> str:
    colour, shape = mark(number)
    named = f"<title>{escape(title)}</title>" if title else ""
    look = f"point k{colour}{' pale' if pale else ''}"
    place = f"translate({x:.1f} {y:.1f}) scale({size:g})"
    return f'<path class="{look}" transform="{place}" d="{outline(shape)}">{named}</path>'
