"""Audio files in blocks: opened by libsndfile, mixed down to mono, resampled once, never held whole in memory."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr

from spectro.audio import mp3
from spectro.core.arrays import Floats32
from spectro.core.errors import AudioError

SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".au", ".snd", ".w64", ".caf"})
"""Lower-case suffixes of the files that count as audio when a folder is scanned."""

BLOCK = 1 << 16
"""Frames read at once: few enough for a core's cache, enough to be worth the call."""
INT16_SUBTYPES = frozenset({"PCM_16", "PCM_S8", "PCM_U8", "ULAW", "ALAW", "IMA_ADPCM", "MS_ADPCM"})
"""Encodings that int16 holds without loss."""
COMPRESSED = frozenset({"MP3", "OGG", "FLAC"})
"""Containers that libsndfile decodes to float32 at least as fast as to int16."""
MOST_FRAMES = 1 << 60
"""Longest length that is believed; what libsndfile reports for an unknown one lies beyond."""
MP3_SLACK = 3 * 1152
"""Frames by which an intact MP3 may miss its header: encoder delay and padding."""
UNKNOWN_BYTES = 0x7FFF0000
"""Sizes from here up mean "a stream of unknown length" in a WAV header."""
WRONG_SIZE = re.compile(r"data(?: size)?\s*: (\d+) \(should be (\d+)\)", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class AudioInfo:
    """What an audio file's header says."""

    seconds: float
    """Duration, in seconds."""
    sample_rate: int
    """Frames per second, in Hz."""
    channels: int
    """Number of channels."""
    frames: int
    """Number of samples per channel."""


class _Stream(soundfile.SoundFile):  # type: ignore[misc]  # soundfile ships no types
    """A SoundFile that is only read forwards."""

    def seekable(self) -> bool:
        """Return False: otherwise soundfile seeks after every read, which takes long in compressed files."""
        return False


class Sound:
    """One audio file, open for reading once from start to end."""

    def __init__(self, path: Path, file: Any, frames: int) -> None:
        self.path = path
        self._file = file
        rate = int(file.samplerate)
        self.info = AudioInfo(seconds=frames / rate, sample_rate=rate, channels=int(file.channels), frames=frames)

    def blocks(self, sample_rate: int) -> Iterator[Floats32]:
        """Yield the sound in mono, block by block.

        Channels are averaged first, then resampled by one soxr HQ pass whose output does not depend on the blocks.

        Parameters
        ----------
        sample_rate
            Sample rate of the blocks, in Hz.

        Yields
        ------
        block
            `[n]` in -1..1; each block overwrites the one before.

        Raises
        ------
        AudioError
            `truncated`: there is less sound than the header says, or the decoder stopped at a damaged spot;
            `not-finite`: a sample is NaN or infinite.
        """
        resampler = None
        if sample_rate != self.info.sample_rate:
            resampler = soxr.ResampleStream(self.info.sample_rate, sample_rate, 1, dtype="float32", quality="HQ")
        for block in self._mono():
            yield block if resampler is None else resampler.resample_chunk(block)
        if resampler is not None:
            yield resampler.resample_chunk(np.empty(0, np.float32), last=True)

    def _mono(self) -> Iterator[Floats32]:
        channels = self.info.channels
        native = self._file.subtype in INT16_SUBTYPES and self._file.format not in COMPRESSED
        raw = np.empty((BLOCK, channels), np.int16 if native else np.float32)
        floats = np.empty((BLOCK, channels), np.float32) if native else raw
        mono = np.empty(BLOCK, np.float32)
        weights = np.full(channels, 1 / (32768 * channels) if native else 1 / channels, np.float32)
        done, count = 0, BLOCK
        while count == BLOCK:
            try:
                count = len(self._file.read(out=raw))
            except soundfile.LibsndfileError as error:
                raise self._truncated(done, str(error)) from None
            done += count
            if channels == 1:
                block = np.multiply(raw[:count, 0], weights[0], out=mono[:count])
            else:
                if native:
                    np.copyto(floats[:count], raw[:count])
                block = np.matmul(floats[:count], weights, out=mono[:count])
            if not native and not math.isfinite(np.dot(block, block)):
                message = f"{self.path} holds samples that are NaN or infinite; export it again from its source"
                raise AudioError("not-finite", message)
            yield block
        if done < self.info.frames - (MP3_SLACK if self._file.format == "MP3" else 0):
            raise self._truncated(done, "the data ends")

    def _truncated(self, done: int, cause: str) -> AudioError:
        at, cause = done / self.info.sample_rate, cause.removeprefix("Error : ").rstrip(".") or "damaged data"
        message = f"{self.path} breaks off after {at:.1f} of {self.info.seconds:.1f} s ({cause})"
        return AudioError("truncated", f"{message}; fetch or export it again")


@contextmanager
def open_sound(path: Path) -> Iterator[Sound]:
    """Open an audio file.

    Raises
    ------
    AudioError
        `missing`, `empty`, `unreadable`, or `truncated` if the container shows that.
    """
    try:
        counted = mp3.with_length(path) if path.suffix.lower() == ".mp3" else None
    except OSError:
        raise _unreadable(path) from None
    with counted or nullcontext():
        try:
            file = _Stream(counted or path)
        except (soundfile.LibsndfileError, OSError):
            raise _unreadable(path) from None
        with file:
            yield _checked(path, file)


def _checked(path: Path, file: Any) -> Sound:
    _check_complete(path, file)
    frames = int(file.frames)
    if frames > MOST_FRAMES:  # a FLAC that was streamed while it was made
        frames = _count_frames(path)
    if frames <= 0:
        raise AudioError("empty", f"{path} holds no sound (0 samples); fetch or export it again")
    return Sound(path, file, frames)


def probe(path: Path | str) -> AudioInfo:
    """Return what the header says, without decoding; raises AudioError as `open_sound` does."""
    with open_sound(Path(path)) as sound:
        return sound.info


def _count_frames(path: Path) -> int:
    """Return the number of frames of a file whose header does not have it, by decoding it once."""
    with _Stream(path) as file:
        count = 0
        while block := len(file.read(BLOCK, dtype="float32")):
            count += block
    return count


def _unreadable(path: Path) -> AudioError:
    """Guess why libsndfile refused a file."""
    try:
        with path.open("rb") as file:
            head = file.read(64)
    except FileNotFoundError:
        return AudioError("missing", f"{path} does not exist")
    except OSError as reason:
        return AudioError("unreadable", f"{path} cannot be opened: {reason.strerror}")
    if not head:
        return AudioError("empty", f"{path} is empty (0 bytes); fetch or export it again")
    if head[4:8] == b"ftyp" or head[:4] in (b"\x1aE\xdf\xa3", b"0&\xb2u"):
        guess = "it is AAC/M4A, WebM or WMA; convert it to FLAC or WAV first"
    elif head[:4] in (b"RIFF", b"fLaC", b"OggS", b"FORM"):
        guess = "it begins like audio, but its header is damaged; fetch or export it again"
    elif min(head) >= 9 and "\N{REPLACEMENT CHARACTER}" not in head[:-4].decode("utf-8", "replace")[:-1]:
        guess = "it is a text, not audio; was a web page saved instead of the sound?"
    else:
        guess = "it is not WAV, FLAC, Ogg, MP3 or another known format, whatever its suffix is"
    return AudioError("unreadable", f"{path} cannot be decoded: {guess}")


def _check_complete(path: Path, file: Any) -> None:
    """Raise `truncated` if the container itself declares more bytes than there are."""
    for declared, present in WRONG_SIZE.findall(file.extra_info):
        if int(present) < int(declared) < UNKNOWN_BYTES:
            message = f"{path} breaks off: {present} of {declared} bytes of sound are there; fetch or export it again"
            raise AudioError("truncated", message)
    if file.format == "OGG":
        size = path.stat().st_size
        with path.open("rb") as raw:
            raw.seek(max(0, size - (1 << 17)))  # two of the longest pages
            end = raw.read()
        page = end[end.rfind(b"OggS") :]
        lengths = page[27 : 27 + page[26]] if len(page) > 26 else b""
        if len(page) < 27 or len(page) < 27 + page[26] + sum(lengths):
            raise AudioError("truncated", f"{path} breaks off within its last page; fetch or export it again")
