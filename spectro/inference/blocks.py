"""Segments of many recordings gathered in blocks, so that a model classifies many at once and memory stays bounded."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spectro.audio.info import AudioWarning
from spectro.core.arrays import Floats
from spectro.core.tables import Failure
from spectro.inference.lanes import classify_all
from spectro.inference.loaded_model import LoadedModel
from spectro.inference.reading import Ending, Input

BLOCK = 64
"""Segments in memory at once, for each way of cutting and computing them."""


@dataclass(eq=False)
class Recording:
    """One source on its way to an answer."""

    name: str
    seconds: float = 0.0
    starts: dict[Input, list[float]] = field(default_factory=dict)
    probs: dict[LoadedModel, list[Floats]] = field(default_factory=dict)
    kept: list[Floats] = field(default_factory=list)
    """What the score of the open set keeps of each segment, where it looks at features."""
    waiting: int = 0
    """Segments that are in a block, not classified yet."""
    failure: Failure | None = None
    warnings: dict[AudioWarning, None] = field(default_factory=dict)
    """What is odd about it, each thing once."""
    ending: Ending | None = None
    """What reading it to its end gave; None before."""

    def end(self, ending: Ending) -> None:
        """Note what became of it."""
        self.ending, self.seconds = ending, ending.seconds
        self.warnings |= dict.fromkeys(ending.warnings)
        if ending.reason:
            self.failure = Failure(path=self.name, reason=ending.reason, seconds=ending.seconds, message=ending.message)

    @property
    def ready(self) -> bool:
        """Whether its answer, or why there is none, is known."""
        return self.ending is not None and (self.failure is not None or not self.waiting)


Block = list[tuple[Recording, NDArray[Any]]]


def classify(block: Block, models: Iterable[LoadedModel]) -> None:
    """Add to each recording the probabilities of its segments in the block, and empty the block."""
    if not block:
        return
    models = list(models)
    classifiers = [asked for model in models if (asked := model.asked) is not None]
    for model, rows in zip(models, classify_all(classifiers, np.stack([array for _, array in block])), strict=True):
        for (recording, _), probs in zip(block, rows, strict=True):
            classes = len(model.card.labels)
            recording.probs.setdefault(model, []).append(probs[:classes])
            if len(probs) > classes:
                recording.kept.append(probs[classes:])
    for recording, _ in block:
        recording.waiting -= 1
    block.clear()
