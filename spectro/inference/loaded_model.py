"""A run in memory: one classifier, or the members of an ensemble, and how they vote."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import cast

import numpy as np

from spectro.core.alignment import describe_difference, require_vote
from spectro.core.arrays import Floats, Probs
from spectro.core.card import Card, Combination
from spectro.core.errors import ConfigError, RunError
from spectro.core.predictions import VOTES
from spectro.core.runs import Run
from spectro.inference.classifier import Classifier, load_classifier
from spectro.inference.combination import check_combination, combine
from spectro.inference.onnx_file import ExportedModel
from spectro.inference.openset import OpenSet, ScoredClassifier
from spectro.inference.waveform import Waveform


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A run in memory: a classifier, or the members of an ensemble."""

    card: Card
    source: Callable[[], Classifier] | None
    """Loads its classifier; None for an ensemble."""
    members: tuple[LoadedModel, ...]
    waveform: Waveform | None = None
    """How recordings become samples, for a model that is fed those."""
    openset: OpenSet | None = None
    """How sounds of no known class are recognized, for the model that is asked; its members are not asked for it."""

    @cached_property
    def classifier(self) -> Classifier | None:
        """The classifier, loaded when it is first asked for; None for an ensemble."""
        return self.source() if self.source else None

    @property
    def asked(self) -> Classifier | None:
        """What is asked about segments: the classifier, or one that also gives what its open set keeps of each."""
        if self.classifier is None or self.openset is None or not self.openset.needs_features:
            return self.classifier
        return cast(Classifier, ScoredClassifier(self.classifier, self.openset))

    def load_all(self) -> None:
        """Load all classifiers that are not loaded yet; raises what `load_classifier` raises."""
        for leaf in self.leaves:
            leaf.classifier  # noqa: B018  # it is loaded by that

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
        model = cls.of_cards(run, device, loaded)
        model.load_all()
        return model

    @classmethod
    def of_cards(cls, run: Run, device: str, loaded: dict[Path, LoadedModel]) -> LoadedModel:
        """Read the cards of a run and its members, each once, into `loaded`; what they are of is loaded when needed.

        Raises
        ------
        RunError
            a card is missing or damaged, or an ensemble and its members do not fit together.
        """
        place = run.path.resolve()
        if place not in loaded:
            card = run.card
            require_vote(run)
            members = tuple(cls.of_cards(one, device, loaded) for one in run.members()) if card.is_ensemble else ()
            if card.combination is not None and card.is_ensemble:
                _check_members(run.path, card, card.combination, members)
            loaded[place] = cls(card, None if card.is_ensemble else lambda: load_classifier(run, device), members)
        return loaded[place]

    @classmethod
    def of_file(cls, path: Path | str, device: str) -> LoadedModel:
        """Load an exported model.

        Raises
        ------
        RunError
            the file is not an undamaged export, or its ensemble and members do not fit together.
        ConfigError
            onnxruntime is not installed, or another device than the CPU is wanted.
        """
        from spectro.inference import onnx_classifier  # only here, for it is not always installed

        onnx_classifier.require_cpu(device)
        source = onnx_classifier.open_model(path)
        leaves: dict[int, LoadedModel] = {}

        def load(model: ExportedModel) -> LoadedModel:
            card = model.card
            if model.column < 0:
                members = tuple(map(load, model.members))
                if card.combination is not None:
                    _check_members(Path(path), card, card.combination, members)
                return cls(card, None, members)
            if model.column not in leaves:
                classifier = onnx_classifier.OnnxClassifier(source, card, model.column)
                leaves[model.column] = cls(card, lambda: classifier, (), source.waveform)
            return leaves[model.column]

        return load(source.model)

    @cached_property
    def leaves(self) -> tuple[LoadedModel, ...]:
        """The models with a classifier, each once."""
        return tuple(dict.fromkeys(leaf for member in self.members for leaf in member.leaves)) or (self,)

    def walk(self) -> Iterator[LoadedModel]:
        """Yield the model and all below it, each as often as it is a member."""
        yield self
        for member in self.members:
            yield from member.walk()

    def vote(self, probs: Mapping[LoadedModel, Probs], aligned: bool) -> tuple[Floats, Probs]:
        """Return the clip's probabilities `[classes]`, and if `aligned` those of its segments `[segments, classes]`."""
        return self._vote(probs, aligned, {})

    def _vote(
        self, probs: Mapping[LoadedModel, Probs], aligned: bool, known: dict[LoadedModel, tuple[Floats, Probs]]
    ) -> tuple[Floats, Probs]:
        """Let each model vote once, however often it is a member."""
        if self not in known:
            combination = self.card.combination
            if self.source is not None or combination is None:
                known[self] = VOTES[self.card.vote](probs[self]), probs[self]
            else:
                clips, segments = zip(*(member._vote(probs, aligned, known) for member in self.members), strict=True)
                clip = combine(combination, np.stack(clips)[:, None])[0]
                none = np.empty((0, len(self.card.labels)))
                known[self] = clip, combine(combination, np.stack(segments)) if aligned else none
        return known[self]


def _check_members(path: Path, card: Card, combination: Combination, members: Sequence[LoadedModel]) -> None:
    """Refuse members with other classes than the ensemble, and a combination of other members or classes."""
    for member, model in zip(card.members, members, strict=True):
        if model.card.labels != card.labels:
            difference = describe_difference(card.labels, model.card.labels)
            raise RunError(
                f"{path} and its member {member.path} have different labels: {difference}; make the ensemble again"
            )
    try:
        check_combination(combination, len(members), len(card.labels))
    except ConfigError as error:
        raise RunError(f"{path / 'card.json'}: {error}; make the ensemble again") from None
