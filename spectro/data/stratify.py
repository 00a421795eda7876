"""Stratified group split: assign whole groups to folds, preserving class proportions; deterministic for a seed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np

from spectro.core.arrays import Floats

FoldName = TypeVar("FoldName", bound=str)


def assign_groups(
    groups: Mapping[str, Mapping[str, int]], shares: Mapping[FoldName, float], *, seed: int
) -> dict[str, FoldName]:
    """Assign each group to one fold, keeping every class near its share in every fold.

    First each class is given one group in each fold, rarest class first, choosing the group that fits the fold's need
    best. Then the remaining groups follow, largest first, each into the fold where it lowers the squared error relative
    to the need most. The result depends on the seed and on the groups, not on their order.

    Parameters
    ----------
    groups
        Number of items of each class in each group.
    shares
        Wanted share of each fold; they sum to 1. A class with fewer groups than folds goes to the first folds, or where
        all shares are equal to the emptiest.
    seed
        Decides between equally good choices.

    Returns
    -------
    dict
        Fold of each group.
    """
    folds = [fold for fold, share in shares.items() if share > 0]
    labels = sorted({label for counts in groups.values() for label in counts})
    names = sorted(groups, key=lambda name: hashlib.sha256(f"{seed}\t{name}".encode()).digest())
    sizes = _sizes([groups[name] for name in names], labels)
    needs = np.outer([shares[fold] for fold in folds], sizes.sum(axis=0))
    filled = np.zeros_like(needs)
    equal = len(set(shares.values())) == 1
    fold_of = np.full(len(names), -1)

    def give(row: int, fold: int) -> None:
        fold_of[row] = fold
        filled[fold] += sizes[row]

    for label in np.argsort((sizes > 0).sum(axis=0), kind="stable").tolist():
        free = int(((fold_of < 0) & (sizes[:, label] > 0)).sum())
        missing = [fold for fold in range(len(folds)) if filled[fold, label] == 0]
        if equal:  # no fold comes first, so that the scarce classes do not all end up in the same ones
            missing.sort(key=lambda fold: float(filled[fold].sum()))
        for fold in sorted(missing[:free], key=lambda fold: float(needs[fold, label])):
            rows = np.flatnonzero((fold_of < 0) & (sizes[:, label] > 0))
            give(int(rows[np.argmin([_change(sizes[row], filled[fold], needs[fold]) for row in rows])]), fold)
    for row in sorted(np.flatnonzero(fold_of < 0).tolist(), key=lambda row: -float(sizes[row].sum())):
        give(row, int(np.argmin(_change(sizes[row], filled, needs))))
    return {name: folds[fold] for name, fold in zip(names, fold_of, strict=True)}


def imbalance(counts: Mapping[str, Sequence[int]]) -> float:
    """Return the largest gap between a class's share of a fold and its share of all items.

    Parameters
    ----------
    counts
        Number of items in each fold, by class.

    Returns
    -------
    float
        From 0 (none) to 1.
    """
    table = np.array(list(counts.values()), dtype=float)
    table = table[:, table.sum(axis=0) > 0]
    shares, overall = table / table.sum(axis=0), table.sum(axis=1, keepdims=True) / table.sum()
    return float(np.abs(shares - overall).max())


def _sizes(groups: Sequence[Mapping[str, int]], labels: Sequence[str]) -> Floats:
    """Return the number of items of each class in each group, `[groups, classes]`."""
    return np.array([[counts.get(label, 0) for label in labels] for counts in groups], dtype=float)


def _change(size: Floats, filled: Floats, need: Floats) -> Floats:
    """Return the change of the sum of (filled - need)^2 / need over the classes when a group of `size` joins."""
    terms = np.divide(size * (size + 2 * (filled - need)), need, out=np.zeros_like(need), where=need > 0)
    change: Floats = terms.sum(axis=-1)
    return change
