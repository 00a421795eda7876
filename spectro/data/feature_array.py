"""The array of a feature: values are written, never mapped for writing, and checked clip by clip."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import xxhash
from numpy.lib.format import read_array_header_1_0, read_magic, write_array_header_1_0
from numpy.typing import NDArray

from spectro.core.arrays import Floats32
from spectro.core.files import replacing
from spectro.data.storage import cannot_write

JOURNAL = ("clip", "stamp", "signature", "checksum")
"""Columns of the journal, `done.csv`: a clip and its `Entry`."""
UNSUPPORTED = (errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS)
"""What file systems answer that cannot reserve room."""

_verified: set[tuple[object, ...]] = set()


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A clip whose values are in the array."""

    stamp: str
    """Size and checksum of its file, as `source_stamp` returns them."""
    signature: str
    """What the file system knew of its file, as `signature` returns it."""
    checksum: str
    """Checksum of its rows."""

    def line(self) -> tuple[str, str, str]:
        """Return the values of its line in the journal."""
        return self.stamp, self.signature, self.checksum

    @classmethod
    def of(cls, line: tuple[str, ...]) -> Entry:
        """Build from what `line` returned."""
        stamp, signature, checksum = line
        return cls(stamp=stamp, signature=signature, checksum=checksum)


def open_array(path: Path, shape: tuple[int, ...]) -> Floats32 | None:
    """Return the array memory-mapped and read-only; None where it is missing, damaged or another one.

    Parameters
    ----------
    path
        The `.npy` file.
    shape
        `[items, ...]`.
    """
    try:
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, EOFError, ValueError):
        return None
    return array if array.shape == shape and array.dtype == np.float32 else None


def make_array(path: Path, shape: tuple[int, ...]) -> None:
    """Make an array whose room on the disk is reserved; raises StorageError where there is not enough.

    Parameters
    ----------
    path
        The `.npy` file.
    shape
        `[items, ...]`.
    """
    with replacing(path) as temporary, temporary.open("wb") as file:
        write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
        file.flush()
        _reserve(file, file.tell() + 4 * int(np.prod(shape)))


def renew_array(path: Path) -> None:
    """Put a copy in the array's place: whoever has mapped it keeps the values that it had.

    Parameters
    ----------
    path
        The `.npy` file.
    """
    with replacing(path) as temporary:
        shutil.copyfile(path, temporary)


def write_rows(path: Path, rows: Sequence[int], values: Sequence[Floats32]) -> str:
    """Write a clip's values into their rows; return the checksum of what was written.

    Parameters
    ----------
    path
        The `.npy` file.
    rows
        Index of each of its segments.
    values
        The values of each.

    Raises
    ------
    StorageError
        the disk is full or failing.
    """
    hasher = xxhash.xxh3_128()
    try:
        with path.open("r+b") as file:
            read_magic(file)  # mapping the array would count towards the memory that a worker may take
            (_, *shape), _, _ = read_array_header_1_0(file)
            offset = file.tell()
            for row, value in zip(rows, values, strict=True):
                if value.shape != tuple(shape):
                    raise ValueError(f"a segment has values of shape {value.shape}, not {tuple(shape)}")
                data = np.ascontiguousarray(value, np.float32).tobytes()
                file.seek(offset + row * len(data))
                file.write(data)
                hasher.update(data)
    except OSError as error:
        raise cannot_write(path, error) from None
    return hasher.hexdigest()


def verify_rows(
    path: Path, array: Floats32, rows: Mapping[str, Sequence[int]], journal: Mapping[str, Entry]
) -> set[str]:
    """Return the clips whose values are not those that were written; an unchanged array is read once a process.

    Parameters
    ----------
    path
        The `.npy` file.
    array
        Its content, mapped.
    rows
        Index of each segment, by clip.
    journal
        What is known of each clip.
    """
    status = path.stat()
    key = (str(path.resolve()), status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    damaged = set()
    for clip, own in rows.items():
        entry = journal.get(clip)
        if entry is None or (*key, clip, entry.checksum) in _verified:
            continue
        hasher = xxhash.xxh3_128()
        for row in own:
            hasher.update(np.ascontiguousarray(array[row]).tobytes())
        if hasher.hexdigest() == entry.checksum:
            _verified.add((*key, clip, entry.checksum))
        else:
            damaged.add(clip)
    return damaged


def _reserve(file: IO[bytes], size: int) -> None:
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(file.fileno(), 0, size)
            return
        except OSError as error:
            if error.errno not in UNSUPPORTED:
                raise
    file.truncate(size)
