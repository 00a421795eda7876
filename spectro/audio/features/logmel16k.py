"""Log-compressed mel-spectrogram at 16 kHz, the input of the music-tagging networks of Pons & Serra."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spectro.audio.features import FEATURES, Feature, FrameConfig
from spectro.core.arrays import Floats32
from spectro.core.config import require

GAIN = 10_000
"""Power is multiplied by this before the logarithm, so that silence is 0 and loud sound about 6."""


@dataclass(frozen=True, kw_only=True)
class LogMelConfig(FrameConfig):
    """How it is computed; the networks that take it were trained with the defaults."""

    sample_rate: int = 16000
    """Sample rate that audio is resampled to, in Hz."""
    n_fft: int = 512
    """Length of one analysis window, in samples."""
    hop_length: int = 256
    """Step between two windows, in samples."""
    n_mels: int = 96
    """Number of mel bands."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(1 <= self.n_mels <= 4096, f"n_mels is {self.n_mels}, but must lie from 1 to 4096")


def logmel16k(samples: Floats32, config: LogMelConfig) -> Floats32:
    """Compute `log10(10000 power + 1)` of a mel-spectrogram, mirrored at both ends as librosa 0.7 did by default.

    The package `musicnn` rounds the power to half precision first, in which loud sound overflows; not so here.

    Parameters
    ----------
    samples
        Mono sound, `[n]`.
    config
        Sample rate, frames and bands.

    Returns
    -------
    levels
        `[n_mels, 1 + n // hop_length]`, 0 or more; row 0 is the lowest band.
    """
    import librosa

    power = librosa.feature.melspectrogram(
        y=samples,
        sr=config.sample_rate,
        n_fft=config.n_fft,
        hop_length=config.hop_length,
        n_mels=config.n_mels,
        pad_mode="reflect",
    )
    levels: Floats32 = np.log10(GAIN * power + 1).astype(np.float32)
    return levels


FEATURES.add("logmel16k")(Feature(name="logmel16k", kind="frames", function=logmel16k, config=LogMelConfig))
