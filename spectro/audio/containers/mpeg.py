"""MPEG audio: every frame is counted, so that neither a missing nor a wrong count in the first one matters."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from spectro.audio.containers.formats import tag_bytes
from spectro.audio.containers.layout import Layout, changed, truncated, wrong_length
from spectro.audio.info import AudioWarning

RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
"""Sample rates in Hz, by version of MPEG."""
KBITS = {
    (True, 1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
"""Bit rates in kbit/s, by whether the stream is MPEG-1, and layer."""
MONO = 3
CHUNK = 1 << 20
"""Bytes that are searched together."""
LONGEST = 3000
"""Bytes, more than any frame has."""
STREAK = 3
"""Frames that must follow each other before a sync word is believed."""
UNCOUNTED = 3
"""Frames by which a count may miss without a word: writers disagree on the frame that holds it."""


def look(path: Path, file: BinaryIO, size: int, end: int | None = None, begin: int = 0) -> Layout | None:
    """Return how to read a stream, with a correct frame count in front if it has none; None if it is no MPEG audio.

    Without a count libsndfile guesses the length from the first frames and stops there: if the bit rate varies, that
    may be the middle of a clip, or seconds beyond its end.

    Parameters
    ----------
    path
        What messages name.
    file
        The file.
    size
        Its size, in bytes.
    end, begin
        Where the stream ends and begins, if it is only a part of the file.

    Raises
    ------
    AudioError
        `changed-format`: the sample rate or the number of channels changes midway.
    """
    whole = begin == 0 and end is None
    file.seek(begin)
    begin += tag_bytes(file.read(10))
    file.seek(begin)
    head = file.read(CHUNK)
    sync = _sync(head, 0)
    while sync and not _streak(head, sync):  # where it is not the very beginning, one frame proves nothing
        sync = _sync(head, sync + 1)
    if sync is None:
        return None
    begin += sync
    first = head[sync : sync + _frame_bytes(head, sync)]
    layer, per_frame = _layer(first), _samples(first)
    mark, declared = _declared(first)
    count = _count(path, file, begin, min(size, end or size), first) - bool(mark)
    if layer != 3:
        varies = abs(count * len(first) - (min(size, end or size) - begin)) > UNCOUNTED * len(first)
        needs = f"MP{layer} of varying bit rate" if varies else ""  # libmpg123 guesses its length from the first frame
        return Layout(begin=0 if whole else begin, end=end, needs=needs)
    warnings: tuple[AudioWarning, ...] = ()
    rate = RATES[first[1] >> 3 & 3][first[2] >> 2 & 3]
    if mark == b"VBRI" and count < declared - UNCOUNTED:
        raise truncated(path, size, int.from_bytes(first[first.find(mark) + 10 :][:4], "big"))
    if declared and count > declared + UNCOUNTED:
        lengths = [f"{frames * per_frame / rate:.1f} s" for frames in (declared, count)]
        warnings = (wrong_length(path, *lengths),)
    elif declared and mark != b"VBRI":
        return Layout() if whole else Layout(begin=begin, end=end)
    begin += len(first) if mark else 0
    known = declared and mark != b"VBRI"  # which libmpg123 does not read
    front = _corrected(first, mark, count, size - begin) if known else _count_frame(first, count)
    return Layout(front=front, begin=begin, end=end, warnings=warnings)


def _declared(first: bytes) -> tuple[bytes, int]:
    """Return the mark of a first frame that holds no sound but a count (empty if it holds none), and the count."""
    for mark in (b"Xing", b"Info"):
        if (at := first.find(mark)) >= 0:
            flags = int.from_bytes(first[at + 4 : at + 8], "big")
            return mark, int.from_bytes(first[at + 8 : at + 12], "big") if flags & 1 else 0
    if (at := first.find(b"VBRI")) >= 0:
        return b"VBRI", int.from_bytes(first[at + 14 : at + 18], "big")
    return b"", 0


def _corrected(first: bytes, mark: bytes, count: int, size: int) -> bytes:
    """Return the first frame with the right count, so that what else it says, such as the padding, still holds."""
    at = first.find(mark)
    frame = bytearray(first)
    frame[at + 8 : at + 12] = count.to_bytes(4, "big")
    if frame[at + 7] & 2:
        frame[at + 12 : at + 16] = min(size, 0xFFFFFFFF).to_bytes(4, "big")
    return bytes(frame)


def _count(path: Path, file: BinaryIO, begin: int, stop: int, first: bytes) -> int:
    """Return the number of frames from `begin` on, skipping garbage in between and tags at the end."""
    steps = [
        [_frame_bytes(bytes((0xFF, first[1], rate << 4 | first[2] & 0x0C | padded << 1, 0)), 0) for padded in (0, 1)]
        for rate in range(16)
    ]
    kind, version, mono = first[1] | 1, first[2] & 0x0C, first[3] >> 6 == MONO
    count, at, last = 0, begin, False
    while not last:
        file.seek(at)
        data = file.read(min(CHUNK, stop - at))
        last = at + len(data) >= stop or len(data) < CHUNK
        end = len(data) - 3 if last else CHUNK - STREAK * LONGEST  # so that what follows a frame can be seen
        here = 0
        while here < end:
            if data[here] == 0xFF and data[here + 1] | 1 == kind:
                third = data[here + 2]
                step = steps[third >> 4][third >> 1 & 1]
                if step and third & 0x0C == version and (data[here + 3] >> 6 == MONO) == mono:
                    count += 1
                    here += step
                    continue
            sync = _sync(data, here)
            if sync is None or sync >= end:
                here = max(here, end)
                continue
            here = sync
            same_rate = data[here + 1] | 1 == kind and data[here + 2] & 0x0C == version
            if same_rate and (data[here + 3] >> 6 == MONO) == mono:
                continue
            if _streak(data, here):
                raise changed(path, "number of channels" if same_rate else "sample rate")
            here += 1
        at += max(here, 1)
        last = last or at >= stop
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


def _streak(data: bytes, at: int) -> bool:
    """Return whether several whole frames of one kind follow each other: less may be part of a cover or a tag."""
    kind = data[at + 1] | 1, data[at + 2] & 0x0C
    for _ in range(STREAK + 1):
        step = _frame_bytes(data, at)
        if not step or (data[at + 1] | 1, data[at + 2] & 0x0C) != kind:
            return False
        at += step
    return True


def _layer(head: bytes) -> int:
    return 4 - (head[1] >> 1 & 3)


def _samples(head: bytes) -> int:
    """Return the number of samples of the frame that begins so."""
    return {1: 384, 2: 1152, 3: 1152 if head[1] >> 3 & 3 == 3 else 576}[_layer(head)]


def _frame_bytes(data: bytes, at: int) -> int:
    """Return the length of the frame whose header is at `at`, or 0 if there is none."""
    head = data[at : at + 4]
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return 0
    version, layer, bit_rate, rate = head[1] >> 3 & 3, _layer(head), head[2] >> 4, head[2] >> 2 & 3
    if version == 1 or layer == 4 or bit_rate in (0, 15) or rate == 3:
        return 0
    kbits, hertz, padded = KBITS[version == 3, layer][bit_rate], RATES[version][rate], head[2] >> 1 & 1
    if layer == 1:
        return (12_000 * kbits // hertz + padded) * 4
    return (72_000 if layer == 3 and version != 3 else 144_000) * kbits // hertz + padded


def _count_frame(first: bytes, count: int) -> bytes:
    """Return a silent frame that carries a Xing header with the number of frames."""
    mpeg1, mono = first[1] >> 3 & 3 == 3, first[3] >> 6 == MONO
    head = bytes([0xFF, first[1] | 1, 9 << 4 | first[2] & 0x0C, first[3]])  # no checksum, a bit rate with enough room
    side = (17 if mono else 32) if mpeg1 else (9 if mono else 17)
    body = head + bytes(side) + b"Xing" + (1).to_bytes(4, "big") + count.to_bytes(4, "big")
    rate = RATES[first[1] >> 3 & 3][first[2] >> 2 & 3]
    length = (144_000 if mpeg1 else 72_000) * KBITS[mpeg1, 3][9] // rate
    return body.ljust(length, b"\0")
