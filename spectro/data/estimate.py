"""What a rendering would take: clips, segments, disk and time, estimated from headers and a few clips rendered."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spectro.audio.decode import probe
from spectro.audio.segment import file_starts
from spectro.core.config import RenderConfig
from spectro.core.errors import AudioError, DataError
from spectro.core.tables import Clip, Segment
from spectro.data import png
from spectro.data.engines import local as engine
from spectro.data.layouts import scan
from spectro.data.render import Failure, render_clip, select
from spectro.data.store import picture_shape, tags

SAMPLE = 8  # clips rendered for the estimate, spread over the source


@dataclass(frozen=True, kw_only=True)
class RenderingEstimate:
    """What `render` would do."""

    clips: int
    """Clips that can be rendered, as far as their headers tell."""
    segments: int
    """Pictures they make."""
    audio_seconds: float
    """Their total duration, in seconds."""
    picture_bytes: int
    """Disk for the PNGs, estimated, in bytes."""
    packed_bytes: int
    """Disk for `pictures.npy`, which training packs, in bytes."""
    seconds: float
    """Time with the given number of workers, estimated, in seconds."""
    failed: tuple[Failure, ...]
    """Clips that cannot be rendered."""


def estimate_rendering(
    source: Path | str,
    *,
    config: RenderConfig | None = None,
    layout: str = "auto",
    workers: int = 0,
    exclude: Path | str | None = None,
) -> RenderingEstimate:
    """Say what `render` with the same arguments would take, writing nothing.

    Raises
    ------
    DataError
        as `render` does.
    """
    config = config or RenderConfig()
    found = select(scan(source, layout), exclude)
    shared = {"root": str(found.root), "config": config.to_dict()}
    tasks = [{"clip": clip.id} for clip in found.clips]
    segments: dict[str, int] = {}
    failed: dict[str, Failure] = {}
    audio = 0.0
    for task, result in engine.run(plan_one, shared, tasks, workers=workers):
        result = result or {"seconds": 0.0, "reason": "crashed", "message": f"{task['clip']} kills its decoder"}
        if "reason" in result:
            failed[task["clip"]] = Failure(path=task["clip"], **result)
        else:
            segments[task["clip"]] = result["segments"]
            audio += result["seconds"]
    if not segments:
        raise DataError(f"none of {len(tasks)} clips could be rendered: {next(iter(failed.values())).message}")
    pictures = 0
    size = seconds = 0.0
    names = sorted(segments)
    for name in names[:: -(-len(names) // SAMPLE)]:
        begin = time.perf_counter()
        try:
            size += _rendered_bytes(found.root, name, config)
        except AudioError as error:  # the header promised more than the file holds
            failed[name] = Failure(path=name, reason=error.reason, seconds=0.0, message=str(error))
            del segments[name]
            continue
        pictures += segments[name]
        seconds += time.perf_counter() - begin
    total = sum(segments.values())
    bands, frames = picture_shape(config)
    return RenderingEstimate(
        clips=len(segments),
        segments=total,
        audio_seconds=audio,
        picture_bytes=round(size / max(pictures, 1) * total),
        packed_bytes=total * bands * frames,
        seconds=seconds / max(pictures, 1) * total / min(workers or engine.cores(), len(names)),
        failed=tuple(failed[name] for name in sorted(failed)),
    )


def plan_one(shared: Mapping[str, Any], task: Mapping[str, Any]) -> dict[str, Any]:
    """Read one clip's header; the work of one engine task."""
    path = Path(shared["root"]) / task["clip"]
    seconds = 0.0
    try:
        seconds = probe(path).seconds
        config = RenderConfig.from_dict(shared["config"])
        return {"seconds": seconds, "segments": len(file_starts(path, seconds, config.segment))}
    except AudioError as error:
        return {"seconds": seconds, "reason": error.reason, "message": str(error)}


def _rendered_bytes(root: Path, name: str, config: RenderConfig) -> int:
    """Return the size of a clip's pictures, having made them in memory."""
    clip = Clip(id=name, label="", group="")
    return sum(
        len(png.encode(picture, tags(config, Segment(clip=clip, start=start, seconds=config.segment.seconds), "")))
        for start, picture in render_clip(root / name, config)
    )
