"""Errors of the disk as one line, and the lock of a folder that is being written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from spectro.core.errors import DataError, SpectroError, StorageError
from spectro.core.files import STORAGE
from spectro.core.locks import writing

PATIENCE = 120.0
"""Longest time to wait for another process that makes the same array, in seconds."""


def cannot_write(path: Path | str, error: OSError) -> SpectroError:
    """Return an error of the file system as one that names the file and, where it is known, what to do."""
    if error.errno in STORAGE:
        return StorageError(f"cannot write {path}: {error.strerror}; {STORAGE[error.errno]}")
    return DataError(f"cannot write {path}: {error.strerror or error}")


@contextmanager
def held(folder: Path, *, wait: float = 0.0) -> Iterator[None]:
    """Hold a folder for writing while the body runs.

    Parameters
    ----------
    folder
        Made if it is not there.
    wait
        Longest time to wait for another owner, in seconds.

    Raises
    ------
    BusyError
        another process is writing there.
    StorageError
        the folder cannot be written.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(writing(folder, wait=wait))
        except OSError as error:
            raise cannot_write(folder, error) from None
        yield
