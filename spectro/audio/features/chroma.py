"""Chroma: the energy of each of the twelve pitch classes, as librosa computes it."""

from __future__ import annotations

import numpy as np

from spectro.audio.features import FEATURES, Feature, Floats, FrameConfig

PITCHES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")


def chroma(samples: Floats, config: FrameConfig) -> Floats:
    """Compute a chromagram, `[12, frames]`, the strongest class of each frame 1 (`librosa.feature.chroma_stft`).

    The tuning is estimated from the segment, except in silence, which has none.
    """
    import librosa

    found = librosa.feature.chroma_stft(
        y=samples,
        sr=config.sample_rate,
        n_fft=config.n_fft,
        hop_length=config.hop_length,
        tuning=None if samples.any() else 0.0,
    )
    return found.astype(np.float32)


FEATURES.add("chroma")(
    Feature(
        name="chroma",
        kind="frames",
        function=chroma,
        config=FrameConfig,
        names=lambda _: tuple(f"chroma_{pitch}" for pitch in PITCHES),
    )
)
