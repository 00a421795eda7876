"""One writer at a time: a folder is held by one process, which the others can name."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from spectro.core.errors import BusyError, StorageError
from spectro.core.files import STORAGE

LOCK, OWNER = ".lock", ".owner.json"


@contextmanager
def writing(folder: Path, *, wait: float = 0.0) -> Iterator[None]:
    """Hold a folder for writing while the body runs.

    The operating system releases the lock when its owner dies, however it dies, so nothing has to be cleaned up; where
    the file system knows no such locks, `filelock` falls back on files that name process and host.

    Parameters
    ----------
    folder
        Made if it is not there.
    wait
        Longest time to wait for another owner, in seconds.

    Raises
    ------
    BusyError
        another process is writing there; the message names it.
    StorageError
        the folder cannot be made, or is not to be written.
    """
    lock = FileLock(folder / LOCK, timeout=wait)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise BusyError(f"{folder} is written by {_owner(folder)}; wait for it, or choose another --out") from None
    except OSError as error:
        advice = STORAGE.get(error.errno or 0, "choose another --out")
        raise StorageError(f"cannot write into the folder {folder}: {error.strerror or error}; {advice}") from None
    note = folder / OWNER
    try:
        with suppress(OSError):  # it only names the owner to others
            note.write_text(json.dumps(_me()), encoding="utf-8")
        yield
    finally:
        with suppress(OSError):
            note.unlink(missing_ok=True)
        lock.release()


def _me() -> dict[str, str]:
    started = time.strftime("%Y-%m-%d %H:%M:%S")
    return {"process": str(os.getpid()), "host": socket.gethostname(), "since": started}


def _owner(folder: Path) -> str:
    try:
        note = json.loads((folder / OWNER).read_text(encoding="utf-8"))
        return f"process {note['process']} on {note['host']} (since {note['since']})"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
