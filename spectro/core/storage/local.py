"""A folder of the local disk as a storage: whole files only, and one winner where several write the same name."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from filelock import FileLock

from spectro.core.errors import StorageError
from spectro.core.files import STORAGE, TEMPORARY, temporary_name
from spectro.core.storage import Entry, MissingError, changed

NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK}
"""Errors of file systems without hard links."""
LOCK = ".put.lock"


class LocalStorage:
    """Files below a folder, which need not exist yet."""

    def __init__(self, root: Path) -> None:
        self.root = Path(os.path.abspath(root))  # workers may have another working folder
        self.url = str(self.root)

    def path(self, name: str) -> Path:
        """Return the path of an object."""
        return self.root / name

    def list(self, prefix: str = "") -> Iterator[Entry]:
        """Yield the files whose names begin with `prefix`, in the order of their names."""
        folder = prefix.rpartition("/")[0]
        yield from self._below(folder, prefix)

    def _below(self, folder: str, prefix: str) -> Iterator[Entry]:
        try:
            with os.scandir(self.root / folder) as entries:
                inside = [(f"{folder}/{one.name}" if folder else one.name, one.is_dir()) for one in entries]
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            raise self._error("read", folder, error) from None
        for name, is_folder in sorted(inside, key=lambda one: f"{one[0]}/" if one[1] else one[0]):
            if is_folder and (f"{name}/".startswith(prefix) or prefix.startswith(f"{name}/")):
                yield from self._below(name, prefix)
            elif not is_folder and name.startswith(prefix) and not _is_own(name):
                entry = self.head(name)
                if entry is not None:
                    yield entry

    def get(self, name: str) -> bytes:
        """Return a file; raises MissingError where there is none."""
        try:
            return self.path(name).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            raise MissingError(f"{self.path(name)} does not exist") from None
        except OSError as error:
            raise self._error("read", name, error) from None

    def put_if_absent(self, name: str, data: bytes | Path) -> bool:
        """Write a file beside its place, and link it there: only the first one can."""
        path = self.path(name)
        temporary = path.with_name(temporary_name())
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.exists():
                return False
            if isinstance(data, Path):
                shutil.copyfile(data, temporary)
            else:
                temporary.write_bytes(data)
            return _link(temporary, path)
        except OSError as error:
            raise self._error("write", name, error) from None
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)

    def head(self, name: str) -> Entry | None:
        """Return size, etag and time of a file; None where there is none."""
        try:
            status = self.path(name).stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise self._error("read", name, error) from None
        etag = f"{status.st_size:x}-{status.st_mtime_ns:x}"
        return Entry(name=name, size=status.st_size, etag=etag, modified=status.st_mtime)

    def delete(self, name: str) -> None:
        """Remove a file, if there is one."""
        try:
            self.path(name).unlink(missing_ok=True)
        except OSError as error:
            raise self._error("remove", name, error) from None

    def read(self, name: str, begin: int, end: int, etag: str = "") -> bytes:
        """Return a range of a file."""
        if etag:
            now = self.head(name)
            if now is not None and now.etag != etag:
                raise changed(self.url, name)
        try:
            with self.path(name).open("rb") as file:
                file.seek(begin)
                return file.read(end - begin)
        except (FileNotFoundError, NotADirectoryError):
            raise MissingError(f"{self.path(name)} does not exist") from None
        except OSError as error:
            raise self._error("read", name, error) from None

    def _error(self, verb: str, name: str, error: OSError) -> StorageError:
        advice = STORAGE.get(error.errno or 0, "check the path, and whether you may use it")
        return StorageError(f"cannot {verb} {self.path(name)}: {error.strerror or error}; {advice}")


def _link(temporary: Path, path: Path) -> bool:
    """Give a file its name unless there is one of that name; tell whether that was so."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        with FileLock(path.with_name(LOCK)):
            if path.exists():
                return False
            os.replace(temporary, path)
    return True


def _is_own(name: str) -> bool:
    """Tell whether a file is half-written, or holds a lock."""
    last = name.rpartition("/")[2]
    return last == LOCK or TEMPORARY.fullmatch(last) is not None
