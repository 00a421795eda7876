"""FFmpeg, by way of PyAV: AAC, MP4, WebM, WMA and whatever else libsndfile does not read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spectro.audio.containers.formats import Format
from spectro.audio.containers.layout import Layout, changed
from spectro.audio.containers.spliced import Spliced
from spectro.audio.decoders.stream import (
    Refused,
    broken_off,
    cause_of,
    check_bounds,
    decoder_errors,
    most_seconds,
    too_long,
)
from spectro.audio.info import AudioWarning, remembered
from spectro.core.arrays import Floats32
from spectro.core.errors import AudioError

SCALES = {"u8": 128.0, "s16": 32768.0, "s32": 2147483648.0, "s64": 9223372036854775808.0, "flt": 1.0, "dbl": 1.0}
"""Full scale of each kind of sample."""
MOST_SAMPLES = 1 << 22
"""Samples of the longest frame that is decoded; Monkey's Audio has up to 1.2 million."""
MISSING = 0.1
"""Seconds by which an intact file may be shorter than its header says, or three of its frames if they are longer."""
MOST_IDLE = 100_000
"""Packets without sound after which a file is given up."""
MICROSECONDS = 1_000_000


@dataclass(frozen=True, kw_only=True)
class _Facts:
    """What decoding a file once showed."""

    codec: str
    sample_rate: int
    channels: int
    frames: int
    warnings: tuple[AudioWarning, ...]


def installed() -> bool:
    """Return whether PyAV is installed."""
    return find_spec("av") is not None


class FfmpegStream:
    """A file that FFmpeg reads; see `Stream`."""

    native = False

    def __init__(self, path: Path, facts: _Facts, blocks: Iterator[Floats32]) -> None:
        import av

        self.decoder = f"ffmpeg via PyAV {av.__version__}"
        self.codec, self.warnings = facts.codec, facts.warnings
        self.sample_rate, self.channels, self.frames = facts.sample_rate, facts.channels, facts.frames
        self.slack = 0
        self._blocks = blocks
        self._unread = np.empty((0, facts.channels), np.float32)

    def read(self, out: NDArray[Any]) -> int:
        """Fill `out`; see `Stream`."""
        filled = 0
        while filled < len(out):
            if not len(self._unread):
                block = next(self._blocks, None)
                if block is None:
                    break
                self._unread = block
            part = self._unread[: len(out) - filled]
            out[filled : filled + len(part)] = part
            filled, self._unread = filled + len(part), self._unread[len(part) :]
        return filled


@contextmanager
def open_stream(path: Path, format_: Format, layout: Layout) -> Iterator[FfmpegStream]:
    """Open a file of a known format, having decoded it once to count its samples: few headers tell their number.

    Raises
    ------
    Refused
        it is not what its first bytes say.
    AudioError
        `unreadable`, `empty`, `truncated`, `changed-format` or `implausible`.
    """
    with decoder_errors(path):
        facts = _count(path, format_, layout)
    blocks = _blocks(path, format_, layout, facts)
    try:
        yield FfmpegStream(path, facts, blocks)
    finally:
        blocks.close()


def _blocks(path: Path, format_: Format, layout: Layout, facts: _Facts) -> Any:
    """Yield the samples of each frame, `[n, channels]`."""
    with _Reader(path, format_, layout) as reader:
        for frame in reader.frames():
            yield _floats(frame, facts.channels)


@remembered
def _count(path: Path, format_: Format, layout: Layout) -> _Facts:
    """Decode a file once."""
    size = path.stat().st_size
    frames = sample_rate = channels = 0
    with _Reader(path, format_, layout) as reader:
        for frame in reader.frames():
            rate, count = int(frame.sample_rate), int(frame.layout.nb_channels)
            if not frames:
                sample_rate, channels = rate, count
                check_bounds(path, rate, count)
            elif rate != sample_rate:
                raise changed(path, "sample rate")
            elif count != channels:
                raise changed(path, "number of channels")
            frames += int(frame.samples)
            if frames > most_seconds(size) * sample_rate:
                raise too_long(path, frames / sample_rate, size)
        if not frames:
            raise AudioError("empty", f"{path} holds no sound (0 samples); fetch or export it again")
        declared, slack = reader.declared(sample_rate)
    if frames / sample_rate < declared - slack:
        raise broken_off(path, frames, sample_rate, round(declared * sample_rate), "the data ends")
    return _Facts(
        codec=reader.codec, sample_rate=sample_rate, channels=channels, frames=frames, warnings=reader.warnings
    )


class _Reader:
    """One pass over the first audio stream of a file."""

    def __init__(self, path: Path, format_: Format, layout: Layout) -> None:
        self.path, self._format, self._layout = path, format_, layout
        self.codec = ""
        self.warnings = layout.warnings

    def __enter__(self) -> _Reader:
        import av

        with decoder_errors(self.path):
            # A plain file will not do: it raises when a damaged file sends FFmpeg beyond what a disk can hold.
            layout = self._layout
            self._file = Spliced(self.path.open("rb"), layout.front, layout.begin, layout.end)
        try:
            # The format is given and the file is open already: no list of other files is followed, no address.
            options = {"max_samples": str(MOST_SAMPLES), "enable_drefs": "0"}
            self._container: Any = av.open(
                self._file, format=self._format.demuxer, options=options, metadata_errors="replace"
            )
            self._stream = self._first(self._container)
        except BaseException as error:
            self._file.close()
            if isinstance(error, Exception) and not isinstance(error, AudioError):
                raise Refused(cause_of(error)) from None
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._container.close()
        finally:
            self._file.close()

    def _first(self, container: Any) -> Any:
        streams = container.streams.audio
        if not streams:
            kind = "is a video without sound" if container.streams.video else "holds no sound"
            raise AudioError("empty", f"{self.path} {kind}")
        stream = streams[0]
        context = stream.codec_context
        if context is None:
            message = f"{self.path} holds sound in a codec that FFmpeg does not know; convert it to FLAC or WAV first"
            raise AudioError("unreadable", message)
        context.thread_count = 1
        self.codec = str(context.codec.canonical_name if hasattr(context.codec, "canonical_name") else context.name)
        if len(streams) > 1:
            message = f"{self.path} has {len(streams)} audio streams; the first was read"
            self.warnings += (AudioWarning(reason="several-streams", message=message),)
        return stream

    def frames(self) -> Iterator[Any]:
        """Yield the decoded frames; raises AudioError where the data is damaged."""
        done, idle, rate = 0, 0, 0
        try:
            for packet in self._container.demux(self._stream):
                frames = packet.decode()
                idle = 0 if frames else idle + 1
                if idle > MOST_IDLE:
                    raise AudioError("unreadable", f"{self.path} holds no sound that can be decoded")
                for frame in frames:
                    if frame.samples > 0:
                        done, rate = done + frame.samples, frame.sample_rate
                        yield frame
        except (AudioError, GeneratorExit):
            raise
        except Exception as error:
            cause = cause_of(error)
            if not done:
                message = f"{self.path} cannot be decoded as {self._format.name}: {cause}; fetch or export it again"
                raise AudioError("unreadable", message) from None
            message = f"{self.path} breaks off after {done / rate:.1f} s ({cause}); fetch or export it again"
            raise AudioError("truncated", message) from None

    def declared(self, sample_rate: int) -> tuple[float, float]:
        """Return the duration that the header states, and by how much it may be missed, in seconds; 0 if unknown."""
        if not self._format.timed:
            return 0.0, 0.0
        stream, container = self._stream, self._container
        seconds = 0.0
        if stream.duration and stream.time_base:
            seconds = float(stream.duration * stream.time_base)
        elif "DURATION" in stream.metadata:
            seconds = _clock(stream.metadata["DURATION"])
        elif container.duration and len(container.streams) == 1:
            seconds = container.duration / MICROSECONDS
        frame = int(getattr(stream.codec_context, "frame_size", 0) or 0)
        return seconds, max(MISSING, 3 * frame / sample_rate)


def _clock(text: str) -> float:
    """Return the seconds of a time such as `00:01:02.345000000`, 0 if it is none."""
    try:
        hours, minutes, seconds = text.split(":")
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    except ValueError:
        return 0.0


def _floats(frame: Any, channels: int) -> Floats32:
    """Return the samples of a frame, `[n, channels]`, in -1..1."""
    kind = frame.format.name.removesuffix("p")
    array = frame.to_ndarray()
    array = array.T if frame.format.is_planar else array.reshape(-1, channels)
    with np.errstate(over="ignore", invalid="ignore"):  # beyond float32 is infinite, which the caller finds
        samples: Floats32 = array.astype(np.float32)
    if kind == "u8":
        samples -= np.float32(128)
    if SCALES[kind] != 1:
        samples *= np.float32(1 / SCALES[kind])
    return samples
