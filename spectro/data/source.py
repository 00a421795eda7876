"""Source files: none is opened that is no file, and whether one changed is decided by its content."""

from __future__ import annotations

import stat
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from spectro.core.errors import AudioError
from spectro.core.files import size_and_digest
from spectro.core.sealed_tables import url_of
from spectro.core.storage import fetch, join, open_storage

KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
}
RECENT = 0.1
"""Seconds within which two changes of a file may carry the same time."""


def require_file(path: Path) -> None:
    """Raise AudioError where a path is no regular file: opening a named pipe would wait for ever.

    Parameters
    ----------
    path
        The audio file; links are followed.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        raise AudioError("missing", f"{path} does not exist") from None
    except (OSError, ValueError) as error:
        raise AudioError("unreadable", f"{path} cannot be opened: {error}") from None
    if not stat.S_ISREG(mode):
        kind = KINDS.get(stat.S_IFMT(mode), "no file")
        raise AudioError("unreadable", f"{path} is {kind}, not a file with sound; remove it, or leave it out")


@contextmanager
def local_file(root: str, clip: str) -> Iterator[Path]:
    """Give the path of a source file while the body runs: its own, or that of a copy.

    Parameters
    ----------
    root
        Folder or URL of the source.
    clip
        Id of the clip.

    Raises
    ------
    AudioError
        it is missing, or is no file.
    """
    if not url_of(root):
        require_file(Path(root) / clip)
        yield Path(root) / clip
        return
    storage = open_storage(root)
    entry = storage.head(clip)
    if entry is None:
        raise AudioError("missing", f"{join(root, clip)} does not exist")
    with tempfile.TemporaryDirectory(prefix="spectro-sound-") as folder:
        yield fetch(storage, entry, Path(folder))


def source_stamp(path: Path) -> str:
    """Return size and checksum of a source file, which differ once its content does; its times play no part.

    Raises
    ------
    AudioError
        it is missing, cannot be read, or is no file.
    """
    require_file(path)
    try:
        size, checksum = size_and_digest(path)
    except OSError as error:
        raise AudioError("unreadable", f"{path} cannot be read: {error.strerror}") from None
    return f"{size} {checksum}"


def signature(path: Path) -> str:
    """Return what the file system knows of a file: while that is the same, so is its content.

    It holds the time of the last change of the inode, which no program can set. Empty where that cannot be relied on:
    on Windows, or when the file changed a moment ago (or in the future) and could change again at the same time.

    Raises
    ------
    OSError
        the file is missing.
    """
    status = path.stat()
    if sys.platform == "win32" or time.time() - status.st_ctime < RECENT:
        return ""
    return f"{status.st_ino} {status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}"
