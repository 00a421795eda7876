"""How the members of an ensemble are combined: by a vote rule, by weights, or by stacking."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spectro.core.arrays import softmax
from spectro.core.errors import ConfigError
from spectro.core.predictions import VOTES, Predictions, Probs

FLOOR = 1e-6
"""Smallest probability whose logarithm is taken: a hard vote says 0 too easily to be believed for ever."""


@dataclass(frozen=True, kw_only=True)
class Combination:
    """A way from the probabilities of members, `[members, items, classes]`, to those of the ensemble."""

    vote: str = "soft"
    """Rule by which members decide, as segments of a clip would (one of `VOTES`)."""
    weights: tuple[float, ...] | tuple[tuple[float, ...], ...] = ()
    """A weight per member, or per member and class; none for equal ones."""
    coefficients: tuple[tuple[float, ...], ...] = ()
    """Of stacking: `[classes, members * classes]`, applied to the members' log-probabilities."""
    intercept: tuple[float, ...] = ()
    """Of stacking: `[classes]`."""

    def __post_init__(self) -> None:
        weights = np.asarray(self.weights, dtype=np.float64)
        if weights.size and not (
            np.isfinite(weights).all() and (weights >= 0).all() and (weights.sum(axis=0) > 0).all()
        ):
            raise ConfigError(f"weights are {self.weights}, but must not be negative, and not all 0")

    def probs(self, members: Probs) -> Probs:
        """Combine `[members, items, classes]` to `[items, classes]`."""
        count, items, classes = members.shape
        if self.coefficients:
            features = np.log(np.clip(members, FLOOR, None)).transpose(1, 0, 2).reshape(items, count * classes)
            return softmax(features @ np.asarray(self.coefficients).T + np.asarray(self.intercept))
        if self.weights:
            return weighted_mean(np.asarray(self.weights, dtype=np.float64), members)
        rule = VOTES[self.vote]
        return np.array([rule(members[:, item]) for item in range(items)]).reshape(items, classes)

    def apply(self, members: Sequence[Predictions]) -> Predictions:
        """Combine predictions of the same items, in the same order."""
        return replace(members[0], probs=self.probs(np.stack([member.probs for member in members])))

    def member_weights(self, members: int) -> list[float | list[float] | None]:
        """Return each member's weight as the card lists it: a number, a list per class, or None under stacking."""
        if self.coefficients:
            return [None] * members
        if not self.weights:
            return [1 / members] * members
        weights = np.asarray(self.weights, dtype=np.float64)
        shares: list[float | list[float] | None] = (weights / weights.sum(axis=0)).tolist()
        return shares

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values for the card."""
        return {
            "vote": self.vote,
            "weights": np.asarray(self.weights).tolist(),
            "coefficients": np.asarray(self.coefficients).tolist(),
            "intercept": list(self.intercept),
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Combination:
        """Build from what `to_dict` returned."""
        weights = values["weights"]
        return cls(
            vote=values["vote"],
            weights=tuple(tuple(row) if isinstance(row, list) else row for row in weights),
            coefficients=tuple(tuple(row) for row in values["coefficients"]),
            intercept=tuple(values["intercept"]),
        )


def weighted_mean(weights: NDArray[np.float64], members: Probs) -> Probs:
    """Weighted mean over members, `weights` per member or per member and class, normalized to sum to 1."""
    if weights.ndim == 1:
        weights = weights[:, None]
    mixed = (weights[:, None, :] * members).sum(axis=0)
    total = mixed.sum(axis=1, keepdims=True)
    uniform = np.full_like(mixed, 1 / mixed.shape[1])  # each class ruled out by the only members heard on it
    shares: Probs = np.divide(mixed, total, out=uniform, where=total > 0)
    return shares
