"""Which runs belong in an ensemble, and how to combine them: chosen on validation, the optimism of choosing stated."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spectro.core.errors import RunError
from spectro.core.predictions import VOTES, Probs
from spectro.evaluation.ensemble_fit import fit_stacking, fit_weights
from spectro.inference.combination import FLOOR, Combination

Truth = NDArray[np.int64]
FOLDS = 5
"""Parts of the validation groups, of which each in turn judges a choice made on the others."""


@dataclass(frozen=True, kw_only=True)
class EnsembleSelection:
    """Members chosen on validation."""

    chosen: tuple[int, ...]
    """Indices, in the order in which they were taken."""
    losses: tuple[float, ...]
    """Log loss on validation after each was taken."""
    held_out: float
    """Log loss on validation clips that had no part in the choice: the whole search repeated without them."""

    @property
    def optimism(self) -> float:
        """By how much the search flatters itself."""
        return self.held_out - self.losses[-1]

    def to_dict(self, names: Sequence[str]) -> dict[str, Any]:
        """Return plain JSON values for the card."""
        return {
            "chosen": [names[item] for item in self.chosen],
            "left_out": [name for item, name in enumerate(names) if item not in self.chosen],
            "losses": [round(loss, 6) for loss in self.losses],
            "held_out": round(self.held_out, 6),
            "optimism": round(self.optimism, 6),
        }


def double_fault(right: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return how often two members err together, `[members, members]`; low is diverse [Giacinto and Roli, 2001].

    Parameters
    ----------
    right : `[members, items]`, whether each is right
    """
    wrong = (~right).astype(np.float64)
    shares: NDArray[np.float64] = wrong @ wrong.T / right.shape[1]
    return shares


def search_members(members: Probs, truth: Truth, groups: Sequence[str]) -> EnsembleSelection:
    """Choose members greedily: the best one first, then whichever lowers the log loss of their mean the most.

    It stops when none does, be it at one: a member that helps nobody would only spoil the best
    [Caruana et al., 2004, without repetition].

    Parameters
    ----------
    members : `[members, items, classes]`, validation probabilities
    truth : `[items]`, true classes
    groups : group of each item; a group is never both chosen on and judged on
    """
    chosen, losses = _greedy(members, truth)
    said = np.empty(len(truth))
    for rest, held in _folds(groups):
        picked, _ = _greedy(members[:, rest], truth[rest])
        said[held] = members[picked][:, held].mean(axis=0)[np.arange(held.sum()), truth[held]]
    return EnsembleSelection(chosen=tuple(chosen), losses=tuple(losses), held_out=_loss(said))


def choose_combination(members: Probs, truth: Truth, groups: Sequence[str]) -> tuple[Combination, list[dict[str, Any]]]:
    """Compare every way of combining by cross-validation over the validation groups.

    Returns
    -------
    The way with the highest accuracy (of equals, with the lowest log loss), fitted on all of validation; and a row per
    way: `rule`, `accuracy`, `log_loss`, or `rule` and `impossible` with the reason.
    """
    ways: dict[str, Callable[[Probs, Truth], Combination]] = {
        **{vote: _fixed(vote) for vote in VOTES},
        "fitted": fit_weights,
        "per-class": lambda probs, true: fit_weights(probs, true, per_class=True),
        "stacked": fit_stacking,
    }
    rows: list[dict[str, Any]] = []
    for rule, fit in ways.items():
        probs = np.empty(members.shape[1:])
        try:
            for rest, held in _folds(groups):
                probs[held] = fit(members[:, rest], truth[rest]).probs(members[:, held])
        except RunError as error:
            rows.append({"rule": rule, "impossible": str(error)})
            continue
        accuracy = float((probs.argmax(axis=1) == truth).mean())
        rows.append({"rule": rule, "accuracy": accuracy, "log_loss": _loss(probs[np.arange(len(truth)), truth])})
    best = max((row for row in rows if "accuracy" in row), key=lambda row: (row["accuracy"], -row["log_loss"]))
    return ways[best["rule"]](members, truth), rows


def _fixed(vote: str) -> Callable[[Probs, Truth], Combination]:
    return lambda probs, true: Combination(vote=vote)


def _greedy(members: Probs, truth: Truth) -> tuple[list[int], list[float]]:
    rows = np.arange(len(truth))
    said = members[:, rows, truth]
    chosen: list[int] = []
    losses: list[float] = []
    while len(chosen) < len(members):
        rest = [item for item in range(len(members)) if item not in chosen]
        tried = {item: _loss(said[[*chosen, item]].mean(axis=0)) for item in rest}
        best = min(tried, key=lambda item: tried[item])
        if chosen and tried[best] >= losses[-1]:
            break
        chosen.append(best)
        losses.append(tried[best])
    return chosen, losses


def _folds(groups: Sequence[str]) -> Iterator[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    """Yield masks of the items to choose on and of those to judge on, no group being in both."""
    names = np.unique(np.asarray(groups))
    if len(names) < 2:
        raise RunError("choosing needs validation clips of at least 2 groups, but there is 1; make val larger")
    shuffled = np.random.default_rng(0).permutation(names)
    for part in np.array_split(shuffled, min(FOLDS, len(names))):
        held = np.isin(np.asarray(groups), part)
        yield ~held, held


def _loss(said: NDArray[np.float64]) -> float:
    return float(-np.log(np.clip(said, FLOOR, None)).mean())
