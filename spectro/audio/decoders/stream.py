"""What a decoder gives: the sound of one file, read once from start to end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from spectro.audio.info import AudioWarning
from spectro.core.errors import AudioError

LEAST_RATE, MOST_RATE = 1_000, 768_000
"""Sample rates that are believed, in Hz."""
MOST_CHANNELS = 64
LONG = 3600.0
"""Seconds up to which any number of bytes is believed."""
LEAST_BYTES = 250.0
"""Bytes per second that a longer sound must have: speech codecs need 270, encoded silence 70 to 230."""


class Refused(Exception):
    """A decoder does not know what the file is, or how it is encoded; perhaps another one does."""


class Stream(Protocol):
    """One file's sound, open for reading once.

    Whoever opens one checks `sample_rate` and `channels` by `check_bounds` before memory is taken for blocks.
    """

    decoder: str
    """Name and version of the decoder."""
    codec: str
    """How the samples are encoded."""
    sample_rate: int
    """In Hz."""
    channels: int
    frames: int
    """Number of samples per channel."""
    slack: int
    """Frames by which an intact file may be shorter."""
    native: bool
    """Whether `read` wants int16 (which then holds the samples without loss) rather than float32 in -1..1."""
    warnings: tuple[AudioWarning, ...]

    def read(self, out: NDArray[Any]) -> int:
        """Fill `out`, `[n, channels]`; return the number of frames, less than `n` only at the end.

        Raises AudioError (`truncated`) where the decoder stops at a damaged spot.
        """


@contextmanager
def decoder_errors(path: Path, reason: str = "unreadable") -> Iterator[None]:
    """Turn whatever a decoder raises into an AudioError with the file's name; every call into one stands in it.

    libsndfile's and FFmpeg's own errors have no base in common, and damaged files also lead their bindings into
    ValueError (sizes), UnicodeDecodeError (tags), OSError (reading) or MemoryError (claims).
    """
    try:
        yield
    except (AudioError, Refused):
        raise
    except Exception as error:
        raise AudioError(reason, f"{path} cannot be decoded: {cause_of(error)}; fetch or export it again") from None


def cause_of(error: Exception) -> str:
    """Return what a decoder complains of, in one short line."""
    text = getattr(error, "error_string", "") or getattr(error, "strerror", "") or str(error) or type(error).__name__
    text = " ".join(str(text).split()).removeprefix("Error : ").rstrip(".")
    return text[:120] or "damaged data"


def check_bounds(path: Path, sample_rate: int, channels: int) -> None:
    """Raise AudioError (`implausible`) for a sample rate or a number of channels that no recording has."""
    if not LEAST_RATE <= sample_rate <= MOST_RATE:
        message = f"{path} claims a sample rate of {sample_rate} Hz, outside {LEAST_RATE} to {MOST_RATE}"
        raise AudioError("implausible", f"{message}; its header is damaged, or it is no sound")
    if not 1 <= channels <= MOST_CHANNELS:
        message = f"{path} claims {channels} channels, outside 1 to {MOST_CHANNELS}"
        raise AudioError("implausible", f"{message}; its header is damaged, or it is no recording")


def most_seconds(size: int) -> float:
    """Return how long a file of `size` bytes may last and be believed."""
    return max(LONG, size / LEAST_BYTES)


def too_long(path: Path, seconds: float, size: int) -> AudioError:
    """Return the error of a file that lasts longer than its size can hold as sound."""
    message = f"{path} claims at least {seconds / 3600:.1f} hours in {size} bytes: that is silence, or a damaged header"
    return AudioError("implausible", f"{message}; cut it, or export it again")


def broken_off(path: Path, done: int, rate: int, frames: int, cause: str) -> AudioError:
    """Return the error of a file whose sound ends before it should.

    Parameters
    ----------
    path
        What the message names.
    done, frames
        How many samples per channel were decoded, and how many there should be.
    rate
        Sample rate, in Hz.
    cause
        Why it ended.
    """
    message = f"{path} breaks off after {done / rate:.1f} of {frames / rate:.1f} s ({cause})"
    return AudioError("truncated", f"{message}; fetch or export it again")
