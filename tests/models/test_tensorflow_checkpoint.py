"""TensorFlow's checkpoints are read as they were written, and what is damaged is refused in one line."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from spectro.core.arrays import Floats32
from spectro.core.errors import WeightsError
from spectro.models import tensorflow_checkpoint
from spectro.models.tensorflow_checkpoint import DATA, MAGIC, read_checkpoint

TENSORS: Mapping[str, Floats32] = {
    "conv/bias": np.arange(3, dtype=np.float32),
    "conv/kernel": np.linspace(-1, 1, 24, dtype=np.float32).reshape(2, 3, 4),
    "conv/kernel/Adam": np.ones((2, 3, 4), np.float32),
    "scale": np.float32(0.5).reshape(()),
}


def varint(number: int) -> bytes:
    low = bytes([number & 127 | (128 if number > 127 else 0)])
    return low if number < 128 else low + varint(number >> 7)


def block_of(entries: Mapping[bytes, bytes]) -> bytes:
    """Entries with their keys shortened by what they share with the one before, and one restart."""
    block, before = b"", b""
    for key, value in entries.items():
        shared = next(
            (n for n, (a, b) in enumerate(zip(before, key, strict=False)) if a != b), min(len(before), len(key))
        )
        block += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        before = key
    return block + struct.pack("<II", 0, 1)


def with_trailer(block: bytes) -> bytes:
    checksum = tensorflow_checkpoint._crc32c(block + b"\0")
    return block + b"\0" + struct.pack("<I", ((checksum >> 15 | checksum << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def write_checkpoint(folder: Path, tensors: Mapping[str, Floats32]) -> Path:
    """Write tensors as TensorFlow does, with a header and a counter among the entries."""
    entries, data = {b"": bytes([8, 1])}, b""
    for name, value in sorted(tensors.items()):
        shape = b"".join(b"\x12" + varint(len(size)) + size for size in (b"\x08" + varint(n) for n in value.shape))
        place = b"\x20" + varint(len(data)) + b"\x28" + varint(value.nbytes)
        entries[name.encode()] = b"\x08\x01\x12" + varint(len(shape)) + shape + place + b"\x35abcd"
        data += value.tobytes()
    entries[b"step"] = b"\x08\x09\x20" + varint(len(data)) + b"\x28\x08"  # an int64
    table = with_trailer(block_of(entries))
    handles = [varint(0) + varint(len(table) - 5)]
    for block in (block_of({}), block_of({b"t": handles[0]})):
        handles.append(varint(len(table)) + varint(len(block)))
        table += with_trailer(block)
    path = folder / f"model{DATA}"
    path.write_bytes(data + bytes(8))
    (folder / "model.index").write_bytes(table + (handles[1] + handles[2]).ljust(40, b"\0") + MAGIC)
    return path


def test_tensors_come_back_without_the_optimizer_s(tmp_path: Path) -> None:
    read = read_checkpoint(write_checkpoint(tmp_path, TENSORS))
    assert list(read) == ["conv/bias", "conv/kernel", "scale"]
    for name, value in read.items():
        assert value.shape == TENSORS[name].shape
        assert np.array_equal(value, TENSORS[name])


def test_the_checksum_is_castagnoli_s() -> None:
    assert tensorflow_checkpoint._crc32c(b"123456789") == 0xE3069283  # the check value of CRC-32C


def test_any_damage_of_the_index_is_one_line(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path, TENSORS)
    index = path.with_name("model.index")
    whole, before = index.read_bytes(), read_checkpoint(path)
    damaged = [whole[:size] for size in range(0, len(whole), 7)]
    damaged += [whole[:at] + bytes([whole[at] ^ bit]) + whole[at + 1 :] for at in range(len(whole)) for bit in (1, 128)]
    refused = 0
    for content in damaged:
        index.write_bytes(content)
        try:
            read = read_checkpoint(path)
        except WeightsError as error:
            refused += 1
            assert "\n" not in str(error)
            assert "model.index" in str(error)
        else:  # the unused part of the footer, or the block of the meta-index
            assert all(np.array_equal(read[name], value) for name, value in before.items())
    assert refused > 0.8 * len(damaged)


def test_entries_that_point_beyond_the_data_are_refused(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path, TENSORS)
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(WeightsError, match="is not in it"):
        read_checkpoint(path)
    path.unlink()
    with pytest.raises(WeightsError, match="is missing"):
        read_checkpoint(path)
