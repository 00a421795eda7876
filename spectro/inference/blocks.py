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
from spectro.core.config import RenderConfig, require
from spectro.core.errors import AudioError
from spectro.core.tables import Failure
from spectro.data.features import Extraction, extract_clip
from spectro.data.render import render_clip
from spectro.inference.loaded_model import LoadedModel
from spectro.inference.sources import Source, as_file

BLOCK = 64
"""Segments in memory at once, for each way of cutting and computing them."""

LONGEST, LARGEST = 1 << 28, 1 << 24
"""Most samples of a segment, and most values of a spectrogram: 1 GB each, for there are many in a block."""

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


def input_of(feature: FeatureFacts) -> Input:
    """Return what a model is fed.

    Raises
    ------
    ConfigError
        the settings are not those that the card's id is of, or a segment would take gigabytes.
    """
    settings = feature.render_config if feature.is_image else Extraction.of(feature)
    wanted = settings.config_id()
    require(feature.config_id == wanted, f"feature.config_id is {feature.config_id}, but its settings have {wanted}")
    rate = settings.mel.sample_rate if isinstance(settings, RenderConfig) else settings.sample_rate
    samples = settings.segment.seconds * rate
    require(samples <= LONGEST, f"a segment of {settings.segment.seconds:g} s at {rate} Hz takes too much memory")
    if isinstance(settings, RenderConfig):
        values = settings.mel.n_mels * samples / settings.mel.hop_length
        require(values <= LARGEST, f"a spectrogram of {values:.3g} values takes too much memory")
    return settings


def overlapping(settings: Input, overlap: float | None) -> Input:
    """Return them with segments that overlap so, unless that is None; raises ConfigError where it is no share."""
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
