"""MP3 streams without their length: their frames are counted, and a header with the count is put in front."""

from __future__ import annotations

import io
from pathlib import Path
from typing import BinaryIO

RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
"""Sample rates in Hz, by version of MPEG."""
KBITS = {
    True: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),  # MPEG-1
    False: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
"""Bit rates in kbit/s, by whether the stream is MPEG-1."""
MONO = 3
CHUNK = 1 << 20
"""Bytes that are searched together."""
LONGEST = 2048
"""Bytes, more than any frame has."""
STREAK = 3
"""Frames that must follow each other before a sync word is believed."""


def with_length(path: Path) -> Counted | None:
    """Return the stream with a frame count in front, or None if it has one or is no MP3 at all.

    Without a count libsndfile guesses the length from the first frames and stops there: if the bit rate varies,
    that may be the middle of a clip, or seconds beyond its end.
    """
    with path.open("rb") as file:
        begin = _tag_bytes(file.read(10))
        file.seek(begin)
        head = file.read(CHUNK)
        sync = _sync(head, 0)
        if sync is None:
            return None
        first = head[sync : sync + _frame_bytes(head, sync)]
        if any(mark in first for mark in (b"Xing", b"Info", b"VBRI")):
            return None
        count = _count(file, begin + sync)
    return Counted(path.open("rb"), begin + sync, _count_frame(first, count))


class Counted(io.RawIOBase):
    """A file read from `begin` on, with a few bytes in front."""

    def __init__(self, file: BinaryIO, begin: int, front: bytes) -> None:
        self._file, self._begin, self._front = file, begin, front
        self._at = 0

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # the buffer is cffi's or a bytearray
        """Fill the buffer from the front bytes first, then from the file; return the number of bytes."""
        data = self._front[self._at : self._at + len(buffer)]
        if not data:
            self._file.seek(self._begin + self._at - len(self._front))
            data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move as any file does."""
        end = len(self._front) + self._file.seek(0, io.SEEK_END) - self._begin
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: end}[whence]
        return self._at

    def tell(self) -> int:
        """Return the position."""
        return self._at

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()


def _tag_bytes(head: bytes) -> int:
    """Return the length of the ID3v2 tag that begins with these ten bytes, 0 if they begin none."""
    if head[:3] != b"ID3" or len(head) < 10:
        return 0
    size = 0
    for byte in head[6:10]:
        size = size << 7 | byte & 0x7F
    return 10 + size


def _count(file: BinaryIO, begin: int) -> int:
    """Return the number of frames from `begin` on, skipping garbage in between and tags at the end."""
    count, at, last = 0, begin, False
    while not last:
        file.seek(at)
        data = file.read(CHUNK)
        last = len(data) < CHUNK
        end = len(data) if last else CHUNK - STREAK * LONGEST  # so that what follows a frame can be seen
        here = 0
        while here < end:
            step = _frame_bytes(data, here)
            count += step > 0
            sync = here + step if step else _sync(data, here)
            here = end if sync is None or (not step and sync > end) else sync
        at += here
    return count


def _sync(data: bytes, at: int) -> int | None:
    """Return where the next frame begins that others follow, or None."""
    while (at := data.find(b"\xff", at)) >= 0:
        follower = at
        for _ in range(STREAK):
            step = _frame_bytes(data, follower)
            follower += step
            if not step or follower >= len(data):
                break
        if step:
            return at
        at += 1
    return None


def _frame_bytes(data: bytes, at: int) -> int:
    """Return the length of the layer III frame whose header is at `at`, or 0 if there is none."""
    head = data[at : at + 4]
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE6 != 0xE2:
        return 0
    version, bit_rate, rate = head[1] >> 3 & 3, head[2] >> 4, head[2] >> 2 & 3
    if version == 1 or bit_rate in (0, 15) or rate == 3:
        return 0
    per_kbit = 144_000 if version == 3 else 72_000
    return per_kbit * KBITS[version == 3][bit_rate] // RATES[version][rate] + (head[2] >> 1 & 1)


def _count_frame(first: bytes, count: int) -> bytes:
    """Return a silent frame that carries a Xing header with the number of frames."""
    mpeg1, mono = first[1] >> 3 & 3 == 3, first[3] >> 6 == MONO
    head = bytes([0xFF, first[1] | 1, 9 << 4 | first[2] & 0x0C, first[3]])  # no checksum, a bit rate with enough room
    side = (17 if mono else 32) if mpeg1 else (9 if mono else 17)
    body = head + bytes(side) + b"Xing" + (1).to_bytes(4) + count.to_bytes(4)
    rate = RATES[first[1] >> 3 & 3][first[2] >> 2 & 3]
    length = (144_000 if mpeg1 else 72_000) * KBITS[mpeg1][9] // rate
    return body.ljust(length, b"\0")
