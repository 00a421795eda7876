"""Part of a file, with a corrected header in front of it, as one file open for reading."""

from __future__ import annotations

import io
from typing import BinaryIO


class Spliced(io.RawIOBase):
    """A few bytes, then a file's bytes from `begin` to `end`.

    Parameters
    ----------
    file
        The file; it is closed with this one.
    front
        Bytes that come first.
    begin
        Where the file's own bytes begin.
    end
        Where they end; None for the end of the file.
    """

    def __init__(self, file: BinaryIO, front: bytes, begin: int, end: int | None = None) -> None:
        self._file, self._front, self._begin = file, front, begin
        size = file.seek(0, io.SEEK_END)
        self._length = len(front) + max(0, (size if end is None else min(end, size)) - begin)
        self._at = 0

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # the buffer is cffi's or a bytearray
        """Fill the buffer, from the front bytes first; return the number of bytes, 0 at the end or if reading fails."""
        data = self._front[self._at : self._at + len(buffer)]
        if not data and self._at < self._length:
            try:
                self._file.seek(self._begin + self._at - len(self._front))
                data = self._file.read(min(len(buffer), self._length - self._at))
            except OSError:  # libsndfile cannot be given one; it sees the file end, which its length contradicts
                data = b""
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move as any file does, but never before its begin."""
        self._at = max(0, offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._length}[whence])
        return self._at

    def tell(self) -> int:
        """Return the position."""
        return self._at

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()
