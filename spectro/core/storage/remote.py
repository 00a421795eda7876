"""A bucket of S3, Google Cloud Storage or Azure, or the memory of this process, as a storage, by obstore."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

from spectro.core.distribution import require_packages
from spectro.core.errors import StorageError, first_line
from spectro.core.storage import Entry, MissingError, changed, join

Value = TypeVar("Value")

TRIES = 6
"""How often a request is made that breaks off in the middle; obstore itself repeats those that are refused."""
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 15.0
"""Seconds: the longest pause before the second try, and before any; each is drawn at random below."""
RETRY = {
    "max_retries": 10,  # also after 503 SlowDown, with growing random pauses
    "backoff": {"init_backoff": timedelta(seconds=0.1), "max_backoff": timedelta(seconds=15), "base": 2},
    "retry_timeout": timedelta(minutes=3),
}
READ, WRITE = timedelta(seconds=60), timedelta(minutes=15)
"""Longest time for one request: pieces are read, but shards are written whole."""
CLIENT = {
    "connect_timeout": timedelta(seconds=10),
    "allow_http": True,  # only where the endpoint in the environment is such a one
}
FINAL = ("PermissionDeniedError", "UnauthenticatedError", "InvalidPathError", "UnknownConfigurationKeyError")
"""Errors that another try does not change."""


class RemoteStorage:
    """Objects below a URL."""

    def __init__(self, url: str) -> None:
        require_packages("a URL", "obstore")
        from obstore import store

        self.url = url
        try:
            if url.startswith("memory:"):
                self._store: Any = store.MemoryStore()
                self._writer = self._store
            else:
                self._store, self._writer = (
                    store.from_url(url, client_options={**CLIENT, "timeout": limit}, retry_config=RETRY)  # type: ignore[call-overload]
                    for limit in (READ, WRITE)
                )
        except Exception as error:
            raise StorageError(f"{url} cannot be opened: {_cause(error)}; check its name and the environment") from None

    def list(self, prefix: str = "") -> Iterator[Entry]:
        """Yield the objects whose names begin with `prefix`, in the order of their names."""
        import obstore

        # A store lists whole folders only; what does not begin with the prefix is left out here.
        folder = prefix.rpartition("/")[0]
        after, number = "", 0
        while True:  # a listing that breaks off goes on behind the last name
            number += 1
            try:
                for chunk in obstore.list(self._store, folder or None, offset=after or None):
                    number = 0
                    for one in sorted(chunk, key=lambda one: str(one["path"])):
                        after = str(one["path"])
                        if after.startswith(prefix):
                            yield _entry(one)
                return
            except Exception as error:
                self._pause_or_give_up(prefix, error, number)

    def get(self, name: str) -> bytes:
        """Return an object; raises MissingError where there is none."""
        import obstore

        return self._trying(name, lambda: obstore.get(self._store, name).bytes().to_bytes())

    def put_if_absent(self, name: str, data: bytes | Path) -> bool:
        """Write an object by a request that the store refuses where there is one of that name."""
        import obstore
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        def put() -> bool:
            try:
                obstore.put(self._writer, name, data, mode="create")
            except (AlreadyExistsError, PreconditionError):
                return False
            return True

        return self._trying(name, put)

    def head(self, name: str) -> Entry | None:
        """Return size, etag and time of an object; None where there is none."""
        import obstore

        try:
            return self._trying(name, lambda: _entry(obstore.head(self._store, name)))
        except MissingError:
            return None

    def delete(self, name: str) -> None:
        """Remove an object, if there is one."""
        import obstore

        try:
            self._trying(name, lambda: obstore.delete(self._store, name))
        except MissingError:
            return

    def read(self, name: str, begin: int, end: int, etag: str = "") -> bytes:
        """Return a range of an object."""
        import obstore

        if end <= begin:
            return b""

        def read() -> tuple[str | None, bytes]:
            answer = obstore.get(self._store, name, options={"range": (begin, end)})
            return answer.meta["e_tag"], answer.bytes().to_bytes()

        found_etag, data = self._trying(name, read)
        if etag and found_etag != etag:
            raise changed(self.url, name)
        return data

    def _trying(self, name: str, request: Callable[[], Value]) -> Value:
        """Make a request, again where the connection broke; the pauses are random, so that workers do not march."""
        for number in range(1, TRIES + 1):
            try:
                return request()
            except Exception as error:
                self._pause_or_give_up(name, error, number)
        raise AssertionError("unreachable")

    def _pause_or_give_up(self, name: str, error: Exception, number: int) -> None:
        """Wait before a request is made again that failed for the n-th time, or raise the error that it ends in."""
        kind = type(error).__name__
        if isinstance(error, FileNotFoundError) or kind == "NotFoundError":
            raise MissingError(f"{join(self.url, name)} does not exist") from None
        if kind in FINAL or number == TRIES:
            advice = "check the credentials in the environment" if kind in FINAL[:2] else "try again later"
            raise StorageError(f"{join(self.url, name)} cannot be used: {_cause(error)}; {advice}") from None
        time.sleep(random.uniform(0, min(LONGEST_PAUSE, FIRST_PAUSE * 2**number)))


def _entry(meta: Any) -> Entry:
    modified = meta["last_modified"].timestamp()
    return Entry(name=str(meta["path"]), size=int(meta["size"]), etag=str(meta["e_tag"] or ""), modified=modified)


def _cause(error: Exception) -> str:
    """Return what obstore complains of, in a short line without its debug output."""
    return " ".join(first_line(error).split())[:200]
