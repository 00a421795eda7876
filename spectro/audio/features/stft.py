"""Magnitude of the short-time Fourier transform in dB, scaled to 0..1, with neighbouring cells averaged on request."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spectro.audio.features import FEATURES, Feature, FrameConfig
from spectro.core.arrays import Floats32
from spectro.core.config import require


@dataclass(frozen=True, kw_only=True)
class StftConfig(FrameConfig):
    """How the dB spectrogram is computed."""

    top_db: float = 80.0
    """Range below the segment's peak that is kept, in dB; it becomes 0..1."""
    mean_bins: int = 1
    """Number of neighbouring frequency bins that are averaged into one; what remains at the top is left out."""
    mean_frames: int = 1
    """Number of neighbouring frames that are averaged into one; what remains at the end is left out."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.top_db > 0, f"top_db is {self.top_db}, but must be positive")
        require(1 <= self.mean_bins <= self.n_fft // 2, f"mean_bins is {self.mean_bins}, but must be 1 up to n_fft / 2")
        require(self.mean_frames >= 1, f"mean_frames is {self.mean_frames}, but must be at least 1")


def stft_db(samples: Floats32, config: StftConfig) -> Floats32:
    """Compute the spectrogram in dB below the loudest point of the segment.

    Parameters
    ----------
    samples
        Mono sound, `[n]`.
    config
        Sample rate, frames, range, and how many cells are averaged.

    Returns
    -------
    levels
        `[(1 + n_fft // 2) // mean_bins, frames // mean_frames]`: 1 is the peak, 0 is `top_db` below it or less.
        Digital silence is 0 everywhere.
    """
    import librosa

    magnitude = np.abs(librosa.stft(samples, n_fft=config.n_fft, hop_length=config.hop_length))
    if not magnitude.any():
        levels = np.zeros_like(magnitude)
    else:
        levels = 1 + librosa.amplitude_to_db(magnitude, ref=np.max, top_db=config.top_db) / config.top_db
    bins, frames = levels.shape[0] // config.mean_bins, max(1, levels.shape[1] // config.mean_frames)
    kept = levels[: bins * config.mean_bins, : frames * config.mean_frames]
    return kept.reshape(bins, config.mean_bins, frames, -1).mean(axis=(1, 3)).astype(np.float32)  # type: ignore[no-any-return]


FEATURES.add("stft")(Feature(name="stft", kind="frames", function=stft_db, config=StftConfig))
