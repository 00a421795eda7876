"""A run in memory: one classifier, or the members of an ensemble, and how they vote."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spectro.core.arrays import Floats, Probs
from spectro.core.card import Card
from spectro.core.predictions import VOTES
from spectro.core.runs import Run
from spectro.inference.classifier import Classifier, load_classifier
from spectro.inference.combination import combine


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A run in memory: a classifier, or the members of an ensemble."""

    card: Card
    classifier: Classifier | None
    members: tuple[LoadedModel, ...]

    @classmethod
    def load(cls, run: Run, device: str, loaded: dict[Path, LoadedModel]) -> LoadedModel:
        """Load a run and its members, each once, into `loaded`."""
        if run.path not in loaded:
            members = tuple(cls.load(member, device, loaded) for member in run.members())
            classifier = None if members else load_classifier(run, device)
            loaded[run.path] = cls(run.card, classifier, members)
        return loaded[run.path]

    def leaves(self) -> tuple[LoadedModel, ...]:
        """Return the models with a classifier, each once."""
        return tuple(dict.fromkeys(leaf for member in self.members for leaf in member.leaves())) or (self,)

    def vote(self, probs: Mapping[LoadedModel, Probs], aligned: bool) -> tuple[Floats, Probs]:
        """Return the clip's probabilities `[classes]`, and if `aligned` those of its segments `[segments, classes]`."""
        combination = self.card.combination
        if combination is None:
            return VOTES[self.card.vote](probs[self]), probs[self]
        clips, segments = zip(*(member.vote(probs, aligned) for member in self.members), strict=True)
        clip = combine(combination, np.stack(clips)[:, None])[0]
        return clip, combine(combination, np.stack(segments)) if aligned else np.empty((0, len(self.card.labels)))
