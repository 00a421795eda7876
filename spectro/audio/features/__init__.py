"""Features: what can be computed from a segment's samples, one file each, filed in `FEATURES`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from spectro.core.config import Config, require
from spectro.core.registry import Registry

Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class FrameConfig(Config):
    """How the sound is cut into frames; the settings that librosa's features share, with its defaults."""

    sample_rate: int = 22050
    """Sample rate that audio is resampled to, in Hz."""
    n_fft: int = 2048
    """Length of one analysis window, in samples."""
    hop_length: int = 512
    """Step between two windows, in samples."""

    def __post_init__(self) -> None:
        require(self.sample_rate >= 1000, f"sample_rate is {self.sample_rate} Hz; did you mean {self.sample_rate}000?")
        require(self.n_fft >= 16, f"n_fft is {self.n_fft}, but must be at least 16 samples")
        require(self.hop_length > 0, f"hop_length is {self.hop_length}, but must be positive (samples, not seconds)")


@dataclass(frozen=True, kw_only=True)
class Feature:
    """One way to turn the mono samples `[n]` of a segment into numbers."""

    name: str
    """Name in `FEATURES`, in run cards and on the command line."""
    kind: Literal["frames", "vector"]
    """Shape of the result: `frames` is `[bands, frames]`, `vector` is `[values]`."""
    function: Callable[[Floats, Any], Floats]
    """`function(samples, config)` -> the feature, float32, finite also where the sound is silent."""
    config: type[Config]
    """Class of its settings."""
    names: Callable[[Any], tuple[str, ...]] | None = None
    """`names(config)` -> name of each row or value; the feature's own name and a number where there are none."""

    def columns(self, config: Any, count: int) -> tuple[str, ...]:
        """Return the names of the `count` rows or values that the feature has under `config`."""
        if self.names is not None:
            return self.names(config)
        return (self.name,) if count == 1 else tuple(f"{self.name}_{row + 1}" for row in range(count))


FEATURES: Registry[Feature] = Registry("feature")
"""Every feature by name."""


def settings_of(feature: Feature, shared: Config) -> Config:
    """Return a feature's settings with those that `shared` has too taken from there: for features made of others."""
    names = {field.name for field in fields(feature.config)} & {field.name for field in fields(shared)}
    return feature.config(**{name: getattr(shared, name) for name in names})


for _module in iter_modules(__path__):  # a new file in this folder is a new feature; nothing else needs to know it
    import_module(f"{__name__}.{_module.name}")
