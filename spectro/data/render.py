"""Render audio as mel-spectrograms: the one function that renders a clip, and the resumable rendering of a source."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from spectro.audio.decode import probe
from spectro.audio.features.mel import mel_spectrogram, silent, to_picture
from spectro.audio.segment import file_starts, iter_segments
from spectro.core.arrays import Image
from spectro.core.config import RenderConfig
from spectro.core.data_folder import DataFolder, Source
from spectro.core.errors import AudioError, DataError
from spectro.core.files import read_csv
from spectro.core.records import Record
from spectro.core.tables import Clip, Failure, Segment
from spectro.data import png
from spectro.data.engines import ClipTask, Done, Failed
from spectro.data.engines import local as engine
from spectro.data.layouts import Scan, scan
from spectro.data.ownership import claim, remove_dead, require_own
from spectro.data.source import require_file, source_stamp
from spectro.data.storage import held
from spectro.data.store import Store, fresh, open_store, picture_path, picture_shape, tags
from spectro.data.tables import complete, keep_edits, write_tables


@dataclass(frozen=True, kw_only=True)
class Rendering:
    """What `render` did."""

    data: Path
    """The data folder."""
    store: Store
    """The spectrograms."""
    made: int
    """Spectrograms rendered now."""
    reused: int
    """Spectrograms that were already there, with the same settings, of the same source files."""
    failed: tuple[Failure, ...]
    """Clips without spectrograms."""


@dataclass(frozen=True, kw_only=True)
class RenderJob(Record):
    """What all clips of one rendering have in common."""

    root: str
    """Folder of the source."""
    folder: str
    """Folder of the spectrograms."""
    config: RenderConfig


@dataclass(frozen=True, kw_only=True)
class RenderedClip(Record):
    """A clip all of whose spectrograms are there."""

    seconds: float
    """Duration its header promises, in seconds."""
    starts: tuple[float, ...]
    """Start of each segment, in seconds."""
    made: int
    """Spectrograms rendered now."""
    stamp: str
    """Size and checksum of its file, as `source_stamp` returns them."""


def render_clip(path: Path | str, config: RenderConfig) -> Iterator[tuple[float, Image]]:
    """Yield the spectrogram of each segment of one audio file.

    Rendering and prediction both call this and nothing else. A silent segment becomes a black image; memory is bounded
    by the segment, not the file.

    Parameters
    ----------
    path
        The audio file.
    config
        Settings of the spectrograms.

    Yields
    ------
    start, image
        Start in seconds, and grey levels `[bands, frames]`.

    Raises
    ------
    AudioError
        the file cannot be used, or is silent from start to end; possibly after some spectrograms.
    """
    black: list[float] = []  # starts of silent segments at the beginning: kept back until the first sound
    sounding = False
    for start, samples in iter_segments(Path(path), config.mel.sample_rate, config.segment):
        db = mel_spectrogram(samples, config.mel)
        image = to_picture(db, config.mel.top_db)
        if not sounding:
            if silent(db):
                black.append(start)
                continue
            sounding = True
            yield from ((early, np.zeros_like(image)) for early in black)
        yield start, image
    if not sounding:
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
    """Render every clip of a source as spectrograms below `out`, doing only what is missing.

    Writes `clips.csv`, `failed.csv`, `source.json` and `mel-<config id>/`; spectrograms of other settings in the same
    folder are left alone. It may be killed at any point and run again.

    Parameters
    ----------
    source, layout
        What `scan` takes.
    out
        The data folder.
    config
        Settings of the spectrograms; the defaults when None.
    workers
        Number of processes; 0 for one per core.
    strict
        Stop at the first clip that cannot be rendered.
    exclude
        CSV with a column `path`: ids of clips to leave out (the `bad_files` of `check_audio`, or a `failed.csv`).
    progress
        Draw a progress bar on standard error.

    Returns
    -------
    Rendering

    Raises
    ------
    DataError
        the source is not laid out that way, `out` belongs to another source or holds something else, or not one clip
        could be rendered.
    AudioError
        a clip cannot be rendered, with `strict`.
    BusyError
        another process renders into `out`.
    StorageError
        the disk is full, failing or read-only.
    """
    listing = leave_out(scan(source, layout), exclude)
    return render_scan(listing, out=out, config=config, workers=workers, strict=strict, progress=progress)


def render_scan(
    listing: Scan,
    *,
    out: Path | str,
    config: RenderConfig | None = None,
    workers: int = 0,
    strict: bool = False,
    progress: bool = False,
    edited: bool = False,
) -> Rendering:
    """Render clips that are known already: `render` without reading a layout.

    Parameters
    ----------
    listing
        The clips.
    out, config, workers, strict, progress
        What `render` takes.
    edited
        Whether labels, groups or folds of the clips were edited by hand.
    """
    config, data = config or RenderConfig(), DataFolder(Path(out))
    require_own(data.path)
    with held(data.path):
        return _render_into(data, listing, config, workers, strict, progress, edited)


def _render_into(
    data: DataFolder, listing: Scan, config: RenderConfig, workers: int, strict: bool, progress: bool, edited: bool
) -> Rendering:
    claim(data, Source(layout=listing.layout, root=str(listing.root)))
    data.write_config(config)
    rendered: dict[str, RenderedClip] = {}
    failed: dict[str, Failure] = {}
    job = RenderJob(root=str(listing.root), folder=str(data.rendered_path(config)), config=config)
    tasks = [ClipTask(clip=clip.id) for clip in listing.clips]
    outcomes = engine.run(render_one, job, tasks, workers=workers)
    for task, outcome in engine.show_progress(outcomes, len(tasks), "render", progress):
        if isinstance(outcome, Done):
            rendered[task.clip] = outcome.value
        elif strict:
            raise AudioError(outcome.reason, failure_of(listing.root, task.clip, outcome).message)
        else:
            failed[task.clip] = failure_of(listing.root, task.clip, outcome)
    source = tuple(replace(clip, seconds=(rendered.get(clip.id) or failed[clip.id]).seconds) for clip in listing.clips)
    failures = tuple(failed[clip.id] for clip in source if clip.id in failed)
    if not rendered:
        data.write_failures(failures)
        first = failures[0].message
        raise DataError(f"none of {len(source)} clips could be rendered: {first} (all in {data.failed_path})")
    clips = keep_edits(data, source)
    write_tables(data, clips, failures, source=source, edited=edited)
    remove_dead(data.path, data.rendered_path(config))
    stamps = {clip.id: rendered[clip.id].stamp for clip in clips if clip.id in rendered}
    complete(data, config, tuple(_segments(clips, rendered, config)), stamps)
    made = sum(clip.made for clip in rendered.values())
    store = open_store(data.path, config.config_id())
    return Rendering(data=data.path, store=store, made=made, reused=len(store.segments) - made, failed=failures)


def leave_out(listing: Scan, exclude: Path | str | None) -> Scan:
    """Leave out the clips that a CSV names in its column `path`; raises DataError when it names none of them."""
    if exclude is None:
        return listing
    names = {row["path"] for row in read_csv(Path(exclude), ("path",))}
    kept = tuple(clip for clip in listing.clips if clip.id not in names)
    if names and len(kept) == len(listing.clips):
        raise DataError(f"{exclude} names no clip of {listing.root} (its first: '{min(names)}'); paths are clip ids")
    if not kept:
        raise DataError(f"{exclude} leaves no clip of {listing.root} to render")
    return replace(listing, clips=kept)


def render_one(job: RenderJob, task: ClipTask) -> RenderedClip:
    """Render what is missing of one clip; raises AudioError, having removed its spectrograms, when it cannot be."""
    target = _ClipTarget(job=job, clip=task.clip)
    require_file(target.path)
    seconds = probe(target.path).seconds
    expected = file_starts(target.path, seconds, job.config.segment)
    target.require_names(expected)
    if all(map(target.fresh, expected)):
        return RenderedClip(seconds=seconds, starts=tuple(expected), made=0, stamp=target.stamp)
    starts: list[float] = []
    made = 0
    try:
        for start, image in _delay_last(render_clip(target.path, job.config)):
            starts.append(start)
            if not target.fresh(start):
                png.write(target.png_path(start), image, target.tags(start))
                made += 1
    except AudioError:
        for start in starts:
            target.png_path(start).unlink(missing_ok=True)
        raise
    return RenderedClip(seconds=seconds, starts=tuple(starts), made=made, stamp=target.stamp)


def failure_of(root: Path, clip: str, failed: Failed) -> Failure:
    """Return the line of `failed.csv` for a clip on which a worker failed.

    Parameters
    ----------
    root
        Folder of the source.
    clip
        Id of the clip.
    failed
        What the engine returned.
    """
    path = root / clip
    if failed.reason == "crashed":  # its header is not read here, which could take this process down too
        return Failure(path=clip, reason=failed.reason, seconds=0.0, message=f"{path}: {failed.message}")
    try:
        require_file(path)
        seconds = probe(path).seconds
    except AudioError:
        seconds = 0.0
    return Failure(path=clip, reason=failed.reason, seconds=seconds, message=failed.message)


@dataclass(frozen=True, kw_only=True)
class _ClipTarget:
    """Where the spectrograms of one clip belong, and what their text chunks must say."""

    job: RenderJob
    clip: str

    @cached_property
    def path(self) -> Path:
        return Path(self.job.root) / self.clip

    @cached_property
    def stamp(self) -> str:
        return source_stamp(self.path)

    def png_path(self, start: float) -> Path:
        return picture_path(Path(self.job.folder), self._segment(start))

    def tags(self, start: float) -> dict[str, str]:
        return tags(self.job.config, self._segment(start), self.stamp)

    def fresh(self, start: float) -> bool:
        return fresh(self.png_path(start), self.tags(start), picture_shape(self.job.config))

    def require_names(self, starts: Sequence[float]) -> None:
        """Raise AudioError where the clip's name, with a start behind it, is too long for the file system."""
        try:
            os.lstat(self.png_path(starts[-1]))
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                size = len(os.fsencode(self.path.name))
                message = f"{self.path} has a name of {size} bytes, too long for its spectrograms; shorten it"
                raise AudioError("name-too-long", message) from None

    def _segment(self, start: float) -> Segment:
        clip = Clip(id=self.clip, label="", group="")
        return Segment(clip=clip, start=start, seconds=self.job.config.segment.seconds)


def _delay_last(images: Iterator[tuple[float, Image]]) -> Iterator[tuple[float, Image]]:
    """Yield each item once the next is there, so that the last one, which completes a clip, follows its whole file."""
    held = next(images)
    for item in images:
        yield held
        held = item
    yield held


def _segments(clips: Sequence[Clip], rendered: dict[str, RenderedClip], config: RenderConfig) -> Iterator[Segment]:
    for clip in clips:
        for start in rendered[clip.id].starts if clip.id in rendered else ():
            yield Segment(clip=clip, start=start, seconds=config.segment.seconds)
