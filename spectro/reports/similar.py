"""A page on which sounds and their nearest neighbours can be looked at and played."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2

from spectro.core.errors import AudioError, DataError
from spectro.core.files import write_text
from spectro.core.runs import Run
from spectro.core.tables import Segment
from spectro.evaluation.similar import Neighbour
from spectro.reports.data_uri import data_uri
from spectro.reports.media import Budget, MediaSource, coloured


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A clip with its first segment as an image and as sound."""

    clip: str
    label: str
    distance: float | None
    image: str
    sound: str


@dataclass(frozen=True, kw_only=True)
class Row:
    """A sound and what is near it."""

    query: Shown
    note: str
    """A sentence about it."""
    neighbours: tuple[Shown, ...]


@dataclass(frozen=True, kw_only=True)
class Question:
    """A sound whose neighbours are shown: a file, or a clip of the data."""

    name: str
    label: str = ""
    file: Path | None = None
    """The sound itself, if it is not a clip of the data."""
    note: str = ""
    neighbours: tuple[Neighbour, ...]


def save_similar_page(
    run: Run | Path | str, data: Path | str, questions: Sequence[Question], out: Path | str, *, title: str
) -> Path:
    """Write a self-contained HTML page of sounds and their neighbours; return its path.

    Parameters
    ----------
    run
        The run whose embedding was used.
    data
        The data folder of the neighbours.
    questions
        The sounds, in order.
    out
        The file.
    title
        Its heading.
    """
    run, budget = Run.open(run), Budget()
    source = MediaSource.of(run.leaves()[0].card, Path(data), budget.missing)
    first: dict[str, Segment] = {}
    for segment in source.segments.values() if source else ():
        first.setdefault(segment.clip.id, segment)

    def show(clip: str, label: str, distance: float | None, file: Path | None = None) -> Shown:
        image = sound = ""
        if file is not None:
            kind = {".wav": "audio/wav", ".mp3": "audio/mpeg", ".flac": "audio/flac", ".ogg": "audio/ogg"}
            known = kind.get(file.suffix.lower())
            sound = data_uri(known, file.read_bytes()) if known and file.stat().st_size < budget.characters // 4 else ""
        elif source and clip in first:
            try:
                image, sound = coloured(source.image(first[clip])), source.sound(first[clip])
            except (AudioError, DataError, OSError) as error:
                budget.missing.append(f"Some sound is missing: {error}.")
        if not budget.spend(image, sound):
            image = sound = ""
        return Shown(clip=clip, label=label, distance=distance, image=image, sound=sound)

    rows = [
        Row(
            query=show(one.name, one.label, None, one.file),
            note=one.note,
            neighbours=tuple(show(near.clip, near.label, near.distance) for near in one.neighbours),
        )
        for one in questions
    ]
    templates = jinja2.Environment(
        loader=jinja2.PackageLoader("spectro.reports"), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    missing = list(dict.fromkeys(budget.missing))
    page = templates.get_template("similar.html.j2").render(title=title, run=run.name, rows=rows, missing=missing)
    write_text(Path(out), page)
    return Path(out)
