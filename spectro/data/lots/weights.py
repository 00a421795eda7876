"""How long files take and how large their spectrograms become, estimated from their suffix and size alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath

from spectro.core.config import RenderConfig
from spectro.data.store import picture_shape


@dataclass(frozen=True)
class Codec:
    """Measured on one core of a common server, for stereo music."""

    bytes_per_second: float
    """Of the file, for each second of sound."""
    work: float
    """Core-seconds for each second of sound: decoding, and 0.3 ms for the spectrogram."""


CODECS = {
    ".wav": Codec(176_400, 0.00045),
    ".aif": Codec(176_400, 0.00045),
    ".aiff": Codec(176_400, 0.00045),
    ".flac": Codec(110_000, 0.0011),
    ".mp3": Codec(24_000, 0.00105),
    ".ogg": Codec(20_000, 0.00175),
    ".opus": Codec(14_000, 0.0018),
}
OTHER = Codec(20_000, 0.002)
PER_FILE = 0.002
"""Core-seconds that any file takes."""
SEEKABLE = (".wav", ".flac")
"""Suffixes of files that may be done in parts: their sound is decoded fast and to the same samples from any start."""
DEFLATED = 0.67
"""Bytes of a PNG for each pixel; loud noise needs more."""
AROUND = 2048
"""Bytes that a segment takes in a shard beside its PNG."""


def seconds_of(name: str, size: int) -> float:
    """Estimate the duration of a file."""
    return size / _codec(name).bytes_per_second


def weight_of(name: str, size: int) -> float:
    """Estimate the core-seconds that a file takes."""
    return PER_FILE + seconds_of(name, size) * _codec(name).work


def shard_bytes_of(name: str, size: int, config: RenderConfig) -> float:
    """Estimate what the spectrograms of a file take in a shard."""
    bands, frames = picture_shape(config)
    step = config.segment.seconds * (1 - config.segment.overlap)
    return max(1.0, seconds_of(name, size) / step) * (bands * frames * DEFLATED + AROUND)


def _codec(name: str) -> Codec:
    return CODECS.get(PurePosixPath(name).suffix.lower(), OTHER)
