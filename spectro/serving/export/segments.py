"""The segments that a run was trained and tested on, as its networks and as an exported graph are fed them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spectro.core.arrays import Floats32, Items
from spectro.core.card import Card
from spectro.core.errors import DataError, RunError, SpectroError
from spectro.core.runs import Run
from spectro.core.tables import Segment
from spectro.data.extraction import Extraction
from spectro.inference.waveform import Waveform, iter_waveforms
from spectro.training.dataset import TrainingData


@dataclass(frozen=True)
class RunData:
    """The data that a run was trained on, joined to its split."""

    training: TrainingData
    inputs: tuple[NDArray[Any], ...]
    """What the networks are fed, `[items, ...]`: one array for each of the features that the members differ in."""
    waveform: Waveform | None
    """How segments become samples, for a graph that takes those."""

    @cached_property
    def _clip(self) -> dict[str, dict[float, Floats32]]:
        return {}

    def fed(self, number: int, items: Items) -> NDArray[Any]:
        """Return what networks of one feature are fed for some items."""
        return np.ascontiguousarray(self.inputs[number][items])

    def given(self, items: Items) -> NDArray[Any]:
        """Return what the graph is given for some items: samples, or the one array that all networks are fed."""
        if self.waveform is None:
            return self.fed(0, items)
        return np.stack([self._samples(self.training.segments[item]) for item in items.tolist()])

    def _samples(self, segment: Segment) -> Floats32:
        """Return the samples of a segment; those of its clip are kept until another clip is asked for."""
        assert self.waveform is not None
        if segment.clip.id not in self._clip:
            self._clip.clear()
            path = self.training.data.source_root() / segment.clip.id
            self._clip[segment.clip.id] = dict(iter_waveforms(path, self.waveform))
        samples = self._clip[segment.clip.id].get(segment.start)
        if samples is None:
            raise DataError(f"{segment.clip.id} has no segment at {segment.start:g} s any more; render its data again")
        return samples


def open_data(leaves: Sequence[Run], front: str, data: Path | None) -> tuple[RunData, tuple[int, ...]]:
    """Return the data of a run, and for each of its models the number of the array that it is fed.

    Parameters
    ----------
    leaves
        The runs that hold a network.
    front
        `audio` or `image`.
    data
        The data folder, where it is no longer the one that the card names.

    Raises
    ------
    RunError
        the members take inputs that one graph cannot have, or the data folder is gone or was split again.
    """
    cards = [leaf.card for leaf in leaves]
    features = list(dict.fromkeys(card.of_model()[0].config_id for card in cards))
    waveform = waveform_of(cards) if front == "audio" else None
    if waveform is None and len(features) > 1:
        raise RunError("the members are fed different images or features; export them with --front audio, or singly")
    opened = [_open(leaf, data) for leaf in _firsts(leaves, features)]
    first = opened[0]
    if any(other.segments != first.segments for other in opened):
        raise RunError("the members were trained on different segments of different data; export them singly")
    fed = tuple(features.index(card.of_model()[0].config_id) for card in cards)
    return RunData(first, tuple(one.arrays() for one in opened), waveform), fed


def waveform_of(cards: Sequence[Card]) -> Waveform:
    """Return how segments become samples for models that are fed images; raises RunError where they differ in that."""
    for card in cards:
        feature, _ = card.of_model()
        if not feature.is_image:
            raise RunError(f"'{card.name}' is fed the feature '{feature.name}'; only images can be computed in a graph")
    settings = [card.of_model()[0].render_config for card in cards]
    if len({(one.mel.sample_rate, one.segment) for one in settings}) > 1:
        raise RunError("the members differ in sample rate or segments, so one graph cannot take samples for all")
    return Waveform(mel=settings[0].mel, segment=settings[0].segment)


def _firsts(leaves: Sequence[Run], features: Sequence[str]) -> list[Run]:
    return [next(leaf for leaf in leaves if leaf.card.of_model()[0].config_id == feature) for feature in features]


def _open(leaf: Run, data: Path | None) -> TrainingData:
    """Return the data of one model; its test segments must be those that the run was tested on."""
    card = leaf.card
    feature, _ = card.of_model()
    folder = data or Path(card.data.path)
    config = None if feature.is_image else Extraction.of(feature).config
    try:
        opened = TrainingData.open(folder, card.split.name, card.data.config_id, feature.name, config)
    except SpectroError as error:
        raise RunError(f"an export is checked on the test segments of {leaf.path}: {error}; name its --data") from None
    tested = {opened.segments[item].id for item in opened.subsets["test"]}
    if tested != set(leaf.predictions("test").ids) or opened.labels != card.labels:
        raise RunError(f"the test segments in {folder} are not those of {leaf.path}; was it split or rendered again?")
    return opened
