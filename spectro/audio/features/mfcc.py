"""Mel-frequency cepstral coefficients, as librosa computes them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spectro.audio.features import FEATURES, Feature, FrameConfig
from spectro.core.arrays import Floats32
from spectro.core.config import require


@dataclass(frozen=True, kw_only=True)
class MfccConfig(FrameConfig):
    """How MFCC are computed."""

    n_mfcc: int = 20
    """Number of coefficients."""
    n_mels: int = 128
    """Number of mel bands that they are computed from."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            1 <= self.n_mfcc <= self.n_mels,
            f"n_mfcc is {self.n_mfcc}, but must lie between 1 and n_mels ({self.n_mels})",
        )


def mfcc(samples: Floats32, config: MfccConfig) -> Floats32:
    """Compute MFCC: the cosine transform of a mel-spectrogram in dB (`librosa.feature.mfcc`).

    Parameters
    ----------
    samples
        Mono sound, `[n]`.
    config
        Sample rate, frames, bands and coefficients.

    Returns
    -------
    coefficients
        `[n_mfcc, frames]`.
    """
    import librosa  # here, as in all of these files, because rendering workers must start fast

    coefficients = librosa.feature.mfcc(
        y=samples,
        sr=config.sample_rate,
        n_mfcc=config.n_mfcc,
        n_fft=config.n_fft,
        hop_length=config.hop_length,
        n_mels=config.n_mels,
    )
    return coefficients.astype(np.float32)


FEATURES.add("mfcc")(Feature(name="mfcc", kind="frames", function=mfcc, config=MfccConfig))
