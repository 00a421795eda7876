"""Render one lot into a tar: the work of a worker, from JSON to JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from spectro.audio.decode import AudioWarning, probe
from spectro.audio.features.mel import mel_spectrogram, silent, to_picture
from spectro.audio.segment import iter_segments
from spectro.core.arrays import Image
from spectro.core.config import RenderConfig
from spectro.core.errors import AudioError
from spectro.core.tables import Clip, Segment
from spectro.data import png
from spectro.data.clip_rendering import render_clip
from spectro.data.lots.attempt import Sound, attempt
from spectro.data.lots.records import ClipRow, LotJob, LotResult, LotTask, Plan
from spectro.data.lots.shard import ShardWriter
from spectro.data.source import require_file, source_stamp
from spectro.data.store import tags
from spectro.data.worker import NO_MEMORY


def render_lot(job: LotJob, task: LotTask) -> LotResult:
    """Do one attempt at a lot of a rendering; every engine calls this and nothing else."""
    return attempt(job, task, ".tar", _render)


def _render(plan: Plan, sounds: Iterator[Sound], path: Path) -> list[ClipRow]:
    assert isinstance(plan.work, RenderConfig)
    with ShardWriter(path) as shard:
        return [_render_one(sound, plan.work, shard) for sound in sounds]


def _render_one(sound: Sound, config: RenderConfig, shard: ShardWriter) -> ClipRow:
    """Add the spectrograms of one item to a shard, all or none; return its row."""
    seconds = 0.0
    try:
        if sound.error is not None:
            raise sound.error
        require_file(sound.path)
        info = probe(sound.path)
        seconds = info.seconds
        return _row(sound, config, shard, seconds, info.decoder)
    except AudioError as error:
        return sound.failed(error.reason, str(error), seconds)
    except MemoryError:
        return sound.failed(NO_MEMORY.reason, f"{sound.name}: {NO_MEMORY.message}")


def _row(sound: Sound, config: RenderConfig, shard: ShardWriter, seconds: float, decoder: str) -> ClipRow:
    item, warnings, stamp = sound.item, list[AudioWarning](), source_stamp(sound.path)
    clip = Clip(id=item.clip, label=item.label, group=item.group, fold=item.fold)
    images = []
    sounding = item.whole
    pairs = render_clip(sound.path, config, warnings.append) if item.whole else _part(sound, config, warnings)
    for start, image in pairs:
        segment = Segment(clip=clip, start=start, seconds=config.segment.seconds)
        images.append((segment, png.encode(image, tags(config, segment, stamp))))
        sounding = sounding or bool(image.any())
    places = tuple(shard.add(segment, data) for segment, data in images)
    return ClipRow(
        clip=clip.id,
        seconds=seconds,
        stamp=stamp,
        decoder=decoder,
        warnings=tuple(replace(one, message=one.message.replace(str(sound.path), clip.id)) for one in warnings),
        starts=tuple(segment.start for segment, _ in images),
        places=places,
        sounding=sounding,
    )


def _part(sound: Sound, config: RenderConfig, warnings: list[AudioWarning]) -> Iterator[tuple[float, Image]]:
    """Yield the spectrograms of a part of a long file.

    What is in front of the part is decoded too, which a resampler needs for the same samples to the last bit.
    """
    item = sound.item
    for start, samples in iter_segments(sound.path, config.mel.sample_rate, config.segment, warnings.append):
        if item.end and start >= item.end:
            return
        if start < item.begin:
            continue
        db = mel_spectrogram(samples, config.mel)
        image = to_picture(db, config.mel.top_db)
        yield start, np.zeros_like(image) if silent(db) else image
