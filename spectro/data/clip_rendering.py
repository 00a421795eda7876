"""Render one clip: the one function that makes its spectrograms, and the task of a worker that keeps them as PNG."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from spectro.audio.decode import AudioWarning, probe
from spectro.audio.features.mel import mel_spectrogram, silent, to_picture
from spectro.audio.segment import file_starts, iter_segments
from spectro.core.arrays import Image
from spectro.core.config import RenderConfig
from spectro.core.errors import AudioError
from spectro.core.records import Record
from spectro.core.tables import Clip, Failure, Segment
from spectro.data import png
from spectro.data.engines import ClipTask, Failed
from spectro.data.provenance import Provenance
from spectro.data.source import require_file, source_stamp
from spectro.data.store import fresh, picture_path, picture_shape, tags


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
    provenance: Provenance
    """Its file, and the decoder that read it now."""


def render_clip(
    path: Path | str, config: RenderConfig, on_warning: Callable[[AudioWarning], object] | None = None
) -> Iterator[tuple[float, Image]]:
    """Yield the spectrogram of each segment of one audio file.

    Rendering and prediction both call this and nothing else. A silent segment becomes a black image; memory is bounded
    by the segment, not the file.

    Parameters
    ----------
    path
        The audio file.
    config
        Settings of the spectrograms.
    on_warning
        Called with each thing that is odd about the file, once it has been read to its end.

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
    for start, samples in iter_segments(Path(path), config.mel.sample_rate, config.segment, on_warning):
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


def render_one(job: RenderJob, task: ClipTask) -> RenderedClip:
    """Render what is missing of one clip; raises AudioError, having removed its spectrograms, when it cannot be."""
    target = _ClipTarget(job=job, clip=task.clip)
    require_file(target.path)
    info = probe(target.path)
    expected = file_starts(target.path, info.seconds, job.config.segment)
    target.require_names(expected)
    if all(map(target.fresh, expected)):
        provenance = target.provenance(info.decoder, info.warnings)
        return RenderedClip(seconds=info.seconds, starts=tuple(expected), made=0, provenance=provenance)
    starts: list[float] = []
    warnings: list[AudioWarning] = []
    made = 0
    try:
        for start, image in _delay_last(render_clip(target.path, job.config, warnings.append)):
            starts.append(start)
            if not target.fresh(start):
                png.write(target.png_path(start), image, target.tags(start))
                made += 1
    except AudioError:
        for start in starts:
            target.png_path(start).unlink(missing_ok=True)
        raise
    provenance = target.provenance(info.decoder, warnings)
    return RenderedClip(seconds=info.seconds, starts=tuple(starts), made=made, provenance=provenance)


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
    if failed.reason in ("crashed", "memory"):  # its header is not read here: that could take this process down too
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

    def provenance(self, decoder: str, warnings: Sequence[AudioWarning]) -> Provenance:
        """Return what the spectrograms are made from; the warnings name the file by its id, for the source may move."""
        own = tuple(replace(one, message=one.message.replace(str(self.path), self.clip)) for one in warnings)
        return Provenance(stamp=self.stamp, decoder=decoder, warnings=own)

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
