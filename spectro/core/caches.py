"""Arrays that can be made again: memory-mapped from a file, with a note beside it that says what it was made from."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import write_array_header_1_0
from numpy.typing import NDArray

from spectro.core.errors import DataError, StorageError
from spectro.core.files import STORAGE, digest, read_document, replacing, verified, write_document

CACHE_VERSION = 1


def open_cached(path: Path, facts: Mapping[str, Any]) -> NDArray[Any] | None:
    """Return a cached array, memory-mapped and read-only; None where it must be made (again).

    Its content is compared with the checksum in its note once a process; a damaged file is as good as none.

    Parameters
    ----------
    path
        The `.npy` file; its note has the same name with the ending `.json`.
    facts
        What the array depends on, as JSON values; other facts in the note mean another array.
    """
    try:
        note = read_document(path.with_suffix(".json"), "cache", CACHE_VERSION, remedy="it is made again")
        if note.get("facts") != dict(facts) or not verified(path, str(note.get("digest"))):
            return None
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (DataError, OSError, ValueError):
        return None
    return array


def write_cached(path: Path, facts: Mapping[str, Any], items: int, blocks: Iterable[NDArray[Any]]) -> NDArray[Any]:
    """Write an array block by block, and last its note; return it memory-mapped.

    It is written, not mapped, so that a full disk is an error instead of a signal.

    Parameters
    ----------
    path
        The `.npy` file.
    facts
        What the array depends on, as JSON values.
    items
        Length of the first axis over all blocks.
    blocks
        Arrays `[n, ...]` of one type and one shape beyond the first axis.

    Raises
    ------
    StorageError
        the disk is full or failing.
    ValueError
        the blocks do not hold `items` items together.
    """
    note = path.with_suffix(".json")
    if note.is_dir():
        raise StorageError(f"cannot write {note}: {STORAGE[errno.EISDIR]}")
    note.unlink(missing_ok=True)  # the note goes first and comes last: with it the array is known to be whole
    written = 0
    with replacing(path) as temporary, temporary.open("wb") as file:
        for block in blocks:
            if not file.tell():
                descr = np.lib.format.dtype_to_descr(block.dtype)
                head = {"descr": descr, "fortran_order": False, "shape": (items, *block.shape[1:])}
                write_array_header_1_0(file, head)
            file.write(np.ascontiguousarray(block).data)
            written += len(block)
        if written != items:
            raise ValueError(f"{written} items were given for {path}, not {items}")
    write_document(note, "cache", CACHE_VERSION, {"facts": dict(facts), "digest": digest(path)})
    array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    return array
