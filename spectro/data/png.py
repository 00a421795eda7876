"""Write and read self-describing 8-bit grey PNG files, several times as fast as general encoders."""

from __future__ import annotations

import os
import stat
import struct
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from spectro.core.arrays import Image
from spectro.core.errors import DataError
from spectro.core.files import temporary_name
from spectro.data.storage import cannot_write

try:
    from isal import isal_zlib  # three times as fast; no wheels for every platform
    from isal.isal_zlib import crc32

    FAULTS: Any = (zlib.error, isal_zlib.error)  # the second ships with wrong types
except ImportError:
    isal_zlib = None  # type: ignore[assignment, unused-ignore]  # None where it is not installed
    from zlib import crc32

    FAULTS = (zlib.error,)

SIGNATURE = b"\x89PNG\r\n\x1a\n"
END = b"\x00\x00\x00\x00IEND\xaeB`\x82"
LARGEST = 1 << 28
"""Bytes; no file of a spectrogram is larger."""
SUB = 1  # PNG's filter that stores differences to the left neighbour; music changes least along time


def encode(image: Image, tags: Mapping[str, str]) -> bytes:
    """Return a greyscale PNG file.

    Parameters
    ----------
    image
        Grey levels `[height, width]`.
    tags
        Text chunks, which are written in front of the pixels.
    """
    height, width = image.shape
    lines = np.empty((height, width + 1), np.uint8)
    lines[:, 0] = SUB
    lines[:, 1] = image[:, 0]
    np.subtract(image[:, 1:], image[:, :-1], out=lines[:, 2:])
    chunks = [SIGNATURE, _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))]
    chunks += [_text(key, value) for key, value in tags.items()]
    chunks += [_chunk(b"IDAT", _deflate(lines)), END]
    return b"".join(chunks)


def write(path: Path, image: Image, tags: Mapping[str, str]) -> int:
    """Write a PNG file whole or not at all.

    Parameters
    ----------
    path
        The file; its folder is made.
    image
        Grey levels `[height, width]`.
    tags
        Text chunks.

    Returns
    -------
    int
        Size of the file, in bytes.

    Raises
    ------
    StorageError
        the disk is full or failing, or the folder is not writable.
    DataError
        a folder is in the way, or a file where a folder should be.
    """
    data = encode(image, tags)
    # Not by core.files.replacing: making folders and paths for each PNG would add 4 % to the time of rendering.
    temporary = f"{path.parent}/{temporary_name()}"
    try:
        try:
            _write_bytes(temporary, data)
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True)
            _write_bytes(temporary, data)
        os.replace(temporary, path)
    except BaseException as error:  # an interruption too leaves nothing behind
        with suppress(OSError):
            os.unlink(temporary)
        if isinstance(error, OSError):
            raise cannot_write(path, error) from None
        raise
    return len(data)


def _write_bytes(path: str, data: bytes) -> None:
    with open(path, "wb") as file:
        file.write(data)


@dataclass(frozen=True, kw_only=True)
class Parsed:
    """A PNG file as `encode` makes it, all of whose checksums are right."""

    tags: Mapping[str, str]
    """Its text chunks."""
    shape: tuple[int, int]
    """Height and width."""
    body: bytes
    """The pixels, compressed."""


def read(path: Path) -> bytes | None:
    """Return the bytes of a file; None where there is none, or it is no regular file, or larger than any image."""
    try:
        status = path.stat()  # first, for opening a named pipe would wait for ever
        if not stat.S_ISREG(status.st_mode) or status.st_size > LARGEST:
            return None
        return path.read_bytes()
    except OSError:
        return None


def parse(data: bytes) -> Parsed | None:
    """Return the parts of a PNG file; None unless it is one that `encode` made, whole and with the right checksums."""
    if not data.startswith(SIGNATURE) or not data.endswith(END):
        return None
    tags: dict[str, str] = {}
    shape: tuple[int, int] | None = None
    at, end = len(SIGNATURE), len(data) - len(END)
    try:
        while at < end:
            length, kind = struct.unpack_from(">I4s", data, at)
            body = data[at + 8 : at + 8 + length]
            (checksum,) = struct.unpack_from(">I", data, at + 8 + length)
            if crc32(body, crc32(kind)) != checksum:
                return None
            at += 12 + length
            if kind == b"IHDR" and shape is None:
                width, height, *form = struct.unpack(">IIBBBBB", body)
                if form != [8, 0, 0, 0, 0]:
                    return None
                shape = height, width
            elif kind in (b"tEXt", b"iTXt") and shape:
                tags.update([_read_text(kind, body)])
            elif kind == b"IDAT" and shape and at == end:
                return Parsed(tags=tags, shape=shape, body=body)
            else:
                return None
    except (struct.error, ValueError, IndexError):
        return None
    return None


def decode(parsed: Parsed) -> Image:
    """Return the grey levels `[height, width]`; compare `parsed.shape` with what you expect first.

    Raises
    ------
    DataError
        the compressed pixels are not what `encode` makes of that shape; no more than that is unpacked.
    """
    height, width = parsed.shape
    size = height * (width + 1)
    try:
        coder = zlib.decompressobj() if isal_zlib is None else isal_zlib.decompressobj()
        raw = coder.decompress(parsed.body, size + 1)
    except (*FAULTS, ValueError) as error:
        raise DataError(str(error)) from None
    if len(raw) != size or not coder.eof:
        raise DataError("its pixels are not of its size")
    lines = np.frombuffer(raw, np.uint8).reshape(height, width + 1)
    if not (lines[:, 0] == SUB).all():
        raise DataError("another program wrote it")
    image: Image = np.add.accumulate(lines[:, 1:], axis=1, dtype=np.uint8)
    return image


def read_tags(path: Path) -> dict[str, str] | None:
    """Return the text chunks of a PNG file that `write` completed; None where there is no such file, or it is damaged.

    Every checksum in it is compared, that of the pixels too.
    """
    data = read(path)
    parsed = None if data is None else parse(data)
    return None if parsed is None else dict(parsed.tags)


def _read_text(kind: bytes, body: bytes) -> tuple[str, str]:
    key, _, value = body.partition(b"\0")
    if kind == b"tEXt":
        return key.decode("latin-1"), value.decode("latin-1")
    return key.decode("latin-1"), value[2:].split(b"\0", 2)[2].decode("utf-8")


def _deflate(lines: Image) -> bytes:
    if isal_zlib is not None:
        return isal_zlib.compress(lines, 1)
    coder = zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL, zlib.Z_RLE)
    return coder.compress(lines) + coder.flush()  # runs only: half the time of level 1, and smaller


def _text(key: str, value: str) -> bytes:
    if value.isascii():
        return _chunk(b"tEXt", key.encode("latin-1") + b"\0" + value.encode("ascii"))
    return _chunk(b"iTXt", key.encode("latin-1") + b"\0\0\0\0\0" + value.encode("utf-8"))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc32(data, crc32(kind)))
