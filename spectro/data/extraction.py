"""What a feature is computed from and how: the settings that decide it, and the one function that computes a clip."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from spectro.audio.decode import AudioWarning
from spectro.audio.features import FEATURES
from spectro.audio.segment import iter_segments
from spectro.core.arrays import Floats32
from spectro.core.card import FeatureFacts
from spectro.core.config import Config, SegmentConfig
from spectro.core.errors import AudioError, ConfigError


@dataclass(frozen=True, kw_only=True)
class Extraction:
    """Everything that decides what is computed: the feature, its settings, and how clips are cut."""

    feature: str
    """A name in `FEATURES`."""
    config: Config
    """Its settings, of the class that `FEATURES` names."""
    segment: SegmentConfig
    """How clips are cut."""

    def __post_init__(self) -> None:
        wanted = FEATURES[self.feature].config
        if not isinstance(self.config, wanted):
            raise ConfigError(f"'{self.feature}' takes a {wanted.__name__}, not a {type(self.config).__name__}")

    @property
    def sample_rate(self) -> int:
        """Sample rate that audio is resampled to, in Hz."""
        return int(self.to_dict()[self.feature]["sample_rate"])

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values, as a card keeps them: `{<feature>: ..., "segment": ...}`."""
        return {self.feature: self.config.to_dict(), "segment": self.segment.to_dict()}

    @classmethod
    def from_dict(cls, feature: str, values: Mapping[str, Any]) -> Extraction:
        """Build from the feature's name and what `to_dict` returned; raises ConfigError where they do not fit."""
        missing = next((key for key in (feature, "segment") if key not in values), None)
        if missing is not None:
            raise ConfigError(f"the settings of feature '{feature}' lack '{missing}'")
        config = FEATURES[feature].config.from_dict(values[feature])
        return cls(feature=feature, config=config, segment=SegmentConfig.from_dict(values["segment"]))

    @classmethod
    def of(cls, facts: FeatureFacts) -> Extraction:
        """Return the extraction that a card describes; raises ConfigError where its settings do not fit."""
        return cls.from_dict(facts.name, facts.config)

    def config_id(self) -> str:
        """Return 12 hexadecimal digits that change when any setting does."""
        text = json.dumps({"Extraction": self.to_dict()}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def compute(self, samples: Floats32) -> Floats32:
        """Return the feature of one segment's samples, the same to the bit in every process of this machine."""
        with threadpool_limits(limits=1, user_api="blas"):  # sums shared between threads are rounded differently
            return FEATURES[self.feature].function(samples, self.config)

    def silence(self) -> Floats32:
        """Return the feature of a silent segment: its shape is that of every other."""
        return self.compute(np.zeros(round(self.segment.seconds * self.sample_rate), np.float32))


def extract_clip(
    path: Path | str, extraction: Extraction, on_warning: Callable[[AudioWarning], object] | None = None
) -> Iterator[tuple[float, Floats32]]:
    """Yield the feature of each segment of one audio file; extraction and prediction both call this and nothing else.

    Parameters
    ----------
    path
        The audio file.
    extraction
        What to compute.
    on_warning
        Called with each thing that is odd about the file, once it has been read to its end.

    Yields
    ------
    start, values
        Start in seconds, and `[bands, frames]` or `[values]`.

    Raises
    ------
    AudioError
        the file cannot be used, or is silent from start to end; possibly after some segments.
    """
    sounding = False
    for start, samples in iter_segments(Path(path), extraction.sample_rate, extraction.segment, on_warning):
        sounding = sounding or bool(samples.any())
        yield start, extraction.compute(samples)
    if not sounding:
        raise AudioError("silent", f"{path} is digital silence from start to end; fetch or export it again")
