"""Spectrograms in sealed shards: packed into one array where they fit on this machine, else streamed shard by shard."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import numpy as np

from spectro.core.arrays import Image, Items
from spectro.core.errors import ConfigError, DataError
from spectro.core.files import digest_text
from spectro.core.sealed_tables import LIMIT, REMEDY, local_bytes
from spectro.core.tables import Segment
from spectro.data.engines.local import cores
from spectro.data.lots.names import MANIFEST
from spectro.data.lots.shard_files import ShardFiles
from spectro.data.store import Store, picture_shape

WINDOW = 1 << 30
"""Bytes of shards whose items are shuffled among each other: the larger, the nearer to a free order."""


@dataclass(frozen=True)
class ShardStore(Store):
    """The spectrograms of a sealed rendering: its tables are in `path.parent`, its images in shards at `url`."""

    url: str = ""
    """Folder or URL of the sealed rendering."""

    @cached_property
    def files(self) -> ShardFiles:
        """The shards."""
        files = ShardFiles(self.url, self.path.parent)
        if len(files.shard) != len(self.segments):
            raise DataError(f"{self.url}: its index lists other segments than segments.csv; {REMEDY}")
        return files

    @property
    def streamed(self) -> bool:
        """Whether the array would be larger than what may be kept on this machine."""
        bands, frames = picture_shape(self.config)
        return len(self.segments) * bands * frames > local_bytes()

    def digest(self) -> str:
        """Hash what was sealed; streamed items come in another order, and so count as others."""
        content = super().digest()
        return digest_text(content, "streamed") if self.streamed else content

    def images(self) -> Iterator[tuple[Segment, bytes]]:
        """Yield each segment with the bytes of its PNG, checked, reading each shard once."""
        for segment, data in zip(self.segments, self.files.images(), strict=True):
            self._decode(segment, data)
            yield segment, data

    @cached_property
    def _array(self) -> Image:
        if self.streamed:  # it is indexed as an array is, which is all that readers do
            return cast(Image, StreamedImages(self))
        return super()._array

    @cached_property
    def _content(self) -> str:
        tables = self.files.sealed.tables
        return digest_text(tables[MANIFEST], tables[f"{self.path.name}/segments.csv"])

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {segment.id: row for row, segment in enumerate(self.segments)}

    def _blocks(self) -> Iterator[Image]:
        for segment, data in zip(self.segments, self.files.images(), strict=True):
            yield self._decode(segment, data)[None]

    def _bytes(self, segment: Segment) -> bytes:
        return self.files.image(self._rows[segment.id])

    def _unusable(self, segment: Segment, what: str) -> DataError:
        where = self.files.where(self._rows[segment.id])
        return DataError(f"{segment.id} in {where} {what}; {REMEDY}")


class StreamedImages:
    """Spectrograms `[items, bands, frames]` that are read from copies of shards, of which few are kept at a time.

    Parameters
    ----------
    store
        Where they are; a copy of each shard is made when one of its items is read.

    Raises
    ------
    ConfigError
        less may be kept than two windows of shards.
    """

    def __init__(self, store: ShardStore) -> None:
        self._store, self._files = store, store.files
        largest = max((one.bytes for one in self._files.facts), default=0)
        if local_bytes() < (least := 2 * WINDOW + largest):
            raise ConfigError(f"{LIMIT} is less than {least / 1e9:.2g}, which streaming takes; raise it")
        self.shape = (len(store.segments), *picture_shape(store.config))
        self.dtype = np.dtype(np.uint8)
        self.nbytes = int(np.prod(self.shape))
        self._pool = ThreadPoolExecutor(cores())

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> Image:
        rows = np.arange(len(self))[key]
        self._files.bring(*np.unique(self._files.shard[rows]).tolist())
        if not rows.ndim:
            return self._image(int(rows))
        images = list(self._pool.map(self._image, rows.tolist()))
        return np.stack(images) if images else np.zeros((0, *self.shape[1:]), np.uint8)

    def shuffled(self, items: Items, rng: np.random.Generator) -> Items:
        """Return items in a random order in which each shard is needed for a short while only.

        Shards come in a random order, and in windows of `WINDOW` bytes of them; inside of each the items are shuffled.

        Parameters
        ----------
        items
            Indices; all of them come, as often as they are given.
        rng
            Decides the order, with nothing else.
        """
        sizes = np.array([one.bytes for one in self._files.facts], np.int64)
        order = rng.permutation(len(sizes))
        window = np.empty(len(sizes), np.int64)
        window[order] = np.cumsum(sizes[order]) // WINDOW
        return items[np.lexsort((rng.random(len(items)), window[self._files.shard[items]]))]

    def _image(self, row: int) -> Image:
        segment = self._store.segments[row]
        return self._store._decode(segment, self._files.image(row))
