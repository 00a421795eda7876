"""A FLAC writer that stores samples as they are, so that every field of a header can be set, right or wrong."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

RATE_CODES = {8000: 4, 16000: 5, 22050: 6, 24000: 7, 32000: 8, 44100: 9, 48000: 10, 96000: 11}
DEPTH_CODES = {8: 1, 12: 2, 16: 4, 20: 5, 24: 6}


_TABLES: dict[tuple[int, int], list[int]] = {}


def stream_info(rate: int, channels: int, bits: int, total: int, block: int = 4096) -> bytes:
    """Return the marker and STREAMINFO as the only block of metadata."""
    packed = rate << 44 | (channels - 1) << 41 | (bits - 1) << 36 | total
    info = block.to_bytes(2, "big") * 2 + bytes(6) + packed.to_bytes(8, "big") + bytes(16)
    return b"fLaC" + bytes([0x80]) + len(info).to_bytes(3, "big") + info


def frames(samples: NDArray[np.float32], rate: int, bits: int, first: int = 0, block: int = 4096) -> bytes:
    """Return the frames of samples `[n, channels]`, numbered from `first`."""
    whole = np.round(samples * (2 ** (bits - 1) - 1)).astype(np.int64)
    return b"".join(
        frame(whole[begin : begin + block], rate, bits, first + number)
        for number, begin in enumerate(range(0, len(whole), block))
    )


def frame(block: NDArray[np.int64], rate: int, bits: int, number: int, *, constant: bool = False) -> bytes:
    """Return one frame; `constant` stores one sample per channel instead of all."""
    count, channels = block.shape
    head = bytes([0xFF, 0xF8, 7 << 4 | RATE_CODES.get(rate, 0), (channels - 1) << 4 | DEPTH_CODES.get(bits, 0) << 1])
    head += _utf8(number) + (count - 1).to_bytes(2, "big")
    head += bytes([crc(head, 8, 0x07)])
    stored = block[:1] if constant else block
    mark = [0] * 8 if constant else [0, 0, 0, 0, 0, 0, 1, 0]
    shifts = np.arange(bits - 1, -1, -1)
    parts = []
    for channel in range(channels):
        digits = (stored[:, channel, None] >> shifts & 1).astype(np.uint8)
        parts += [np.array(mark, np.uint8), digits.reshape(-1)]
    body: bytes = head + np.packbits(np.concatenate(parts)).tobytes()
    return body + crc(body, 16, 0x8005).to_bytes(2, "big")


def _utf8(number: int) -> bytes:
    if number < 0x80:
        return bytes([number])
    more = next(more for more in range(1, 7) if number < 1 << 6 * more + 6 - more)
    lead = (0xFF << 7 - more & 0xFF) | number >> 6 * more
    return bytes([lead, *(0x80 | number >> 6 * place & 0x3F for place in range(more - 1, -1, -1))])


def crc(data: bytes, width: int, polynomial: int) -> int:
    """Return the checksum of the width and polynomial given, from 0, highest bit first."""
    mask, top = (1 << width) - 1, 1 << width - 1
    if (width, polynomial) not in _TABLES:
        table = []
        for byte in range(256):
            value = byte << width - 8
            for _ in range(8):
                value = (value << 1 ^ polynomial if value & top else value << 1) & mask
            table.append(value)
        _TABLES[width, polynomial] = table
    table, value = _TABLES[width, polynomial], 0
    for byte in data:
        value = (value << 8 & mask) ^ table[value >> width - 8 ^ byte]
    return value
