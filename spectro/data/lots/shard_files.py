"""The shards of a sealed rendering: single images by range, many by copies of whole shards, of which few are kept."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import cached_property
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spectro.core.arrays import Items
from spectro.core.distribution import require_packages
from spectro.core.errors import DataError
from spectro.core.files import digest, replacing
from spectro.core.sealed_tables import REMEDY, SEALED, download_table, is_local, local_bytes
from spectro.core.storage import Storage, join, open_storage, save
from spectro.data.lots.names import INDEX
from spectro.data.lots.sealed import Sealed, ShardFacts, read_sealed, read_shards

DOWNLOADS = 8
"""Shards that are copied at once."""


class ShardFiles:
    """Shards, and where each image is in them; copies of whole shards are kept below a folder.

    Parameters
    ----------
    url
        Folder or URL of the sealed rendering.
    folder
        Folder with its tables; copies are kept in it, the oldest removed where they are more than `local_bytes`.
    """

    def __init__(self, url: str, folder: Path) -> None:
        require_packages("reading shards", "pyarrow")
        from pyarrow import parquet

        self.storage: Storage = open_storage(url)
        sealed = read_sealed(self.storage)
        if sealed is None:
            raise DataError(f"{join(url, SEALED)} is gone; {REMEDY}")
        self.sealed: Sealed = sealed
        self._folder = folder / "shards"
        table = parquet.read_table(download_table(self.storage, sealed.tables, INDEX, folder))
        self.shard: Items = table.column("shard").to_numpy()
        """`[segments]`, number of the shard of each segment, as `facts` counts."""
        self.offset: NDArray[np.int64] = table.column("offset").to_numpy()
        self.size: Items = table.column("size").to_numpy()
        self._lock = threading.Lock()

    @cached_property
    def facts(self) -> tuple[ShardFacts, ...]:
        """The shards, in the order of the clips."""
        return read_shards(self.storage, self.sealed)

    def where(self, row: int) -> str:
        """Return path or URL of the shard that a segment is in."""
        return join(self.storage.url, self.facts[self.shard[row]].name)

    def image(self, row: int) -> bytes:
        """Return the PNG of one segment: from a copy of its shard if there is one, else by a range."""
        begin = int(self.offset[row])
        path = self._copy(int(self.shard[row]))
        with suppress(FileNotFoundError), path.open("rb") as file:
            file.seek(begin)
            return file.read(int(self.size[row]))
        return self.storage.read(self.facts[self.shard[row]].name, begin, begin + int(self.size[row]))

    def images(self) -> Iterator[bytes]:
        """Yield the PNGs of all segments in order; each shard is read once, the next one copied meanwhile."""
        groups = [(number, len(list(rows))) for number, rows in groupby(self.shard.tolist())]
        row = 0
        with ThreadPoolExecutor(1) as pool:
            ahead: list[Future[None]] = [pool.submit(self.bring, groups[0][0])] if groups else []
            for place, (number, count) in enumerate(groups):
                ahead.pop().result()
                if place + 1 < len(groups):
                    ahead.append(pool.submit(self.bring, groups[place + 1][0]))
                for _ in range(count):
                    yield self.image(row)
                    row += 1
                if not is_local(self.storage):
                    self._copy(number).unlink(missing_ok=True)

    def bring(self, *numbers: int) -> None:
        """Copy whole shards, unless they are there; raises DataError where one is missing or damaged."""
        if is_local(self.storage):
            return
        missing = []
        for number in numbers:
            try:
                os.utime(self._copy(number))  # it was used last: others go first
            except FileNotFoundError:
                missing.append(number)
        if not missing:
            return
        with self._lock:
            self._make_room(sum(self.facts[number].bytes for number in missing))
        with ThreadPoolExecutor(min(DOWNLOADS, len(missing))) as pool:
            list(pool.map(self._download, missing))

    def _copy(self, number: int) -> Path:
        name = self.facts[number].name
        return Path(self.storage.url, name) if is_local(self.storage) else self._folder / name.rpartition("/")[2]

    def _download(self, number: int) -> None:
        facts = self.facts[number]
        where, entry = join(self.storage.url, facts.name), self.storage.head(facts.name)
        if entry is None:
            raise DataError(f"{where} is missing, although it was sealed; {REMEDY}")
        with replacing(self._copy(number)) as temporary:
            save(self.storage, entry, temporary)
            if digest(temporary) != facts.digest:
                raise DataError(f"{where} was changed after sealing (its digest differs); {REMEDY}")

    def _make_room(self, size: int) -> None:
        """Remove the copies that were used longest ago until so many bytes more are not too many."""
        copies = []
        for path in self._folder.glob("*.tar"):
            with suppress(FileNotFoundError):
                stat = path.stat()
                copies.append((stat.st_mtime, stat.st_size, path))
        total, limit = size + sum(bytes_ for _, bytes_, _ in copies), local_bytes()
        for _, bytes_, path in sorted(copies):
            if total <= limit:
                return
            path.unlink(missing_ok=True)
            total -= bytes_
