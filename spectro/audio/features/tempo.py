"""Tempo: the beat that a segment's onsets repeat at, as one number."""

from __future__ import annotations

import numpy as np

from spectro.audio.features import FEATURES, Feature, Floats, FrameConfig


def tempo(samples: Floats, config: FrameConfig) -> Floats:
    """Estimate the tempo in beats per minute, `[1]` (`librosa.feature.tempo`, whose prior stands at 120)."""
    import librosa

    found = librosa.feature.tempo(y=samples, sr=config.sample_rate, hop_length=config.hop_length)
    return found.astype(np.float32)


FEATURES.add("tempo")(Feature(name="tempo", kind="vector", function=tempo, config=FrameConfig))
