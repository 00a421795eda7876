"""Pictures from sound: the one function that renders a clip, and the resumable rendering of a whole source."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spectro.audio.decode import probe
from spectro.audio.features.mel import mel_spectrogram, silent, to_picture
from spectro.audio.segment import file_starts, iter_segments
from spectro.core.config import RenderConfig
from spectro.core.errors import AudioError, DataError
from spectro.core.tables import Clip, Segment, read_csv, write_clips, write_csv, write_segments, write_text
from spectro.data import png
from spectro.data.engines import local as engine
from spectro.data.layouts import Scan, scan
from spectro.data.store import Store, folder_of, fresh, open_store, picture_path, read_config, tags

Picture = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A clip that has no pictures, and why; a line of `failed.csv`."""

    path: str
    """Id of the clip."""
    reason: str
    """One of AudioError's reasons, or `crashed`."""
    seconds: float
    """Duration its header promises, in seconds; 0 where it cannot be read."""
    message: str
    """What to do about it."""


@dataclass(frozen=True, kw_only=True)
class Rendering:
    """What `render` did."""

    data: Path
    """The DATA folder."""
    store: Store
    """The pictures."""
    made: int
    """Pictures rendered now."""
    reused: int
    """Pictures that were already there, with the same settings, of the same source files."""
    failed: tuple[Failure, ...]
    """Clips without pictures."""


def render_clip(path: Path | str, config: RenderConfig) -> Iterator[tuple[float, Picture]]:
    """Yield the start in seconds and the picture `[bands, frames]` of each segment of one audio file.

    Rendering and prediction both call this and nothing else. A silent segment becomes a black picture; memory is
    bounded by the segment, not the file.

    Raises
    ------
    AudioError
        the file cannot be used, or is silent from start to end; possibly after some pictures.
    """
    black: list[float] = []  # starts of silent segments that lead the clip: nothing is yielded before a sound is heard
    heard = False
    for start, samples in iter_segments(Path(path), config.mel.sample_rate, config.segment):
        db = mel_spectrogram(samples, config.mel)
        picture = to_picture(db, config.mel.top_db)
        if not heard:
            if silent(db):
                black.append(start)
                continue
            heard = True
            yield from ((early, np.zeros_like(picture)) for early in black)
        yield start, picture
    if not heard:
        raise AudioError("silent", f"{path} is digital silence from start to end; fetch or export it again")


def render(
    source: Path | str,
    *,
    out: Path | str,
    config: RenderConfig | None = None,
    layout: str = "auto",
    workers: int = 0,
    strict: bool = False,
    exclude: Path | str | None = None,
    progress: bool = False,
) -> Rendering:
    """Render every clip of a source into pictures below `out`, doing only what is missing.

    Writes `clips.csv`, `failed.csv`, `source.json` and `mel-<config_id>/`; pictures of other settings in the same
    folder are left alone. It may be killed at any point and run again.

    Parameters
    ----------
    source, layout
        What `scan` takes.
    out
        The DATA folder.
    config
        Settings of the pictures; the defaults when None.
    workers
        Number of processes; 0 for one per core.
    strict
        Stop at the first clip that cannot be rendered.
    exclude
        CSV with a column `path`: ids of clips to leave out (what `spectro doctor` writes, or a `failed.csv`).
    progress
        Draw a progress bar on standard error.

    Raises
    ------
    DataError
        the source is not laid out that way, `out` belongs to another source, or not one clip could be rendered.
    AudioError
        a clip cannot be rendered, with `strict`.
    """
    found = select(scan(source, layout), exclude)
    return render_scan(found, out=out, config=config, workers=workers, strict=strict, progress=progress)


def render_scan(
    found: Scan,
    *,
    out: Path | str,
    config: RenderConfig | None = None,
    workers: int = 0,
    strict: bool = False,
    progress: bool = False,
) -> Rendering:
    """Render clips that are known already: `render` without reading a layout."""
    config = config or RenderConfig()
    data = Path(out)
    _claim(data, found)
    folder = folder_of(data, config)
    if (folder / "config.json").exists():
        read_config(folder / "config.json")
    else:
        write_text(folder / "config.json", json.dumps(config.to_dict(), indent=2) + "\n")
    results = {}
    for clip, result in _rendered(found, folder, config, workers, progress):
        results[clip] = result
        if strict and result["failure"]:
            raise AudioError(result["failure"]["reason"], result["failure"]["message"])
    clips = [replace(clip, seconds=results[clip.id]["seconds"]) for clip in found.clips]
    failures = tuple(
        Failure(path=clip.id, seconds=clip.seconds, **results[clip.id]["failure"])
        for clip in clips
        if results[clip.id]["failure"]
    )
    rows = [(f.path, f.reason, f"{f.seconds:.3f}", f.message) for f in failures]
    write_csv(data / "failed.csv", ("path", "reason", "seconds", "message"), rows)
    if len(failures) == len(clips):
        first = failures[0].message
        raise DataError(f"none of {len(clips)} clips could be rendered: {first} (all in {data / 'failed.csv'})")
    segments = [
        Segment(clip=clip, start=start, seconds=config.segment.seconds)
        for clip in clips
        for start in results[clip.id]["starts"]
    ]
    write_clips(data / "clips.csv", clips)
    _sweep(data)
    write_segments(folder / "segments.csv", segments)
    made = sum(result["made"] for result in results.values())
    store = open_store(data, config.config_id())
    return Rendering(data=data, store=store, made=made, reused=len(segments) - made, failed=failures)


def _rendered(
    found: Scan, folder: Path, config: RenderConfig, workers: int, progress: bool
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each clip's id with what `render_one` returned, as they are finished."""
    shared = {"root": str(found.root), "folder": str(folder), "config": json.dumps(config.to_dict())}
    tasks = [{"clip": clip.id} for clip in found.clips]
    results = engine.run(render_one, shared, tasks, workers=workers)
    for task, result in engine.show_progress(results, len(tasks), "render", progress):
        if result is None:
            path = found.root / task["clip"]
            result = _failed("crashed", f"{path} killed the process that rendered it (no memory, or a faulty decoder)")
        yield task["clip"], result


def select(found: Scan, exclude: Path | str | None) -> Scan:
    """Leave out the clips that a CSV names in its column `path`; raises DataError when it names none of them."""
    if exclude is None:
        return found
    names = {row["path"] for row in read_csv(Path(exclude), ("path",))}
    kept = tuple(clip for clip in found.clips if clip.id not in names)
    if names and len(kept) == len(found.clips):
        raise DataError(f"{exclude} names no clip of {found.root} (its first: '{min(names)}'); paths are clip ids")
    if not kept:
        raise DataError(f"{exclude} leaves no clip of {found.root} to render")
    return replace(found, clips=kept)


def render_one(shared: Mapping[str, Any], task: Mapping[str, Any]) -> dict[str, Any]:
    """Render what is missing of one clip; the work of one engine task.

    Returns `starts` of its pictures, how many were `made`, its `seconds`, and a `failure` (reason, message) or None.
    """
    path = Path(shared["root"]) / task["clip"]
    place = _Place(folder=Path(shared["folder"]), clip=task["clip"], config=_config(shared["config"]), path=path)
    seconds = 0.0
    starts: list[float] = []
    made = 0
    try:
        seconds = probe(path).seconds
        expected = file_starts(path, seconds, place.config.segment)
        if all(map(place.fresh, expected)):
            return {"starts": expected, "made": 0, "seconds": seconds, "failure": None}
        for start, picture in _one_behind(render_clip(path, place.config)):
            starts.append(start)
            if not place.fresh(start):
                png.write(place.target(start), picture, place.tags(start))
                made += 1
    except AudioError as error:
        for start in starts:
            place.target(start).unlink(missing_ok=True)
        return _failed(error.reason, str(error), seconds)
    return {"starts": starts, "made": made, "seconds": seconds, "failure": None}


def _failed(reason: str, message: str, seconds: float = 0.0) -> dict[str, Any]:
    return {"starts": [], "made": 0, "seconds": seconds, "failure": {"reason": reason, "message": message}}


@dataclass(frozen=True, kw_only=True)
class _Place:
    """Where the pictures of one clip belong, and what their text chunks must say."""

    folder: Path
    clip: str
    config: RenderConfig
    path: Path

    def _segment(self, start: float) -> Segment:
        clip = Clip(id=self.clip, label="", group="")
        return Segment(clip=clip, start=start, seconds=self.config.segment.seconds)

    @cached_property
    def stamp(self) -> str:
        """Size and time of the source file: other than in the picture when the file was changed."""
        stat = self.path.stat()
        return f"{stat.st_size} {stat.st_mtime_ns}"

    def target(self, start: float) -> Path:
        return picture_path(self.folder, self._segment(start))

    def tags(self, start: float) -> dict[str, str]:
        return tags(self.config, self._segment(start), self.stamp)

    def fresh(self, start: float) -> bool:
        return fresh(self.target(start), self.tags(start))


def _one_behind(pictures: Iterator[tuple[float, Picture]]) -> Iterator[tuple[float, Picture]]:
    """Yield each item when the next is there: the last one, that completes a clip, only once the file proved whole."""
    held = next(pictures)
    for item in pictures:
        yield held
        held = item
    yield held


@lru_cache(maxsize=8)
def _config(text: str) -> RenderConfig:
    return RenderConfig.from_dict(json.loads(text))


def _claim(data: Path, found: Scan) -> None:
    """Note in DATA where its pictures come from; raise DataError when they come from elsewhere."""
    note = {"layout": found.layout, "root": str(found.root)}
    path = data / "source.json"
    if path.exists():
        known = json.loads(path.read_text(encoding="utf-8"))
        if known != note:
            raise DataError(
                f"{data} holds pictures of {known.get('root')} (layout {known.get('layout')}), not of {found.root} "
                f"(layout {found.layout}); give another --out, or remove that folder"
            )
    elif data.exists() and not data.is_dir():
        raise DataError(f"{data} is a file; --out must be a folder")
    else:
        write_text(path, json.dumps(note, indent=2, ensure_ascii=False) + "\n")


def _sweep(folder: Path) -> None:
    """Remove what killed runs left half-written; finished pictures are never removed."""
    for here, _, names in os.walk(folder):
        for name in names:
            if name.startswith(".") and name.endswith(".tmp"):
                Path(here, name).unlink(missing_ok=True)
