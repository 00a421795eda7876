"""Recordings in the order given, each with its segments, read in this process or ahead by worker processes."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from types import TracebackType

from spectro.data.engines.local import cores
from spectro.inference.readers import AHEAD, Readers, Reading
from spectro.inference.reading import Ending, Input, Piece, read_recording
from spectro.inference.sources import Source, as_file, name_of

ENOUGH, LARGE = 4, 16 << 20
"""Files, or bytes of files, that a worker must get so that starting it is worth it."""


class Supply:
    """What a model is fed, recording by recording; a context that ends its workers.

    Parameters
    ----------
    sources
        Paths, open files or arrays. Only paths are read by workers.
    inputs
        What the models are fed.
    workers
        Number of processes; 0 for one per core, and fewer where starting them would take longer than reading a few
        small files. None is started for a single source, or with 1.
    stamped
        Note size and checksum of each file.
    """

    def __init__(self, sources: Iterable[Source], inputs: Sequence[Input], *, workers: int, stamped: bool) -> None:
        self._inputs, self._stamped = inputs, stamped
        rest = iter(sources)
        first = list(islice(rest, workers or cores() * ENOUGH))
        count = min(len(first), workers or _useful(first))
        self._sources = enumerate(chain(first, rest), 1)
        self._readers = Readers(inputs, count, stamped=stamped) if count > 1 else None
        self._queue: deque[tuple[str, Iterable[Piece | Ending]]] = deque()
        if self._readers:
            self._look_ahead()

    def __enter__(self) -> Supply:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._readers:
            self._readers.stop()

    def __iter__(self) -> Iterator[tuple[str, Iterable[Piece | Ending]]]:
        """Yield the name of each source and its segments, with what became of it behind them; to be read in turn."""
        while True:
            self._look_ahead()
            if not self._queue:
                return
            yield self._queue.popleft()

    def _look_ahead(self) -> None:
        wanted = AHEAD if self._readers else 1
        for number, source in islice(self._sources, max(0, wanted - len(self._queue))):
            name = name_of(source, number)
            self._queue.append((name, self._read(source, name)))

    def _read(self, source: Source, name: str) -> Reading | Iterator[Piece | Ending]:
        if self._readers and isinstance(source, str | Path):
            return self._readers.read(Path(source), name)
        return self._read_here(source, name)

    def _read_here(self, source: Source, name: str) -> Iterator[Piece | Ending]:
        with as_file(source, name) as path:
            yield from read_recording(path, name, self._inputs, stamped=self._stamped)


def _useful(first: Sequence[Source]) -> int:
    """Return how many workers the first sources are worth, at most one per core."""
    paths = [source for source in first if isinstance(source, str | Path)]
    size = sum(os.path.getsize(path) for path in paths if os.path.isfile(path))
    return min(cores(), max(len(paths) // ENOUGH, size // LARGE))
