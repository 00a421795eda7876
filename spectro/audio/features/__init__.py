"""Features: what can be computed from a segment's samples, one file each, registered in `FEATURES`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, Literal

from spectro.core.arrays import Floats32
from spectro.core.config import Config, require
from spectro.core.registry import Registry


@dataclass(frozen=True, kw_only=True)
class FrameConfig(Config):
    """How sound is cut into frames: the settings that librosa's features share, with its defaults."""

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
    function: Callable[[Floats32, Any], Floats32]
    """`function(samples, config)` -> the feature, float32, finite also where the sound is silent."""
    config: type[Config]
    """Class of its settings."""
    names: Callable[[Any], tuple[str, ...]] | None = None
    """`names(config)` -> name of each row or value; None for the feature's own name and a number."""

    def columns(self, config: Any, count: int) -> tuple[str, ...]:
        """Return the name of each of the feature's rows or values.

        Parameters
        ----------
        config
            The feature's settings.
        count
            Number of rows or values.
        """
        if self.names is not None:
            return self.names(config)
        return (self.name,) if count == 1 else tuple(f"{self.name}_{row + 1}" for row in range(count))


FEATURES: Registry[Feature] = Registry("feature")
"""Every feature by name."""


def settings_of(feature: Feature, shared: Config) -> Config:
    """Return a feature's settings, taking from `shared` those that both have: for features made of others.

    Parameters
    ----------
    feature
        The feature that is part of another.
    shared
        Settings of the other.
    """
    names = {field.name for field in fields(feature.config)} & {field.name for field in fields(shared)}
    return feature.config(**{name: getattr(shared, name) for name in names})


for _module in iter_modules(__path__):  # a new file in this folder is a new feature; nothing else needs to change
    import_module(f"{__name__}.{_module.name}")
