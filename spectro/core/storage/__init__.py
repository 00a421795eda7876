"""Objects in a folder or a bucket: list, get, put if absent, head, delete and read a range, the same everywhere."""

from __future__ import annotations

import io
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, Protocol
from urllib.parse import unquote, urlsplit

from spectro.core.errors import ConfigError, StorageError, did_you_mean

SCHEMES = {
    **dict.fromkeys(("s3", "s3a", "s3n"), "s3"),
    **dict.fromkeys(("gs", "gcs"), "gs"),
    **dict.fromkeys(("az", "abfs", "abfss", "azure", "adl"), "az"),
    **dict.fromkeys(("file", "local"), "file"),
    "memory": "memory",
    "hf": "hf",
}
"""Schemes of URLs, those of fsspec too, and what each is read by."""
URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
BLOCK = 1 << 23
"""Bytes that are read at a time where an object is read from start to end."""
BUFFER = 1 << 18
"""Bytes that an open object reads at least."""


class MissingError(StorageError):
    """There is no such object."""


class ChangedError(StorageError):
    """An object is not the one that was listed any more."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One object, as a listing shows it."""

    name: str
    """Relative to the root of its storage, with forward slashes."""
    size: int
    """In bytes."""
    etag: str
    """Differs once the content does."""
    modified: float = 0.0
    """When it was written, in seconds since 1970."""


class Storage(Protocol):
    """A folder or a bucket; no half-written object is ever visible in it.

    Every function raises StorageError, in one line that names the object, once trying again has not helped.
    """

    url: str
    """Its root, as it was given."""

    def list(self, prefix: str = "") -> Iterator[Entry]:
        """Yield the objects whose names begin with `prefix`, in the order of their names, at any depth."""

    def get(self, name: str) -> bytes:
        """Return an object; raises MissingError where there is none."""

    def put_if_absent(self, name: str, data: bytes | Path) -> bool:
        """Write an object, of bytes or of a file, whole or not at all; False where there is one of that name.

        After a lost answer it may also be False where the object is the one that was to be written.
        """

    def head(self, name: str) -> Entry | None:
        """Return what a listing shows of an object; None where there is none."""

    def delete(self, name: str) -> None:
        """Remove an object, if there is one."""

    def read(self, name: str, begin: int, end: int, etag: str = "") -> bytes:
        """Return the bytes from `begin` up to `end`.

        Raises
        ------
        MissingError
            there is no such object.
        ChangedError
            it is not of this `etag`, where one is given.
        """


def is_url(text: Path | str) -> bool:
    """Tell whether a text is a URL rather than a path."""
    return URL.match(str(text)) is not None


def open_storage(url: Path | str) -> Storage:
    """Open a folder or a bucket; the same connections are used for the same URL.

    Parameters
    ----------
    url
        A path, or a URL: `file`, `s3`, `gs`, `az` and `memory` (which take the extra `remote`), or `hf`, which can only
        be read. Credentials and endpoints come from the environment, as AWS's, Google's and Azure's tools take them.

    Raises
    ------
    ConfigError
        there is no such scheme, or a package is missing.
    """
    match = URL.match(str(url))
    if match is None:
        from spectro.core.storage.local import LocalStorage

        return LocalStorage(Path(url))
    scheme = SCHEMES.get(match[1].lower())
    if scheme is None:
        near = did_you_mean(match[1], SCHEMES)
        raise ConfigError(f"{url} is of no known kind{near}; known are {', '.join(dict.fromkeys(SCHEMES.values()))}")
    rest = str(url)[match.end() :]
    if scheme == "file":
        from spectro.core.storage.local import LocalStorage

        return LocalStorage(Path(unquote(urlsplit(f"file://{rest}").path)))
    return _connected(f"{scheme}://{rest}".rstrip("/"))


@lru_cache(maxsize=64)
def _connected(url: str) -> Storage:
    if url.startswith("hf:"):
        from spectro.core.storage.hub import HubStorage

        return HubStorage(url)
    from spectro.core.storage.remote import RemoteStorage

    return RemoteStorage(url)


def join(url: Path | str, name: str) -> str:
    """Return the URL, or the path, of an object."""
    return f"{url}/{name}" if not str(url).endswith("/") else f"{url}{name}"


def fetch(storage: Storage, entry: Entry, folder: Path) -> Path:
    """Return the path of an object's content: its own in a folder, else of a copy below `folder`.

    Parameters
    ----------
    storage
        Where it is.
    entry
        Its name, size and etag; with another etag it is not read.
    folder
        Where copies belong; they keep the last part of the name, as far as file systems allow it.

    Raises
    ------
    MissingError, ChangedError
        it is gone, or another one.
    """
    from spectro.core.storage.local import LocalStorage

    if isinstance(storage, LocalStorage):
        now = storage.head(entry.name)
        if now is None:
            raise MissingError(f"{join(storage.url, entry.name)} does not exist")
        if now.etag != entry.etag:
            raise changed(storage.url, entry.name)
        return storage.path(entry.name)
    last = entry.name.rsplit("/", 1)[-1]
    path = folder / (last if len(os.fsencode(last)) <= 255 else f"sound{Path(last).suffix[-12:]}")
    with path.open("wb") as file:
        for begin in range(0, entry.size, BLOCK):
            file.write(storage.read(entry.name, begin, min(begin + BLOCK, entry.size), entry.etag))
    return path


def open_range(storage: Storage, entry: Entry) -> BinaryIO:
    """Open an object for reading from any position, in pieces."""
    return io.BufferedReader(RangeFile(storage, entry), BUFFER)


def save(storage: Storage, entry: Entry, path: Path) -> None:
    """Copy an object to a file."""
    with open_range(storage, entry) as source, path.open("wb") as file:
        shutil.copyfileobj(source, file, BLOCK)


def require_put_if_absent(storage: Storage) -> None:
    """Raise StorageError where a storage replaces what is there, as old servers that speak S3 do."""
    name = f"probe-{uuid.uuid4().hex[:12]}"
    try:
        if not storage.put_if_absent(name, b"1") or storage.put_if_absent(name, b"2"):
            raise StorageError(
                f"{storage.url} replaces objects although it is asked not to (If-None-Match), so that nothing can be "
                "done exactly once there; choose another --out, or update that server"
            )
    finally:
        with suppress(StorageError):
            storage.delete(name)


def changed(url: str, name: str) -> ChangedError:
    """Return the error of an object that is not the one that was listed any more."""
    return ChangedError(f"{join(url, name)} was changed since it was listed; make a new plan in another --out")


class RangeFile(io.RawIOBase):
    """An object as a file that asks for each range it is read at."""

    def __init__(self, storage: Storage, entry: Entry) -> None:
        self._storage, self._entry, self._at = storage, entry, 0
        self.name = join(storage.url, entry.name)

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # a buffer of bytes, as BufferedReader has
        """Fill the buffer as far as there are bytes; return their number."""
        end = min(self._at + len(buffer), self._entry.size)
        if end <= self._at:
            return 0
        data = self._storage.read(self._entry.name, self._at, end, self._entry.etag)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move as any file does."""
        self._at = max(0, offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._entry.size}[whence])
        return self._at

    def tell(self) -> int:
        """Return the position."""
        return self._at

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True
