"""Which recordings to label next: those that a model is least sure of, members disagree on, or that are new to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from spectro.core.arrays import Floats, Floats32, Items, Probs
from spectro.core.registry import Registry

TINY = 1e-12


@dataclass(frozen=True, kw_only=True, eq=False)
class Pool:
    """Recordings without a label, as a model sees them."""

    probs: Probs
    """`[clips, classes]`"""
    vectors: Floats32 | None = None
    """`[clips, values]`, features of each, for orders that look for variety; by default the probabilities."""
    known: Floats32 | None = None
    """`[labelled, values]`, features of the clips that have a label."""
    members: Probs | None = None
    """`[members, clips, classes]`, where several models were asked."""
    seed: int = 0
    """Seed of orders that draw."""

    def __len__(self) -> int:
        return len(self.probs)


Order = Callable[[Pool, int], Items]
"""From a pool and a number of clips to that many, the most informative first."""
ORDERS: Registry[Order] = Registry("order")
"""Orders in which recordings are labelled, by name."""


@ORDERS.add("margin")
def margin(pool: Pool, count: int) -> Items:
    """Smallest lead of the most probable class over the second first [Scheffer et al., 2001]."""
    return _highest(-lead(pool.probs), count)


@ORDERS.add("entropy")
def entropy(pool: Pool, count: int) -> Items:
    """Most spread probabilities first."""
    return _highest(entropy_of(pool.probs), count)


@ORDERS.add("disagreement")
def disagreement(pool: Pool, count: int) -> Items:
    """Largest disagreement of the members first: mean divergence from their mean [McCallum and Nigam, 1998].

    Where there is only one model, its entropy takes the place of that.
    """
    if pool.members is None or len(pool.members) < 2:
        return entropy(pool, count)
    mean = pool.members.mean(axis=0)
    return _highest(entropy_of(mean) - np.mean([entropy_of(one) for one in pool.members], axis=0), count)


@ORDERS.add("diverse")
def diverse(pool: Pool, count: int) -> Items:
    """Small leads and variety: the farther from all clips that are labelled or chosen before, the earlier.

    Each step takes the clip with the largest product of its uncertainty and its distance to the nearest of those, a
    k-center greedy choice [Sener and Savarese, 2018] weighted by the margin.
    """
    vectors = np.asarray(pool.probs if pool.vectors is None else pool.vectors, np.float64)
    centre, spread = vectors.mean(axis=0), vectors.std(axis=0)
    scaled = (vectors - centre) / np.where(spread > 0, spread, 1)
    distance = np.full(len(vectors), np.inf)
    if pool.known is not None and len(pool.known):
        known = (np.asarray(pool.known, np.float64) - centre) / np.where(spread > 0, spread, 1)
        distance = np.array([np.linalg.norm(known - row, axis=1).min() for row in scaled])
    uncertainty = 1 - lead(pool.probs) + 1e-3
    chosen: list[int] = []
    for _ in range(min(count, len(vectors))):
        best = int((uncertainty * np.where(np.isinf(distance), 1, distance)).argmax())
        chosen.append(best)
        uncertainty[best] = -1
        distance = np.minimum(distance, np.linalg.norm(scaled - scaled[best], axis=1))
    return np.array(chosen, dtype=np.int64)


@ORDERS.add("random")
def random(pool: Pool, count: int) -> Items:
    """Draw at random, to compare with."""
    return np.random.default_rng(pool.seed).permutation(len(pool))[:count]


def lead(probs: Probs) -> Floats:
    """Return how far the most probable class is ahead of the second, `[clips]`, 0..1."""
    if probs.shape[1] < 2:
        return np.ones(len(probs))
    ranked = np.sort(probs, axis=1)
    ahead: Floats = ranked[:, -1] - ranked[:, -2]
    return ahead


def entropy_of(probs: Probs) -> Floats:
    """Return the entropy of each row, `[clips]`, in nats."""
    spread: Floats = -(probs * np.log(np.maximum(probs, TINY))).sum(axis=1)
    return spread


def _highest(scores: Floats, count: int) -> Items:
    return np.argsort(-scores, kind="stable")[:count]
