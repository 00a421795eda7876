"""Several features on top of each other, frame by frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spectro.audio.features import FEATURES, Feature, FrameConfig, settings_of
from spectro.core.arrays import Floats32
from spectro.core.config import require


@dataclass(frozen=True, kw_only=True)
class StackConfig(FrameConfig):
    """Which features are stacked; their other settings are their defaults."""

    parts: tuple[str, ...] = ("mfcc", "chroma", "centroid", "contrast")
    """Names of features of the kind `frames`, from top to bottom."""
    n_mfcc: int = 20
    """Number of coefficients of `mfcc`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(len(self.parts) > 0, "parts is empty, but must name at least one feature")
        for name in self.parts:
            require(FEATURES[name].kind == "frames" and name != "stack", f"'{name}' has no frames that can be stacked")


def stack(samples: Floats32, config: StackConfig) -> Floats32:
    """Compute the named features and put them on top of each other.

    Parameters
    ----------
    samples
        Mono sound, `[n]`.
    config
        Names of the features, sample rate and frames.

    Returns
    -------
    rows
        `[rows of all features, frames]`.
    """
    features = [FEATURES[name] for name in config.parts]
    return np.concatenate([feature.function(samples, settings_of(feature, config)) for feature in features])


FEATURES.add("stack")(Feature(name="stack", kind="frames", function=stack, config=StackConfig))
