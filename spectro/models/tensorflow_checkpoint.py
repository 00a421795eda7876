"""Reads checkpoints of TensorFlow without it: an index of tensors (a LevelDB table) and one file of their bytes."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from spectro.core.arrays import Floats32
from spectro.core.errors import WeightsError, first_line

MAGIC = bytes.fromhex("57fb808b247547db")
"""Last eight bytes of every table."""
DATA = ".data-00000-of-00001"
"""End of the name of the one file of a checkpoint that is not divided."""
FOOTER = 48
POLYNOMIAL, MASK = 0x82F63B78, 0xA282EAD8
"""Of the checksum CRC-32C (Castagnoli), and what LevelDB adds after rotating it."""
FLOAT = 1
"""`DT_FLOAT`, the one type that weights have here."""
LARGEST = 1 << 30
"""Most bytes of an index or of all tensors that are read."""
LENGTHS = {1: 8, 5: 4}
"""Bytes of a field of fixed length, by its wire type."""


def read_checkpoint(data: Path) -> dict[str, Floats32]:
    """Return the float tensors of a checkpoint by name; the state of an optimizer and counters are left out.

    The format is that of TensorFlow's `tensor_bundle`: `<name>.index` is a sorted table from names to entries (type,
    shape, offset, size), and `<name>.data-00000-of-00001` holds the bytes.

    Parameters
    ----------
    data
        The file of the bytes; the index is beside it.

    Raises
    ------
    WeightsError
        a file is missing or damaged, or is no such file.
    """
    index = data.with_name(data.name.removesuffix(DATA) + ".index")
    for path in (index, data):
        if not path.is_file() or path.stat().st_size > LARGEST:
            raise WeightsError(f"{path} is missing or too large for a checkpoint; install its package again")
    try:
        return dict(_tensors(index.read_bytes(), data.read_bytes()))
    except (ValueError, IndexError, struct.error) as error:  # bytes that are no such table can fail in any of these
        reason = first_line(error)
        raise WeightsError(f"{index} is no index of {data.name} ({reason}); install its package again") from None


def _tensors(index: bytes, data: bytes) -> Iterator[tuple[str, Floats32]]:
    """Yield each float tensor that is no optimizer's, with its name."""
    if index[-len(MAGIC) :] != MAGIC:
        raise ValueError("it is no table")
    footer = index[-FOOTER:]
    _, start = _handle(footer, 0)  # of the meta-index, which is empty
    (offset, size), _ = _handle(footer, start)
    for _, value in _entries(_block(index, offset, size)):
        (offset, size), _ = _handle(value, 0)
        for key, entry in _entries(_block(index, offset, size)):
            name = key.decode("utf-8")
            if not name or "Adam" in name:  # without a name: the header of the table
                continue
            if (tensor := _tensor(_fields(entry), data)) is not None:
                yield name, tensor


def _tensor(entry: Mapping[int, list[int | bytes]], data: bytes) -> Floats32 | None:
    """Return the tensor that an entry (`BundleEntryProto`) points to; None for another type than float."""
    kind, shard, offset, size = (_number(entry, field) for field in (1, 3, 4, 5))
    if kind != FLOAT:
        return None
    shape = [_number(_fields(_bytes(one)), 1) for part in entry.get(2, []) for one in _fields(_bytes(part)).get(2, [])]
    if shard or 7 in entry or size != 4 * math.prod(shape) or offset + size > len(data):
        raise ValueError(f"a tensor of shape {shape} is not in it")
    return np.frombuffer(data, "<f4", math.prod(shape), offset).reshape(shape).astype(np.float32)


def _block(table: bytes, offset: int, size: int) -> bytes:
    """Return a block of the table; behind it stand how it is compressed (0 = not), and a checksum of both."""
    end = offset + size + 1
    if end + 4 > len(table) or table[end - 1] != 0:
        raise ValueError("a block is compressed or lies beyond the end")
    checksum = _crc32c(table[offset:end])
    if struct.unpack_from("<I", table, end)[0] != ((checksum >> 15 | checksum << 17) + MASK) & 0xFFFFFFFF:
        raise ValueError("the checksum of a block differs")
    return table[offset : end - 1]


def _crc32c(data: bytes) -> int:
    """Return the CRC-32C of a few kilobytes."""
    checksum = 0xFFFFFFFF
    for byte in data:
        checksum ^= byte
        for _ in range(8):
            checksum = checksum >> 1 ^ (POLYNOMIAL if checksum & 1 else 0)
    return checksum ^ 0xFFFFFFFF


def _entries(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield keys and values of a block; each key repeats the beginning of the one before."""
    (restarts,) = struct.unpack("<I", block[-4:])
    end, position, key = len(block) - 4 * (restarts + 1), 0, b""
    if end < 0:
        raise ValueError("a block is shorter than its list of restarts")
    while position < end:
        shared, position = _varint(block, position)
        unshared, position = _varint(block, position)
        length, position = _varint(block, position)
        if shared > len(key) or position + unshared + length > end:
            raise ValueError("an entry lies beyond the end of its block")
        key = key[:shared] + block[position : position + unshared]
        position += unshared
        yield key, block[position : position + length]
        position += length


def _handle(block: bytes, position: int) -> tuple[tuple[int, int], int]:
    """Return offset and size of a block, and where the handle that names them ends."""
    offset, position = _varint(block, position)
    size, position = _varint(block, position)
    return (offset, size), position


def _fields(message: bytes) -> dict[int, list[int | bytes]]:
    """Return the values of a protocol buffer message by the number of the field."""
    fields: dict[int, list[int | bytes]] = {}
    position = 0
    while position < len(message):
        key, position = _varint(message, position)
        value: int | bytes
        if key & 7 == 0:
            value, position = _varint(message, position)
        else:
            length = LENGTHS.get(key & 7)
            if length is None:
                length, position = _varint(message, position)
            if position + length > len(message):
                raise ValueError("a field lies beyond the end of its message")
            value, position = message[position : position + length], position + length
        fields.setdefault(key >> 3, []).append(value)
    return fields


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """Return a number of seven bits a byte, the lowest first, and where it ends."""
    number = 0
    for shift in range(0, 64, 7):
        byte = data[position]
        position += 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number, position
    raise ValueError("a number has more than 64 bits")


def _number(message: Mapping[int, list[int | bytes]], field: int) -> int:
    """Return a field that is a number; 0 where it is left out."""
    value = message.get(field, [0])[-1]
    if not isinstance(value, int):
        raise ValueError(f"field {field} is no number")
    return value


def _bytes(value: int | bytes) -> bytes:
    if not isinstance(value, bytes):
        raise ValueError("a field is a number, but should be a message")
    return value
