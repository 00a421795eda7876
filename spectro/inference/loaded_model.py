"""A run in memory: one classifier, or the members of an ensemble, and how they vote."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from spectro.core.alignment import describe_difference, require_vote
from spectro.core.arrays import Floats, Probs
from spectro.core.card import Card, Combination
from spectro.core.errors import ConfigError, RunError
from spectro.core.predictions import VOTES
from spectro.core.runs import Run
from spectro.inference.classifier import Classifier, load_classifier
from spectro.inference.combination import check_combination, combine


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A run in memory: a classifier, or the members of an ensemble."""

    card: Card
    classifier: Classifier | None
    members: tuple[LoadedModel, ...]

    @classmethod
    def load(cls, run: Run, device: str, loaded: dict[Path, LoadedModel]) -> LoadedModel:
        """Load a run and its members, each once, into `loaded`.

        Raises
        ------
        RunError
            a run is unfinished or damaged, or an ensemble and its members do not fit together.
        ConfigError
            there is no such device.
        """
        place = run.path.resolve()
        if place not in loaded:
            card = run.card
            require_vote(run)
            members = tuple(cls.load(member, device, loaded) for member in run.members()) if card.is_ensemble else ()
            if card.combination is not None and card.is_ensemble:
                _check_members(run, card.combination, members)
            loaded[place] = cls(card, None if card.is_ensemble else load_classifier(run, device), members)
        return loaded[place]

    @cached_property
    def leaves(self) -> tuple[LoadedModel, ...]:
        """The models with a classifier, each once."""
        return tuple(dict.fromkeys(leaf for member in self.members for leaf in member.leaves)) or (self,)

    def vote(self, probs: Mapping[LoadedModel, Probs], aligned: bool) -> tuple[Floats, Probs]:
        """Return the clip's probabilities `[classes]`, and if `aligned` those of its segments `[segments, classes]`."""
        return self._vote(probs, aligned, {})

    def _vote(
        self, probs: Mapping[LoadedModel, Probs], aligned: bool, known: dict[LoadedModel, tuple[Floats, Probs]]
    ) -> tuple[Floats, Probs]:
        """Let each model vote once, however often it is a member."""
        if self not in known:
            combination = self.card.combination
            if self.classifier is not None or combination is None:
                known[self] = VOTES[self.card.vote](probs[self]), probs[self]
            else:
                clips, segments = zip(*(member._vote(probs, aligned, known) for member in self.members), strict=True)
                clip = combine(combination, np.stack(clips)[:, None])[0]
                none = np.empty((0, len(self.card.labels)))
                known[self] = clip, combine(combination, np.stack(segments)) if aligned else none
        return known[self]


def _check_members(run: Run, combination: Combination, members: Sequence[LoadedModel]) -> None:
    """Refuse members with other classes than the ensemble, and a combination of other members or classes."""
    labels = run.card.labels
    for member, model in zip(run.card.members, members, strict=True):
        if model.card.labels != labels:
            difference = describe_difference(labels, model.card.labels)
            raise RunError(
                f"{run.path} and its member {member.path} have different labels: {difference}; make the ensemble again"
            )
    try:
        check_combination(combination, len(members), len(labels))
    except ConfigError as error:
        raise RunError(f"{run.card_path}: {error}; make the ensemble again") from None
