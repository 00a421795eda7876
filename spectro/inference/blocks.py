"""Segments of many recordings gathered in blocks, so that a model classifies many at once and memory stays bounded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spectro.audio.decode import probe
from spectro.core.arrays import Floats
from spectro.core.card import FeatureFacts
from spectro.core.config import RenderConfig
from spectro.core.errors import AudioError
from spectro.core.tables import Failure
from spectro.data.features import Extraction, extract_clip
from spectro.data.render import render_clip
from spectro.inference.loaded_model import LoadedModel
from spectro.inference.sources import Source, as_file

BLOCK = 64
"""Segments in memory at once, for each way of cutting and computing them."""

Input = RenderConfig | Extraction
"""What a model is fed: the settings of its spectrograms, or of another feature."""


@dataclass(eq=False)
class Recording:
    """One source on its way to an answer."""

    name: str
    seconds: float = 0.0
    starts: dict[Input, list[float]] = field(default_factory=dict)
    probs: dict[LoadedModel, list[Floats]] = field(default_factory=dict)
    waiting: int = 0
    """Segments that are in a block, not classified yet."""
    failure: Failure | None = None


Block = list[tuple[Recording, NDArray[Any]]]


def input_of(feature: FeatureFacts, overlap: float | None) -> Input:
    """Return what a model is fed, its segments overlapping by `overlap` instead, unless that is None."""
    settings = feature.render_config if feature.is_image else Extraction.of(feature)
    return settings if overlap is None else replace(settings, segment=replace(settings.segment, overlap=overlap))


def fill(blocks: Mapping[Input, Block], recording: Recording, source: Source) -> Iterator[Input]:
    """Put the segments of a source into the blocks; yield each block's settings when it is full."""
    with as_file(source, recording.name) as path:
        try:
            recording.seconds = probe(path).seconds
            for settings, block in blocks.items():
                starts = recording.starts[settings] = []
                for start, array in _segments(path, settings):
                    starts.append(start)
                    block.append((recording, array))
                    recording.waiting += 1
                    if len(block) == BLOCK:
                        yield settings
        except AudioError as error:
            message = str(error).replace(str(path), recording.name)
            recording.failure = Failure(
                path=recording.name, reason=error.reason, seconds=recording.seconds, message=message
            )


def _segments(path: Path, settings: Input) -> Iterator[tuple[float, NDArray[Any]]]:
    return render_clip(path, settings) if isinstance(settings, RenderConfig) else extract_clip(path, settings)


def classify(block: Block, models: Iterable[LoadedModel]) -> None:
    """Add to each recording the probabilities of its segments in the block, and empty the block."""
    if not block:
        return
    arrays = np.stack([array for _, array in block])
    for model in models:
        assert model.classifier is not None
        for (recording, _), probs in zip(block, model.classifier.predict_proba(arrays), strict=True):
            recording.probs.setdefault(model, []).append(probs)
    for recording, _ in block:
        recording.waiting -= 1
    block.clear()
