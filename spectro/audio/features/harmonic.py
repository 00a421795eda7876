"""Loudness of the harmonic and of the percussive part, frame by frame."""

from __future__ import annotations

import numpy as np

from spectro.audio.features import FEATURES, Feature, FrameConfig
from spectro.core.arrays import Floats32


def harmonic(samples: Floats32, config: FrameConfig) -> Floats32:
    """Compute the root mean square of both parts from their spectra.

    Median filters along time and along frequency separate them [Fitzgerald, 2010] (`librosa.decompose.hpss`).

    Parameters
    ----------
    samples
        Mono sound, `[n]`.
    config
        Sample rate and frames.

    Returns
    -------
    loudness
        `[2, frames]`: the harmonic part, the percussive part.
    """
    import librosa

    magnitude = np.abs(librosa.stft(samples, n_fft=config.n_fft, hop_length=config.hop_length))
    parts = librosa.decompose.hpss(magnitude)
    rows = [librosa.feature.rms(S=part, frame_length=config.n_fft, hop_length=config.hop_length) for part in parts]
    return np.concatenate(rows).astype(np.float32)


FEATURES.add("harmonic")(
    Feature(
        name="harmonic",
        kind="frames",
        function=harmonic,
        config=FrameConfig,
        names=lambda _: ("harmonic", "percussive"),
    )
)
