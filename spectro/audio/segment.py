"""Clips cut into segments of equal length: where each one starts, and its samples, one segment in memory at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from spectro.audio.decode import AudioWarning, open_sound
from spectro.core.arrays import Floats32
from spectro.core.config import SegmentConfig
from spectro.core.errors import AudioError

DECIMALS = 4
"""Decimals of a start: as many as tables and PNG files keep, so that what is read again is equal to the last digit."""


def segment_starts(seconds: float, config: SegmentConfig) -> list[float]:
    """Return the start of each segment of a clip, in seconds and in order.

    >>> segment_starts(27.0, SegmentConfig())
    [0.0, 10.0, 17.0]

    Parameters
    ----------
    seconds
        Length of the clip.
    config
        Length and overlap of the segments, and what becomes of the tail.

    Raises
    ------
    AudioError
        `too-short`: the clip is shorter than `min_seconds`, or than a segment under `short="fail"`.
    """
    return [round(start, DECIMALS) for start in _exact_starts(seconds, config)]


def file_starts(path: Path, seconds: float, config: SegmentConfig) -> list[float]:
    """Return `segment_starts(seconds, config)`; its AudioError names the file."""
    try:
        return segment_starts(seconds, config)
    except AudioError as error:
        raise AudioError(error.reason, f"{path}: {error}") from None


def iter_segments(
    path: Path,
    sample_rate: int,
    config: SegmentConfig,
    on_warning: Callable[[AudioWarning], object] | None = None,
) -> Iterator[tuple[float, Floats32]]:
    """Yield each segment of an audio file, reading it in blocks.

    Parameters
    ----------
    path
        The audio file.
    sample_rate
        Sample rate of the segments, in Hz.
    config
        Length and overlap of the segments, and what becomes of the tail.
    on_warning
        Called with each of `Sound.warnings` once the file has been read to its end.

    Yields
    ------
    start, samples
        The start in seconds and the mono samples, `[n]`. The next segment overwrites the array: copy what you keep.

    Raises
    ------
    AudioError
        the file cannot be used; its reasons are those of `open_sound`, `Sound.blocks` and `segment_starts`.
    """
    length = round(config.seconds * sample_rate)
    with open_sound(path) as sound:
        starts = file_starts(path, sound.info.seconds, config)
        blocks = sound.blocks(sample_rate)
        samples, unread = np.empty(length, np.float32), np.empty(0, np.float32)
        begin = -length
        for start, exact in zip(starts, _exact_starts(sound.info.seconds, config), strict=True):
            first = round(exact * sample_rate)
            shared = samples[first - begin :]  # what this segment shares with the one before
            samples[: len(shared)] = shared
            begin, filled = first, len(shared)
            while filled < length:
                if not len(unread):
                    block = next(blocks, None)
                    if block is None:
                        break
                    unread = block
                part = unread[: length - filled]
                samples[filled : filled + len(part)] = part
                filled, unread = filled + len(part), unread[len(part) :]
            samples[filled:] = 0
            if filled < length and config.short == "repeat" and len(starts) == 1:
                samples[:] = np.resize(samples[:filled], length)
            yield start, samples
        for _ in blocks:
            pass  # a dropped tail is decoded too: only so is a truncated file noticed
        if on_warning is not None:
            for warning in sound.warnings:
                on_warning(warning)


def _exact_starts(seconds: float, config: SegmentConfig) -> list[float]:
    """Return the starts to a millionth of a second, which hits the same sample as an exact number would."""
    least = max(config.min_seconds, config.seconds if config.short == "fail" else 0.0)
    if seconds < least:
        raise AudioError("too-short", f"the clip lasts {seconds:.2f} s, but must last at least {least:g} s")
    tiny = 1e-6  # a millionth of a second: a sum of floats must not lose a segment that just fits
    if seconds < config.seconds - tiny:
        return [0.0]
    step = config.seconds * (1 - config.overlap)
    count = int((seconds - config.seconds + tiny) / step) + 1
    starts = [round(number * step, 6) for number in range(count)]
    tail = seconds - (starts[-1] + config.seconds)
    if tail > tiny and tail >= config.min_tail * config.seconds and config.tail != "drop":
        starts.append(round(seconds - config.seconds if config.tail == "shift" else count * step, 6))
    return starts
