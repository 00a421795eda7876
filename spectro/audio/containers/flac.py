"""FLAC: the number of samples by its last frame, whatever the header says, and the kinds that libsndfile refuses."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from spectro.audio.containers.layout import Layout, changed, without_tags, wrong_length

DEPTHS = (8, 16, 24)
"""Bits per sample that libsndfile decodes."""
MOST_BLOCKS = 1024
"""Metadata blocks that are looked at."""
LONGEST_FRONT = 1 << 26
"""Bytes of metadata that are copied to correct a header; 16 MB of cover are common enough."""
TAIL = 1 << 17
"""Bytes at the end in which the last frame is looked for, unless the header says that frames are longer."""
LONGEST_TAIL = 1 << 22
SYNC = re.compile(rb"\xff[\xf8\xf9]")


@dataclass(frozen=True, kw_only=True)
class _Frame:
    """What the header of a frame says."""

    number: int
    """Of the frame, or of its first sample if the sizes of blocks vary."""
    samples: int
    varying: bool
    codes: tuple[int, int]
    """Codes of the sample rate and of the bits per sample."""
    channels: int


def look(path: Path, file: BinaryIO, size: int, begin: int) -> Layout:
    """Return how to read a FLAC whose marker stands at `begin`.

    Raises
    ------
    AudioError
        `changed-format`: the last frame has another sample rate or number of channels than the first.
    """
    at = begin + 4
    info = b""
    for _ in range(MOST_BLOCKS):
        file.seek(at)
        block = file.read(4)
        if len(block) < 4:
            return Layout()
        if block[0] & 0x7F == 0 and not info:
            info_at, info = at + 4, file.read(34)
        at += 4 + int.from_bytes(block[1:4], "big")
        if block[0] & 0x80:
            break
    if len(info) < 34:
        return Layout()
    packed = int.from_bytes(info[10:18], "big")
    depth, declared = (packed >> 36 & 31) + 1, packed & (1 << 36) - 1
    needs = "" if depth in DEPTHS else f"FLAC of {depth} bits a sample"
    end = without_tags(file, size)  # a tag behind the last frame is damage to libFLAC
    stop = None if end == size else end
    frames = _count(path, file, end, at, info)
    if frames is None or needs or not (declared == 0 or frames > declared) or at > LONGEST_FRONT:
        return Layout(end=stop, needs=needs)
    file.seek(begin)
    front = bytearray(file.read(at - begin))
    front[info_at - begin + 10 : info_at - begin + 18] = (packed - declared + frames).to_bytes(8, "big")
    rate = max(packed >> 44, 1)
    lies = wrong_length(path, f"{declared / rate:.1f} s", f"{frames / rate:.1f} s")
    return Layout(front=bytes(front), begin=at, end=stop, needs=needs, warnings=(lies,) if declared else ())


def _count(path: Path, file: BinaryIO, size: int, begin: int, info: bytes) -> int | None:
    """Return the number of the last sample, or None if the last frame is not found."""
    file.seek(begin)
    first = _frame(file.read(32), 0)
    longest = int.from_bytes(info[7:10], "big")
    reach = min(max(TAIL, 2 * longest), LONGEST_TAIL)
    file.seek(max(begin, size - reach))
    tail = file.read(max(0, size - file.tell()))
    if first is None:
        return None
    last = None
    for match in reversed(list(SYNC.finditer(tail))):
        frame = _frame(tail, match.start())
        if frame is None:
            continue
        if (frame.codes, frame.channels, frame.varying) == (first.codes, first.channels, first.varying):
            last = frame
            break
        if _whole(tail[match.start() :]):
            raise changed(path, "number of channels" if frame.channels != first.channels else "sample rate")
    if last is None:
        return None
    block = int.from_bytes(info[2:4], "big")
    return (last.number if last.varying else last.number * block) + last.samples


def _frame(data: bytes, at: int) -> _Frame | None:
    """Return what the header at `at` says, or None if there is none: its checksum must be right."""
    head = data[at : at + 16]
    if len(head) < 6 or head[0] != 0xFF or head[1] & 0xFE != 0xF8 or head[3] & 1:
        return None
    size_code, rate_code = head[2] >> 4, head[2] & 15
    channel_code, depth_code = head[3] >> 4, head[3] >> 1 & 7
    if size_code == 0 or rate_code == 15 or channel_code > 10 or depth_code == 3:
        return None
    more = 0 if head[4] < 0x80 else 7 - (head[4] ^ 0xFF).bit_length()  # bytes that follow, as in UTF-8
    if head[4] >= 0x80 and not 1 <= more <= 6:
        return None
    number = head[4] if more == 0 else head[4] & (0x3F >> more)
    for byte in head[5 : 5 + more]:
        if byte & 0xC0 != 0x80:
            return None
        number = number << 6 | byte & 0x3F
    place = 5 + more
    samples = {1: 192, **{n: 576 << n - 2 for n in range(2, 6)}, **{n: 256 << n - 8 for n in range(8, 16)}}
    if size_code in (6, 7):
        width = size_code - 5
        count = int.from_bytes(head[place : place + width], "big") + 1
        place += width
    else:
        count = samples[size_code]
    place += {12: 1, 13: 2, 14: 2}.get(rate_code, 0)
    if place >= len(head) or _crc8(head[:place]) != head[place]:
        return None
    return _Frame(
        number=number,
        samples=count,
        varying=bool(head[1] & 1),
        codes=(rate_code, depth_code),
        channels=2 if channel_code > 7 else channel_code + 1,
    )


def _crc8(data: bytes) -> int:
    value = 0
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = (value << 1 ^ 0x07 if value & 0x80 else value << 1) & 0xFF
    return value


def _whole(data: bytes) -> bool:
    """Return whether the bytes are one frame whose checksum is right: only then is its header believed."""
    value = 0
    for byte in data:
        value = (value << 8 & 0xFFFF) ^ _CRC16[value >> 8 ^ byte]
    return value == 0


def _crc16_table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        value = byte << 8
        for _ in range(8):
            value = (value << 1 ^ 0x8005 if value & 0x8000 else value << 1) & 0xFFFF
        table.append(value)
    return tuple(table)


_CRC16 = _crc16_table()
