"""A repository of Hugging Face's hub as a storage that can only be read."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from spectro.core.distribution import require_packages
from spectro.core.errors import StorageError, first_line
from spectro.core.storage import Entry, MissingError, changed, join


class HubStorage:
    """Files below `hf://datasets/OWNER/NAME[@REVISION][/FOLDER]`."""

    def __init__(self, url: str) -> None:
        require_packages("hf://", "huggingface_hub", "fsspec")
        from huggingface_hub import HfFileSystem

        self.url = url.rstrip("/")
        self._root = self.url.removeprefix("hf://")
        self._files: Any = HfFileSystem()

    def list(self, prefix: str = "") -> Iterator[Entry]:
        """Yield the files whose names begin with `prefix`, in the order of their names."""
        try:
            found = self._files.find(self._path(prefix.rpartition("/")[0]), detail=True)
        except FileNotFoundError:
            return
        except Exception as error:
            raise self._error(prefix, error) from None
        for path, info in sorted(found.items()):
            name = posixpath.relpath(path, self._resolved())
            if name.startswith(prefix):
                yield _entry(name, info)

    def get(self, name: str) -> bytes:
        """Return a file; raises MissingError where there is none."""
        return self._bytes(name, None, None)

    def put_if_absent(self, name: str, data: bytes | Path) -> NoReturn:
        """Refuse."""
        raise StorageError(f"{join(self.url, name)} cannot be written, for hf:// is read only; choose another --out")

    def head(self, name: str) -> Entry | None:
        """Return size and etag of a file; None where there is none."""
        try:
            return _entry(name, self._files.info(self._path(name)))
        except FileNotFoundError:
            return None
        except Exception as error:
            raise self._error(name, error) from None

    def delete(self, name: str) -> NoReturn:
        """Refuse."""
        raise StorageError(f"{join(self.url, name)} cannot be removed, for hf:// is read only")

    def read(self, name: str, begin: int, end: int, etag: str = "") -> bytes:
        """Return a range of a file."""
        now = self.head(name) if etag else None
        if now is not None and now.etag != etag:
            raise changed(self.url, name)
        return self._bytes(name, begin, end)

    def _bytes(self, name: str, begin: int | None, end: int | None) -> bytes:
        try:
            return bytes(self._files.cat_file(self._path(name), start=begin, end=end))
        except FileNotFoundError:
            raise MissingError(f"{join(self.url, name)} does not exist") from None
        except Exception as error:
            raise self._error(name, error) from None

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}".rstrip("/")

    def _resolved(self) -> str:
        return str(self._files.resolve_path(self._root).unresolve())

    def _error(self, name: str, error: Exception) -> StorageError:
        return StorageError(f"{join(self.url, name)} cannot be read: {first_line(error)}; check name and access")


def _entry(name: str, info: Any) -> Entry:
    return Entry(name=name, size=int(info["size"]), etag=str(info.get("blob_id") or info.get("sha") or info["size"]))
