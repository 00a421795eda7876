"""Clips cut into segments of equal length: where each one starts, and its samples, one segment in memory at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from spectro.audio.decode import Samples, open_sound
from spectro.core.config import SegmentConfig
from spectro.core.errors import AudioError


def segment_starts(seconds: float, config: SegmentConfig) -> list[float]:
    """Return the start of each segment of a clip, in seconds and in order.

    >>> segment_starts(27.0, SegmentConfig())
    [0.0, 10.0, 17.0]

    Raises
    ------
    AudioError
        `too-short`: the clip is shorter than `min_seconds`, or than a segment under `short="fail"`.
    """
    least = max(config.min_seconds, config.seconds if config.short == "fail" else 0.0)
    if seconds < least:
        raise AudioError("too-short", f"the clip lasts {seconds:.2f} s, but must last at least {least:g} s")
    tiny = 1e-6  # a millionth of a second: a sum of floats must not lose a segment that just fits
    if seconds < config.seconds - tiny:
        return [0.0]
    step = config.seconds * (1 - config.overlap)
    count = int((seconds - config.seconds + tiny) / step) + 1
    starts = [round(number * step, 6) for number in range(count)]
    rest = seconds - (starts[-1] + config.seconds)
    if rest > tiny and rest >= config.min_rest * config.seconds and config.tail != "drop":
        starts.append(round(seconds - config.seconds if config.tail == "shift" else count * step, 6))
    return starts


def file_starts(path: Path, seconds: float, config: SegmentConfig) -> list[float]:
    """Return `segment_starts(seconds, config)`; its AudioError names the file."""
    try:
        return segment_starts(seconds, config)
    except AudioError as error:
        raise AudioError(error.reason, f"{path}: {error}") from None


def iter_segments(path: Path, sample_rate: int, config: SegmentConfig) -> Iterator[tuple[float, Samples]]:
    """Yield each segment's start in seconds and its mono samples `[n]` at `sample_rate`, reading the file in blocks.

    The array is overwritten by the next segment: copy what you keep.

    Raises
    ------
    AudioError
        the file cannot be used; its reasons are those of `open_sound`, `Sound.blocks` and `segment_starts`.
    """
    length = round(config.seconds * sample_rate)
    with open_sound(path) as sound:
        starts = file_starts(path, sound.info.seconds, config)
        blocks = sound.blocks(sample_rate)
        samples, rest = np.empty(length, np.float32), np.empty(0, np.float32)
        begin = -length
        for start in starts:
            first = round(start * sample_rate)
            again = samples[first - begin :]  # what this segment shares with the one before
            samples[: len(again)] = again
            begin, filled = first, len(again)
            while filled < length:
                if not len(rest):
                    block = next(blocks, None)
                    if block is None:
                        break
                    rest = block
                part = rest[: length - filled]
                samples[filled : filled + len(part)] = part
                filled, rest = filled + len(part), rest[len(part) :]
            samples[filled:] = 0
            if filled < length and config.short == "repeat" and len(starts) == 1:
                samples[:] = np.resize(samples[:filled], length)
            yield start, samples
        for _ in blocks:
            pass  # a dropped rest is decoded too: only so is a truncated file noticed
