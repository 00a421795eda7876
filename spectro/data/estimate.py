"""Estimate what a rendering takes in clips, segments, disk and time, from headers and a few rendered clips."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from spectro.audio.decode import AudioWarning, probe
from spectro.audio.segment import file_starts
from spectro.core.config import RenderConfig
from spectro.core.errors import AudioError, DataError
from spectro.core.records import Record
from spectro.core.tables import Clip, ClipWarning, Failure, Segment
from spectro.data import png
from spectro.data.engines import ClipTask, Done, Failed
from spectro.data.engines import local as engine
from spectro.data.layouts import Skipped, scan
from spectro.data.render import failure_of, leave_out, render_clip
from spectro.data.source import require_file
from spectro.data.store import picture_shape, tags

SAMPLE = 8  # clips rendered for the estimate, spread over the source


@dataclass(frozen=True, kw_only=True)
class RenderingEstimate:
    """What `render` would do."""

    clips: int
    """Clips that can be rendered, as far as their headers show."""
    segments: int
    """Spectrograms they make."""
    audio_seconds: float
    """Their total duration, in seconds."""
    picture_bytes: int
    """Disk for the PNG files, estimated, in bytes."""
    packed_bytes: int
    """Disk for the array that training packs, in bytes."""
    seconds: float
    """Time with the given number of workers, estimated, in seconds."""
    failed: tuple[Failure, ...]
    """Clips that cannot be rendered."""
    warnings: tuple[ClipWarning, ...]
    """What the headers show to be odd about the others."""
    skipped: tuple[Skipped, ...]
    """What is in the source and is no clip."""


@dataclass(frozen=True, kw_only=True)
class HeaderJob(Record):
    """What all clips of one estimate have in common."""

    root: str
    """Folder of the source."""
    config: RenderConfig


@dataclass(frozen=True, kw_only=True)
class ClipHeader(Record):
    """What a clip's header promises."""

    seconds: float
    """Its duration, in seconds."""
    segments: int
    """Number of spectrograms it makes."""
    warnings: tuple[AudioWarning, ...]
    """What is odd about it."""


def estimate_rendering(
    source: Path | str,
    *,
    config: RenderConfig | None = None,
    layout: str = "auto",
    workers: int = 0,
    exclude: Path | str | None = None,
) -> RenderingEstimate:
    """Estimate what `render` with the same arguments takes, writing nothing.

    Parameters
    ----------
    source, config, layout, workers, exclude
        What `render` takes.

    Returns
    -------
    RenderingEstimate

    Raises
    ------
    DataError
        as `render` does.
    """
    config = config or RenderConfig()
    listing = leave_out(scan(source, layout), exclude)
    job = HeaderJob(root=str(listing.root), config=config)
    tasks = [ClipTask(clip=clip.id) for clip in listing.clips]
    headers: dict[str, ClipHeader] = {}
    failed: dict[str, Failure] = {}
    for task, outcome in engine.run(read_header, job, tasks, workers=workers):
        if isinstance(outcome, Done):
            headers[task.clip] = outcome.value
        else:
            failed[task.clip] = failure_of(listing.root, task.clip, outcome)
    if not headers:
        raise DataError(f"none of {len(tasks)} clips could be rendered: {next(iter(failed.values())).message}")
    audio_seconds = sum(header.seconds for header in headers.values())
    names = sorted(headers)
    size, seconds, unreadable = _sample(listing.root, names[:: -(-len(names) // SAMPLE)], config, headers)
    for name, failure in unreadable.items():  # the header promised more than the file has
        failed[name] = failure
        del headers[name]
    total = sum(header.segments for header in headers.values())
    bands, frames = picture_shape(config)
    return RenderingEstimate(
        clips=len(headers),
        segments=total,
        audio_seconds=audio_seconds,
        picture_bytes=round(size * total),
        packed_bytes=total * bands * frames,
        seconds=seconds * total / min(workers or engine.cores(), len(names)),
        failed=tuple(failed[name] for name in sorted(failed)),
        warnings=tuple(
            ClipWarning(path=name, reason=warning.reason, message=warning.message)
            for name, header in sorted(headers.items())
            for warning in header.warnings
        ),
        skipped=listing.skipped,
    )


def read_header(job: HeaderJob, task: ClipTask) -> ClipHeader:
    """Read one clip's header; raises AudioError when it cannot be rendered."""
    path = Path(job.root) / task.clip
    require_file(path)
    info = probe(path)
    starts = file_starts(path, info.seconds, job.config.segment)
    return ClipHeader(seconds=info.seconds, segments=len(starts), warnings=info.warnings)


def _sample(
    root: Path, names: Sequence[str], config: RenderConfig, headers: dict[str, ClipHeader]
) -> tuple[float, float, dict[str, Failure]]:
    """Render some clips in memory; return bytes and seconds per spectrogram, and the clips that failed."""
    segments, size, seconds = 0, 0, 0.0
    failed: dict[str, Failure] = {}
    for name in names:
        begin = time.perf_counter()
        try:
            size += _rendered_bytes(root, name, config)
        except AudioError as error:
            failed[name] = failure_of(root, name, Failed(error.reason, str(error)))
            continue
        segments += headers[name].segments
        seconds += time.perf_counter() - begin
    return size / max(segments, 1), seconds / max(segments, 1), failed


def _rendered_bytes(root: Path, name: str, config: RenderConfig) -> int:
    """Return the size of a clip's PNG files, made in memory."""
    clip = Clip(id=name, label="", group="")
    return sum(
        len(png.encode(image, tags(config, Segment(clip=clip, start=start, seconds=config.segment.seconds), "")))
        for start, image in render_clip(root / name, config)
    )
