"""Errors of the disk as one line, and how long to wait for another process."""

from __future__ import annotations

from pathlib import Path

from spectro.core.errors import DataError, SpectroError, StorageError
from spectro.core.files import STORAGE

PATIENCE = 120.0
"""Longest time to wait for another process that makes the same array, in seconds."""


def cannot_write(path: Path | str, error: OSError) -> SpectroError:
    """Return an error of the file system as one that names the file and, where it is known, what to do."""
    if error.errno in STORAGE:
        return StorageError(f"cannot write {path}: {error.strerror}; {STORAGE[error.errno]}")
    return DataError(f"cannot write {path}: {error.strerror or error}")
