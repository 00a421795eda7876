"""Weights of items in many resamples at once, kept by group: what is summed is groups, which are fewer than items."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from spectro.core.arrays import Floats, Items, Mask
from spectro.core.errors import ConfigError

BLOCK = 2_000_000
"""Numbers held in memory at a time: 16 MB."""
MOST = 1 << 30
"""Most draws of groups in memory, one byte each."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Weights:
    """How often each item is in each of many resamples; the items of a group are always drawn together."""

    draws: NDArray[Any]
    """`[repeats, groups]`, how often each group was drawn; not negative."""
    index: Items
    """`[items]`, group of each item."""

    @classmethod
    def ones(cls, items: int) -> Weights:
        """Return the one resample that leaves all items as they are."""
        return cls(draws=np.ones((1, 1)), index=np.zeros(items, dtype=np.int64))

    @classmethod
    def of_items(cls, weights: Floats) -> Weights:
        """Return weights `[repeats, items]` that are given for each item by itself."""
        return cls(draws=weights, index=np.arange(weights.shape[1]))

    @classmethod
    def draw(cls, groups: Sequence[str], repeats: int, seed: int) -> Weights:
        """Draw as many groups as there are, with replacement, `repeats` times; `groups` is that of each item.

        Raises
        ------
        ConfigError
            repeats and groups are so many that memory would not suffice.
        """
        number = {name: place for place, name in enumerate(sorted(set(groups)))}
        if len(number) * repeats > MOST:
            raise ConfigError(f"repeats is {repeats}, which is too many for {len(number)} groups; take fewer")
        index = np.fromiter((number[name] for name in groups), dtype=np.int64, count=len(groups))
        return cls(draws=_draws(len(number), repeats, seed), index=index)

    def select(self, items: Mask | Items) -> Weights:
        """Return the weights of the given items only, by index or mask."""
        return Weights(draws=self.draws, index=self.index[items])

    @cached_property
    def total(self) -> Floats:
        """`[repeats]`, sum over all items."""
        return self.sums(np.ones(len(self.index)))

    def sums(self, values: Floats | Mask) -> Floats:
        """Return weighted sums over items, `[repeats]` of values `[items]`, or `[repeats, k]` of `[items, k]`."""
        columns = np.asarray(values, dtype=np.float64).reshape(len(self.index), -1)
        groups = self.draws.shape[1]
        by_group = np.stack([np.bincount(self.index, column, groups) for column in columns.T], axis=1)
        summed: Floats = np.concatenate([block @ by_group for block in self._blocks(groups)])
        return summed[:, 0] if np.ndim(values) == 1 else summed

    def mean(self, values: Floats | Mask) -> Floats:
        """Return weighted means over items, shaped as by `sums`; nan in a resample without items."""
        total = self.total if np.ndim(values) == 1 else self.total[:, None]
        return ratio(self.sums(values), np.broadcast_to(total, (len(self.draws), *np.shape(values)[1:])))

    def counts(self, cells: Items, size: int) -> Floats:
        """Return `[repeats, size]`, the sum of the weights of the items in each cell; `cells` `[items]` in 0..size."""
        table = self.table(cells, size)
        return np.concatenate([part.T for (part,) in self.products(table)])

    def table(self, cells: Items, size: int, shares: Floats | float = 1.0) -> sparse.csr_array:
        """Return `[size, groups]`, how many items (or what `shares` of them) of each group are in each cell."""
        values = np.broadcast_to(np.asarray(shares, dtype=np.float64), len(self.index))
        return sparse.csr_array((values, (cells, self.index)), shape=(size, self.draws.shape[1]))

    def products(self, *tables: sparse.csr_array) -> Iterator[tuple[Floats, ...]]:
        """Yield block by block of the repeats the weighted sums of each table's cells, `[size, repeats of the block]`.

        A table holds each group once per cell, and a group has one weight for all its items: so the work grows with
        what differs between groups, and runs along the repeats, which lie side by side in memory.
        """
        for block in self._blocks(max(self.draws.shape[1], *(table.shape[0] for table in tables))):
            columns = np.ascontiguousarray(block.T)
            yield tuple(np.asarray(table @ columns) for table in tables)

    def _blocks(self, width: int) -> Iterator[Floats]:
        """Yield the draws of some repeats after others, `[repeats, groups]`, as floats."""
        step = max(1, BLOCK // max(1, width))
        for start in range(0, len(self.draws), step):
            yield self.draws[start : start + step].astype(np.float64)


@lru_cache(maxsize=1)  # the levels and metrics of one evaluation have the same groups
def _draws(groups: int, repeats: int, seed: int) -> NDArray[np.uint8]:
    """Return `[repeats, groups]`; a group is drawn once on average, and never 256 times."""
    rng = np.random.default_rng(seed)
    draws = np.empty((repeats, groups), dtype=np.uint8)
    step = max(1, BLOCK // groups)
    for start in range(0, repeats, step):
        part = draws[start : start + step]
        part[...] = rng.multinomial(groups, np.full(groups, 1 / groups), size=len(part))
    draws.flags.writeable = False  # they are shared
    return draws


def ratio(above: Floats, below: Floats) -> Floats:
    """Divide, with nan where the divisor is 0."""
    quotient: Floats = np.divide(above, below, out=np.full(np.shape(above), np.nan), where=below > 0)
    return quotient
