"""Dealing whole groups to folds so that every class keeps its share in each, decided by a seed and nothing else."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

FoldName = TypeVar("FoldName", bound=str)
Counts = NDArray[np.float64]


def assign_groups(
    groups: Mapping[str, Mapping[str, int]], shares: Mapping[FoldName, float], *, seed: int
) -> dict[str, FoldName]:
    """Deal each group to one fold, keeping every class near its share in every fold.

    First each class gets one group in each fold, rarest class first and the group that fits the fold's need best; then
    the rest is dealt, largest group first, each to the fold where it lowers the squared error relative to the need
    most. The outcome depends on the seed and on what is dealt, not on the order in which it is given.

    Parameters
    ----------
    groups
        Number of items of each class in each group.
    shares
        Wanted share of each fold; they sum to 1. A class with fewer groups than folds serves the first ones first, or
        where all shares are equal the emptiest.
    seed
        Another seed breaks ties otherwise.

    Returns
    -------
    dict
        Fold of each group.
    """
    folds = [fold for fold, share in shares.items() if share > 0]
    labels = sorted({label for counts in groups.values() for label in counts})
    names = sorted(groups, key=lambda name: hashlib.sha256(f"{seed}\t{name}".encode()).digest())
    column = {label: number for number, label in enumerate(labels)}
    sizes = np.zeros((len(names), len(labels)))
    for row, name in enumerate(names):
        for label, count in groups[name].items():
            sizes[row, column[label]] = count
    needs = np.outer([shares[fold] for fold in folds], sizes.sum(axis=0))
    dealt = np.zeros_like(needs)
    equal = len(set(shares.values())) == 1
    fold_of = np.full(len(names), -1)

    def give(row: int, fold: int) -> None:
        fold_of[row] = fold
        dealt[fold] += sizes[row]

    for label in np.argsort((sizes > 0).sum(axis=0), kind="stable").tolist():
        free = int(((fold_of < 0) & (sizes[:, label] > 0)).sum())
        missing = [fold for fold in range(len(folds)) if dealt[fold, label] == 0]
        if equal:  # no fold comes first, so that the scarce classes do not all end up in the same ones
            missing.sort(key=lambda fold: float(dealt[fold].sum()))
        for fold in sorted(missing[:free], key=lambda fold: float(needs[fold, label])):
            rows = np.flatnonzero((fold_of < 0) & (sizes[:, label] > 0))
            give(int(rows[np.argmin([_change(sizes[row], dealt[fold], needs[fold]) for row in rows])]), fold)
    for row in sorted(np.flatnonzero(fold_of < 0).tolist(), key=lambda row: -float(sizes[row].sum())):
        give(row, int(np.argmin(_change(sizes[row], dealt, needs))))
    return {name: folds[fold] for name, fold in zip(names, fold_of, strict=True)}


def _change(size: Counts, dealt: Counts, need: Counts) -> Counts:
    """Change of the sum of (dealt - need)^2 / need over the classes when a group of `size` joins."""
    terms = np.divide(size * (size + 2 * (dealt - need)), need, out=np.zeros_like(need), where=need > 0)
    change: Counts = terms.sum(axis=-1)
    return change


def imbalance(counts: Mapping[str, Sequence[int]]) -> float:
    """Return the largest gap between a class's share of a fold and its share of all, from 0 (none) to 1.

    Parameters
    ----------
    counts
        Number of items in each fold, by class.
    """
    table = np.array(list(counts.values()), dtype=float)
    table = table[:, table.sum(axis=0) > 0]
    shares, overall = table / table.sum(axis=0), table.sum(axis=1, keepdims=True) / table.sum()
    return float(np.abs(shares - overall).max())
