"""Combine the members of an ensemble: by a vote rule, by weights, or by stacking."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from spectro.core.arrays import Floats, Probs, softmax
from spectro.core.card import Combination
from spectro.core.config import require
from spectro.core.predictions import VOTES, Predictions

FLOOR = 1e-6
"""Smallest probability whose logarithm is taken: a hard vote easily gives 0, which is not meant as impossible."""


def combine(combination: Combination, members: Probs) -> Probs:
    """Combine the probabilities of the members of an ensemble.

    Parameters
    ----------
    combination
        The rule, weights or stacking coefficients.
    members
        `[members, items, classes]`.

    Returns
    -------
    Probs
        `[items, classes]`.
    """
    count, items, classes = members.shape
    if combination.coefficients:
        features = np.log(np.clip(members, FLOOR, None)).transpose(1, 0, 2).reshape(items, count * classes)
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is refused where it is given
            return softmax(features @ np.asarray(combination.coefficients).T + np.asarray(combination.intercept))
    if combination.weights:
        with np.errstate(over="ignore", invalid="ignore"):
            return weighted_mean(np.asarray(combination.weights, dtype=np.float64), members)
    return VOTES[combination.vote](members.transpose(1, 0, 2))


def check_combination(combination: Combination, members: int, classes: int) -> None:
    """Refuse a combination that is not one of so many members and classes; raises ConfigError."""
    VOTES[combination.vote]  # raises where there is none of that name
    weights = {len(row) if isinstance(row, tuple) else 1 for row in combination.weights}
    require(
        not combination.weights or (len(combination.weights) == members and weights in ({1}, {classes})),
        f"combination.weights are of {len(combination.weights)} members, but must be of {members}, "
        f"each one number or {classes}",
    )
    widths = {len(row) for row in combination.coefficients}
    require(
        not combination.coefficients
        or (len(combination.coefficients) == len(combination.intercept) == classes and widths == {members * classes}),
        f"combination.coefficients and intercept must be of {classes} classes and {members} members",
    )


def combine_predictions(combination: Combination, members: Sequence[Predictions]) -> Predictions:
    """Combine predictions of the same items, in the same order; ids, groups and truth are those of the first."""
    return replace(members[0], probs=combine(combination, np.stack([member.probs for member in members])))


def member_weights(combination: Combination, count: int) -> list[float | tuple[float, ...] | None]:
    """Return the weight of each of `count` members as the card lists it: a number, one per class, None if stacked."""
    if combination.coefficients:
        return [None] * count
    if not combination.weights:
        return [1 / count] * count
    weights = np.asarray(combination.weights, dtype=np.float64)
    shares = (weights / weights.sum(axis=0)).tolist()
    return [tuple(share) if isinstance(share, list) else share for share in shares]


def weighted_mean(weights: Floats, members: Probs) -> Probs:
    """Return the weighted mean over members.

    Parameters
    ----------
    weights
        `[members]` or `[members, classes]`, not negative.
    members
        `[members, items, classes]`.

    Returns
    -------
    Probs
        `[items, classes]`, rows normalized to sum to 1; uniform where all weighted probabilities are 0.
    """
    if weights.ndim == 1:
        weights = weights[:, None]
    mixed = (weights[:, None, :] * members).sum(axis=0)
    total = mixed.sum(axis=1, keepdims=True)
    uniform = np.full_like(mixed, 1 / mixed.shape[1])  # every class was ruled out by the only members weighted for it
    shares: Probs = np.divide(mixed, total, out=uniform, where=total > 0)
    return shares
