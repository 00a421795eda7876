"""Chroma: the energy of each of the twelve pitch classes, as librosa computes it."""

from __future__ import annotations

import numpy as np

from spectro.audio.features import FEATURES, Feature, FrameConfig
from spectro.core.arrays import Floats32

PITCHES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")


def chroma(samples: Floats32, config: FrameConfig) -> Floats32:
    """Compute a chromagram (`librosa.feature.chroma_stft`), with the tuning estimated from the segment.

    Parameters
    ----------
    samples
        Mono sound, `[n]`.
    config
        Sample rate and frames.

    Returns
    -------
    chromagram
        `[12, frames]` in 0..1; the strongest pitch class of each frame is 1.
    """
    import librosa

    chromagram = librosa.feature.chroma_stft(
        y=samples,
        sr=config.sample_rate,
        n_fft=config.n_fft,
        hop_length=config.hop_length,
        tuning=None if samples.any() else 0.0,  # silence has none
    )
    return chromagram.astype(np.float32)


FEATURES.add("chroma")(
    Feature(
        name="chroma",
        kind="frames",
        function=chroma,
        config=FrameConfig,
        names=lambda _: tuple(f"chroma_{pitch}" for pitch in PITCHES),
    )
)
