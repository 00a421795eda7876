"""libsndfile: WAV, FLAC, Ogg Vorbis, Opus, MP3 and most uncompressed formats."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import soundfile
from numpy.typing import NDArray

from spectro.audio.containers.layout import Layout
from spectro.audio.containers.spliced import Spliced
from spectro.audio.decoders.quiet import quiet
from spectro.audio.decoders.stream import (
    Refused,
    broken_off,
    cause_of,
    check_bounds,
    decoder_errors,
    most_seconds,
    too_long,
)
from spectro.core.errors import AudioError

VERSION = f"libsndfile {soundfile.__libsndfile_version__}"
INT16_SUBTYPES = frozenset({"PCM_16", "PCM_S8", "PCM_U8", "ULAW", "ALAW", "IMA_ADPCM", "MS_ADPCM"})
"""Encodings that int16 holds without loss."""
COMPRESSED = frozenset({"MP3", "OGG", "FLAC"})
"""Containers that libsndfile decodes to float32 at least as fast as to int16."""
MUTE = frozenset({"WAV", "WAVEX", "RF64", "AIFF", "FLAC", "OGG"})
"""Containers whose decoders print nothing."""
MOST_FRAMES = 1 << 60
"""Longest length that is believed; what libsndfile reports for an unknown one lies beyond."""
MP3_SLACK = 3 * 1152
"""Frames by which an intact MP3 may miss its header: encoder delay and padding."""
COUNTED = 1 << 16
"""Frames read at once where all of them must be counted."""


class _SoundFile(soundfile.SoundFile):  # type: ignore[misc]  # soundfile ships no types
    """A SoundFile that is only read forwards."""

    def seekable(self) -> bool:
        """Return False: otherwise soundfile seeks after every read, which takes long in compressed files."""
        return False


class SndfileStream:
    """A file that libsndfile opened; see `Stream`."""

    decoder = VERSION

    def __init__(self, path: Path, file: Any, layout: Layout, frames: int) -> None:
        self.path, self._file = path, file
        self.sample_rate, self.channels, self.frames = int(file.samplerate), int(file.channels), frames
        self.codec = _codec(file)
        self.warnings = layout.warnings
        self.native = file.subtype in INT16_SUBTYPES and file.format not in COMPRESSED
        self.slack = MP3_SLACK if _mpeg(file) else 0
        self._mute = file.format in MUTE
        self._done = 0

    def read(self, out: NDArray[Any]) -> int:
        """Fill `out`; see `Stream`."""
        try:
            with nullcontext() if self._mute else quiet():
                count = len(self._file.read(out=out))
        except Exception as error:
            raise broken_off(self.path, self._done, self.sample_rate, self.frames, cause_of(error)) from None
        self._done += count
        return count


@contextmanager
def open_stream(path: Path, layout: Layout, size: int) -> Iterator[SndfileStream]:
    """Open a file of `size` bytes with libsndfile.

    Raises
    ------
    Refused
        libsndfile does not know what it is, or how it is encoded.
    AudioError
        `implausible`, `empty`, or `truncated`.
    """
    with ExitStack() as stack:
        with decoder_errors(path):
            try:
                file = stack.enter_context(_opened(path, layout, stack))
            except (soundfile.LibsndfileError, TypeError) as error:
                raise Refused(cause_of(error)) from None
            frames = int(file.frames)
        rate = int(file.samplerate)
        check_bounds(path, rate, int(file.channels))
        if frames > MOST_FRAMES:  # a FLAC that was streamed while it was made, whose last frame is damaged too
            frames = _count(path, layout, size)
        if frames <= 0:
            raise AudioError("empty", f"{path} holds no sound (0 samples); fetch or export it again")
        if frames / rate > most_seconds(size):
            raise too_long(path, frames / rate, size)
        yield SndfileStream(path, file, layout, frames)


def _opened(path: Path, layout: Layout, stack: ExitStack) -> Any:
    raw: BinaryIO = stack.enter_context(path.open("rb", buffering=0 if not layout.spliced else -1))
    with quiet():
        if layout.spliced:
            return _SoundFile(stack.enter_context(Spliced(raw, layout.front, layout.begin, layout.end)))
        if (
            os.name == "posix"
        ):  # a number has no suffix, by which libsndfile takes .raw, .vox and .gsm for what they say
            return _SoundFile(raw.fileno(), closefd=False)
        return _SoundFile(path)


def _count(path: Path, layout: Layout, size: int) -> int:
    """Return the number of frames of a file whose header does not have it, by decoding it once."""
    with ExitStack() as stack, decoder_errors(path, "truncated"), quiet():
        file = stack.enter_context(_opened(path, layout, stack))
        buffer = np.empty((COUNTED, int(file.channels)), np.float32)
        most = most_seconds(size) * int(file.samplerate)
        count = 0
        while block := len(file.read(out=buffer)):
            count += block
            if count > most:
                raise too_long(path, count / int(file.samplerate), size)
    return count


def _mpeg(file: Any) -> bool:
    return bool(file.subtype.startswith("MPEG"))


def _codec(file: Any) -> str:
    """Return the name of the encoding in lower case, the same for every container."""
    if file.format == "FLAC":
        return "flac"
    names = {"MPEG_LAYER_III": "mp3", "MPEG_LAYER_II": "mp2", "MPEG_LAYER_I": "mp1"}
    return names.get(file.subtype, str(file.subtype).lower())
