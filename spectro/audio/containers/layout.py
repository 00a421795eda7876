"""What looking into a container found: where its sound is, and the header that it should have had."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from spectro.audio.info import AudioWarning
from spectro.core.errors import AudioError

LEAST_REST = 4096
"""Bytes behind the sound that are worth a word: fewer are padding, or a tag nobody knows."""
UNKNOWN_SIZE = 0x7FFF0000
"""Sizes from here up mean "a stream of unknown length" in a header with 32-bit sizes."""
NOT_SOUND = (b"TAG", b"APETAGEX", b"ID3", b"LYRICS", b"3DI")
"""What tags at the end of a file begin with."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How a file should be read."""

    front: bytes = b""
    """Header to read instead of the file's first `begin` bytes."""
    begin: int = 0
    """Where the file's own bytes are read from."""
    end: int | None = None
    """Where they end; None for the end of the file."""
    needs: str = ""
    """What the file holds, if that is known to be more than libsndfile can decode."""
    several: bool = False
    """Whether it holds several streams, of which libsndfile reads only the first."""
    warnings: tuple[AudioWarning, ...] = ()
    """What is wrong with the header."""

    @property
    def spliced(self) -> bool:
        """Whether the file is to be read with another header, or in part."""
        return bool(self.front or self.begin or self.end is not None)


def without_tags(file: BinaryIO, size: int) -> int:
    """Return where the sound of a file of `size` bytes ends, before an ID3v1 or an APE tag at its end."""
    end = size
    file.seek(max(0, end - 128))
    if end >= 128 and file.read(3) == b"TAG":
        end -= 128
    file.seek(max(0, end - 32))
    footer = file.read(32)
    if footer.startswith(b"APETAGEX"):
        header = 32 if footer[23] & 0x80 else 0
        end = max(0, end - int.from_bytes(footer[12:16], "little") - header)
    return end


def truncated(path: Path, present: int, declared: int) -> AudioError:
    """Return the error of a file that has fewer bytes of sound than its header promises."""
    message = f"{path} breaks off: {present} of {declared} bytes of sound are there; fetch or export it again"
    return AudioError("truncated", message)


def unfinished(path: Path) -> AudioWarning:
    """Return the warning of a file whose header was never completed."""
    message = f"{path} has an unfinished header, as if recording was interrupted; its sound was read to the file's end"
    return AudioWarning(reason="unfinished-header", message=message)


def wrong_length(path: Path, declared: str, present: str) -> AudioWarning:
    """Return the warning of a file that has more sound than its header says."""
    message = f"{path} has a header that promises {declared}, but {present} are there; all of them were read"
    return AudioWarning(reason="wrong-length", message=message)


def joined(path: Path) -> AudioWarning:
    """Return the warning of a file behind whose sound another one begins, which is not read."""
    message = f"{path} is several files joined end to end; only the first was read: split it, or export it again"
    return AudioWarning(reason="joined-streams", message=message)


def changed(path: Path, what: str) -> AudioError:
    """Return the error of a file whose `what`, such as sample rate, is not the same from start to end."""
    return AudioError("changed-format", f"{path} changes its {what} midway; convert it to FLAC or WAV, or split it")
