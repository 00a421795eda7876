"""Loudness of the harmonic and of the percussive part, frame by frame."""

from __future__ import annotations

import numpy as np

from spectro.audio.features import FEATURES, Feature, Floats, FrameConfig


def harmonic(samples: Floats, config: FrameConfig) -> Floats:
    """Compute the root mean square of both parts, `[2, frames]`, without going back from spectra to waves.

    Median filtering along time and along frequency tells them apart [Fitzgerald, 2010] (`librosa.decompose.hpss`).
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
