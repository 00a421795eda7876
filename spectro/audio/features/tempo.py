"""Tempo: the rate at which a segment's onsets repeat, as one number."""

from __future__ import annotations

import numpy as np

from spectro.audio.features import FEATURES, Feature, FrameConfig
from spectro.core.arrays import Floats32


def tempo(samples: Floats32, config: FrameConfig) -> Floats32:
    """Estimate the tempo in beats per minute, `[1]` (`librosa.feature.tempo`, whose prior is centred on 120)."""
    import librosa

    estimate = librosa.feature.tempo(y=samples, sr=config.sample_rate, hop_length=config.hop_length)
    return estimate.astype(np.float32)


FEATURES.add("tempo")(Feature(name="tempo", kind="vector", function=tempo, config=FrameConfig))
