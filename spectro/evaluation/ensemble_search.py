"""Ensemble selection on validation: which members to keep and how to combine them, and how optimistic choosing is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from spectro.core.arrays import Floats, Items, Mask, Probs
from spectro.core.card import Combination, RuleFacts, SelectionFacts
from spectro.core.errors import RunError
from spectro.core.predictions import VOTES
from spectro.evaluation.ensemble_fit import fit_stacking, fit_weights
from spectro.inference.combination import FLOOR, combine

FOLDS = 5
"""Folds of the validation groups; each in turn evaluates a choice that was made on the others."""


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
        """By how much the log loss of the search is too low."""
        return self.held_out - self.losses[-1]

    def facts(self, names: Sequence[str]) -> SelectionFacts:
        """Return what the card keeps; `names` are those of all candidates."""
        return SelectionFacts(
            chosen=tuple(names[item] for item in self.chosen),
            left_out=tuple(name for item, name in enumerate(names) if item not in self.chosen),
            losses=tuple(round(loss, 6) for loss in self.losses),
            held_out=round(self.held_out, 6),
            optimism=round(self.optimism, 6),
        )


def double_fault(right: Mask) -> Floats:
    """Return how often two members err together, `[members, members]`; low is diverse [Giacinto and Roli, 2001].

    Parameters
    ----------
    right
        `[members, items]`, whether each is right.
    """
    wrong = (~right).astype(np.float64)
    shares: Floats = wrong @ wrong.T / right.shape[1]
    return shares


def search_members(members: Probs, truth: Items, groups: Sequence[str]) -> EnsembleSelection:
    """Choose members greedily: the best one first, then whichever lowers the log loss of their mean the most.

    It stops when none does, even after the first: a member that does not help would only make the best worse
    [Caruana et al., 2004, without repetition].

    Parameters
    ----------
    members
        `[members, items, classes]`, validation probabilities.
    truth
        `[items]`, true classes.
    groups
        Group of each item; a group is never both chosen on and evaluated on.

    Raises
    ------
    RunError
        There is only one group.
    """
    chosen, losses = _greedy(members, truth)
    held_out = np.empty(len(truth))
    for kept, held in _folds(groups):
        best, _ = _greedy(members[:, kept], truth[kept])
        held_out[held] = members[best][:, held].mean(axis=0)[np.arange(held.sum()), truth[held]]
    return EnsembleSelection(chosen=tuple(chosen), losses=tuple(losses), held_out=_loss(held_out))


def choose_combination(
    members: Probs, truth: Items, groups: Sequence[str]
) -> tuple[Combination, tuple[RuleFacts, ...]]:
    """Compare every way of combining by cross-validation over the validation groups.

    Parameters
    ----------
    members
        `[members, items, classes]`, validation probabilities.
    truth
        `[items]`, true classes.
    groups
        Group of each item.

    Returns
    -------
    tuple[Combination, tuple[RuleFacts, ...]]
        The way with the highest accuracy (of equals, with the lowest log loss), fitted on all of validation; and how
        each way did.

    Raises
    ------
    RunError
        There is only one group.
    """
    ways: dict[str, Callable[[Probs, Items], Combination]] = {
        **{vote: _fixed(vote) for vote in VOTES},
        "fitted": fit_weights,
        "per-class": lambda probs, true: fit_weights(probs, true, per_class=True),
        "stacked": fit_stacking,
    }
    folds = list(_folds(groups))
    rules = []
    ranks: dict[str, tuple[float, float]] = {}
    for rule, fit in ways.items():
        probs = np.empty(members.shape[1:])
        try:
            for kept, held in folds:
                probs[held] = combine(fit(members[:, kept], truth[kept]), members[:, held])
        except RunError as error:
            rules.append(RuleFacts(rule=rule, accuracy=None, log_loss=None, impossible=str(error)))
            continue
        accuracy = float((probs.argmax(axis=1) == truth).mean())
        loss = _loss(probs[np.arange(len(truth)), truth])
        ranks[rule] = (accuracy, -loss)
        rules.append(RuleFacts(rule=rule, accuracy=accuracy, log_loss=loss, impossible=""))
    best = max(ranks, key=lambda rule: ranks[rule])
    return ways[best](members, truth), tuple(rules)


def _fixed(vote: str) -> Callable[[Probs, Items], Combination]:
    return lambda probs, true: Combination(vote=vote)


def _greedy(members: Probs, truth: Items) -> tuple[list[int], list[float]]:
    """Return the members taken, and the log loss after each."""
    probs = members[:, np.arange(len(truth)), truth]
    chosen: list[int] = []
    losses: list[float] = []
    while len(chosen) < len(members):
        others = [item for item in range(len(members)) if item not in chosen]
        tried = {item: _loss(probs[[*chosen, item]].mean(axis=0)) for item in others}
        best = min(tried, key=lambda item: tried[item])
        if chosen and tried[best] >= losses[-1]:
            break
        chosen.append(best)
        losses.append(tried[best])
    return chosen, losses


def _folds(groups: Sequence[str]) -> Iterator[tuple[Mask, Mask]]:
    """Yield masks of the items to choose on and of those to evaluate on, no group being in both."""
    names = np.unique(np.asarray(groups))
    if len(names) < 2:
        raise RunError("choosing needs validation clips of at least 2 groups, but there is 1; make val larger")
    shuffled = np.random.default_rng(0).permutation(names)
    for part in np.array_split(shuffled, min(FOLDS, len(names))):
        held = np.isin(np.asarray(groups), part)
        yield ~held, held


def _loss(probs: Floats) -> float:
    """Return the log loss from the probabilities of the true classes."""
    return float(-np.log(np.clip(probs, FLOOR, None)).mean())
