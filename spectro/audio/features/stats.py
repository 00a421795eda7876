"""Statistics: any set of features as one vector of named values, including the sets of two studies."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from spectro.audio.features import FEATURES, Feature, FrameConfig, settings_of
from spectro.core.arrays import Floats, Floats32
from spectro.core.config import require
from spectro.core.errors import ConfigError, did_you_mean


def _standardized(rows: Floats) -> Floats:
    """Return rows of mean 0 and standard deviation 1; a row that never changes becomes 0."""
    centred = rows - rows.mean(axis=1, keepdims=True)
    deviation = centred.std(axis=1, keepdims=True)
    changing = deviation > 1e-9 * (1 + np.abs(rows).max(axis=1, keepdims=True))  # below that it is rounding
    return np.where(changing, centred / np.where(changing, deviation, 1), 0)


STATISTICS: Mapping[str, Callable[[Floats], Floats]] = {
    "max": lambda rows: rows.max(axis=1),
    "min": lambda rows: rows.min(axis=1),
    "mean": lambda rows: rows.mean(axis=1),
    "std": lambda rows: rows.std(axis=1),
    "var": lambda rows: rows.var(axis=1),
    "skew": lambda rows: (_standardized(rows) ** 3).mean(axis=1),
    "kurtosis": lambda rows: (_standardized(rows) ** 4).mean(axis=1) - 3 * (_standardized(rows) ** 2).mean(axis=1),
}
"""From rows `[rows, frames]` to one value each; kurtosis is the excess over a normal distribution's."""
SIX = ("max", "min", "mean", "std", "skew", "kurtosis")


@dataclass(frozen=True, kw_only=True)
class Part:
    """One feature of a set, and what is kept of it."""

    feature: str
    """A name in `FEATURES`, or `length`: the number of samples."""
    statistics: tuple[str, ...] = SIX
    """Names in `STATISTICS`; a feature of the kind `vector` is taken as it is."""
    whole: bool = False
    """Whether the statistics are of all rows together: one value each instead of one per row."""


_C = ("centroid", "bandwidth", "contrast", "rolloff", "flatness", "flux", "zcr", "rms")
_D = ("chroma", "rms", "centroid", "bandwidth", "rolloff", "zcr")
_MEAN_VAR = ("mean", "var")
_D57 = (
    *(Part(feature=name, statistics=_MEAN_VAR, whole=True) for name in _D),
    Part(feature="harmonic", statistics=_MEAN_VAR),
    Part(feature="tempo"),
    Part(feature="mfcc", statistics=_MEAN_VAR),
)
SETS: Mapping[str, tuple[Part, ...]] = {
    "C": (*(Part(feature=name, whole=True) for name in _C), Part(feature="tempo")),
    "D": (Part(feature="length"), *_D57),
    "D57": _D57,
}
"""Sets by name: study C's 49 values, study D's 58, and those without the length, the input of its networks."""


@dataclass(frozen=True, kw_only=True)
class StatsConfig(FrameConfig):
    """Which values make the vector."""

    set: str = "C"
    """`C`, `D`, `D57`, or names of features with + between (`mfcc+chroma`), of which all six statistics are taken."""
    n_mfcc: int = 20
    """Number of coefficients of `mfcc`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.n_mfcc >= 1, f"n_mfcc is {self.n_mfcc}, but must be at least 1")
        unknown = [name for name in self.set.split("+") if name not in (*SETS, *FEATURES) or name == "stats"]
        if unknown and self.set not in SETS:
            have = [*SETS, *(name for name in FEATURES if name != "stats")]
            hint = did_you_mean(unknown[0], have)
            raise ConfigError(f"set is '{self.set}', but '{unknown[0]}' is no set or feature{hint}")

    @property
    def parts(self) -> tuple[Part, ...]:
        """The parts of the set, in the order of the vector."""
        return SETS[self.set] if self.set in SETS else tuple(Part(feature=name) for name in self.set.split("+"))


def stats(samples: Floats32, config: StatsConfig) -> Floats32:
    """Compute the vector.

    Parameters
    ----------
    samples
        Mono sound, `[n]`.
    config
        Name of the set, sample rate and frames.

    Returns
    -------
    vector
        `[values]`, named by `names(config)`.
    """
    return np.concatenate([values for values, _ in _parts(samples, config)])


def names(config: StatsConfig) -> tuple[str, ...]:
    """Return the name of each value, such as `mfcc_1_mean`; a statistic of all rows has no number."""
    silence = np.zeros(4 * max(config.n_fft, config.hop_length), np.float32)
    return tuple(name for _, part in _parts(silence, config) for name in part)


def _parts(samples: Floats32, config: StatsConfig) -> list[tuple[Floats32, list[str]]]:
    """Return values and names of each part."""
    parts: list[tuple[Floats32, list[str]]] = []
    for part in config.parts:
        if part.feature == "length":
            parts.append((np.array([len(samples)], np.float32), ["length"]))
            continue
        feature = FEATURES[part.feature]
        settings = settings_of(feature, config)
        values = feature.function(samples, settings)
        columns = list(feature.columns(settings, len(values)))
        if feature.kind == "vector":
            parts.append((values, columns))
            continue
        rows = values.reshape(1, -1) if part.whole else values
        kept = [STATISTICS[name](rows.astype(np.float64)) for name in part.statistics]
        labels = [part.feature] if part.whole else columns
        flat = np.stack(kept, axis=1).ravel().astype(np.float32)
        parts.append((flat, [f"{row}_{name}" for row in labels for name in part.statistics]))
    return parts


FEATURES.add("stats")(Feature(name="stats", kind="vector", function=stats, config=StatsConfig, names=names))
