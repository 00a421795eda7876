"""The array of a feature and its journal: values are written, never mapped for writing, and checked clip by clip."""

from __future__ import annotations

import csv
import errno
import io
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import xxhash
from numpy.lib.format import write_array_header_1_0
from numpy.typing import NDArray

from spectro.core.arrays import Floats32
from spectro.core.files import digest_text, replacing, write_csv
from spectro.data.storage import cannot_write

JOURNAL = ("clip", "stamp", "signature", "checksum", "line")
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
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    offset, size = int(array.offset), array[0].nbytes
    hasher = xxhash.xxh3_128()
    try:
        with path.open("r+b") as file:
            for row, value in zip(rows, values, strict=True):
                if value.shape != array.shape[1:]:
                    raise ValueError(f"a segment has values of shape {value.shape}, not {array.shape[1:]}")
                data = np.ascontiguousarray(value, np.float32).tobytes()
                file.seek(offset + row * size)
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


def read_journal(path: Path) -> dict[str, Entry]:
    """Return what is known of each clip; a line that is torn or damaged is left out, so that it is computed again.

    Parameters
    ----------
    path
        The `done.csv` of a feature.
    """
    try:
        data = path.read_bytes()
        text = data[: data.rfind(b"\n") + 1].decode("utf-8")  # a killed run may have left half a line at its end
        header, *lines = list(csv.reader(io.StringIO(text, newline="")))
    except (OSError, ValueError, csv.Error):
        return {}
    if tuple(header) != JOURNAL:
        return {}
    return {
        line[0]: Entry(stamp=line[1], signature=line[2], checksum=line[3])
        for line in lines
        if len(line) == len(JOURNAL) and line[-1] == digest_text(*line[:-1])
    }


def write_journal(path: Path, journal: Mapping[str, Entry]) -> None:
    """Write the journal whole, in an order that does not depend on the workers.

    Parameters
    ----------
    path
        The `done.csv` of a feature.
    journal
        What is known of each clip.
    """
    write_csv(path, JOURNAL, (_line(clip, entry) for clip, entry in sorted(journal.items())))


class Appender:
    """The journal, open while clips are computed: a line is on the disk as soon as its clip is done."""

    def __init__(self, path: Path, file: IO[str]) -> None:
        self._path, self._file = path, file
        self._writer = csv.writer(file, lineterminator="\n")

    def add(self, clip: str, entry: Entry) -> None:
        """Add a clip; raises StorageError when the disk is full or failing."""
        try:
            self._writer.writerow(_line(clip, entry))
            self._file.flush()
        except OSError as error:
            raise cannot_write(self._path, error) from None


@contextmanager
def appending(path: Path) -> Iterator[Appender]:
    """Open a journal to add lines.

    Parameters
    ----------
    path
        The `done.csv` of a feature.
    """
    try:
        file = path.open("a", encoding="utf-8", newline="")
    except OSError as error:
        raise cannot_write(path, error) from None
    try:
        yield Appender(path, file)
    finally:
        try:
            file.close()
        except OSError as error:  # what could not be written is still in its buffer
            raise cannot_write(path, error) from None


def _line(clip: str, entry: Entry) -> tuple[str, ...]:
    line = clip, entry.stamp, entry.signature, entry.checksum
    return *line, digest_text(*line)  # so that damage of a line is noticed


def _reserve(file: IO[bytes], size: int) -> None:
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(file.fileno(), 0, size)
            return
        except OSError as error:
            if error.errno not in UNSUPPORTED:
                raise
    file.truncate(size)
