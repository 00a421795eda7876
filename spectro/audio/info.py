"""What is known of an audio file before its sound is decoded, and what was odd about it."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from time import time_ns
from typing import TypeVar

from spectro.core.records import Record

Value = TypeVar("Value")

JUST_WRITTEN = 100_000_000
"""Nanoseconds for which a file is read anew each time: clocks of file systems are too coarse to see it change."""
REMEMBERED = 16
"""Files of which the last facts are kept: a rendering asks for the same ones two or three times."""


@dataclass(frozen=True, kw_only=True)
class AudioWarning(Record):
    """Something odd about a file whose sound can be used all the same."""

    reason: str
    """One stable word: `unfinished-header`, `wrong-length`, `joined-streams`, `several-streams`, `channels-cancel`."""
    message: str
    """What it is and what was done about it; names the file."""


@dataclass(frozen=True, kw_only=True)
class AudioInfo(Record):
    """What is known of an audio file when it is opened."""

    seconds: float
    """Duration, in seconds."""
    sample_rate: int
    """Frames per second, in Hz."""
    channels: int
    """Number of channels."""
    frames: int
    """Number of samples per channel."""
    decoder: str
    """Decoder with its version, such as `libsndfile 1.2.2` or `ffmpeg via PyAV 18.1.0`."""
    codec: str
    """How the samples are encoded, in lower case, such as `pcm_16`, `vorbis` or `aac`."""
    warnings: tuple[AudioWarning, ...] = ()
    """What is odd about the file; what only decoding shows is added to `Sound.warnings`."""


def remembered(function: Callable[..., Value]) -> Callable[..., Value]:
    """Keep what a function of a path, and more, returned for as long as the file has the same inode, size and time."""

    @lru_cache(maxsize=REMEMBERED)
    def known(identity: tuple[int, ...], path: Path, *rest: Hashable) -> Value:
        return function(path, *rest)

    def call(path: Path, *rest: Hashable) -> Value:
        facts = os.stat(path)
        if abs(time_ns() - facts.st_mtime_ns) < JUST_WRITTEN:
            return function(path, *rest)
        return known((facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns), path, *rest)

    return call
