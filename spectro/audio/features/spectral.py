"""Shape of the spectrum and of the wave, frame by frame: eight features of one or a few rows each."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spectro.audio.features import FEATURES, Feature, Floats, FrameConfig


def centroid(samples: Floats, config: FrameConfig) -> Floats:
    """Mean frequency of the spectrum, in Hz, `[1, frames]`."""
    return _spectral("spectral_centroid", samples, config, sr=config.sample_rate)


def bandwidth(samples: Floats, config: FrameConfig) -> Floats:
    """Deviation of the spectrum around its mean frequency, in Hz, `[1, frames]`."""
    return _spectral("spectral_bandwidth", samples, config, sr=config.sample_rate)


def contrast(samples: Floats, config: FrameConfig) -> Floats:
    """Peaks against valleys in seven bands an octave wide, in dB, `[7, frames]`.

    Jiang et al., Music type classification by spectral contrast feature, 2002.
    """
    lowest = 200.0 if config.sample_rate > 12800 else config.sample_rate / 128  # librosa's 200 Hz, where that fits
    return _spectral("spectral_contrast", samples, config, sr=config.sample_rate, fmin=lowest)


def rolloff(samples: Floats, config: FrameConfig) -> Floats:
    """Frequency below which 85 % of the magnitude lies, in Hz, `[1, frames]`."""
    return _spectral("spectral_rolloff", samples, config, sr=config.sample_rate)


def flatness(samples: Floats, config: FrameConfig) -> Floats:
    """Geometric over arithmetic mean of the power spectrum: 0 a tone, 1 white noise, `[1, frames]`."""
    return _spectral("spectral_flatness", samples, config)


def flux(samples: Floats, config: FrameConfig) -> Floats:
    """Distance of each normalized magnitude spectrum from the one before, `[1, frames]`, the first 0.

    Tzanetakis & Cook, Musical genre classification of audio signals, 2002.
    """
    spectra = _magnitude(samples, config)
    spectra /= np.maximum(np.linalg.norm(spectra, axis=0), 1e-10)
    return np.linalg.norm(np.diff(spectra, axis=1, prepend=spectra[:, :1]), axis=0)[None].astype(np.float32)  # type: ignore[no-any-return]


def zcr(samples: Floats, config: FrameConfig) -> Floats:
    """Share of neighbouring samples between which the wave crosses zero, `[1, frames]`."""
    import librosa

    found = librosa.feature.zero_crossing_rate(samples, frame_length=config.n_fft, hop_length=config.hop_length)
    return found.astype(np.float32)


def rms(samples: Floats, config: FrameConfig) -> Floats:
    """Root of the mean square of the samples, `[1, frames]`."""
    import librosa

    found = librosa.feature.rms(y=samples, frame_length=config.n_fft, hop_length=config.hop_length)
    return found.astype(np.float32)


def _magnitude(samples: Floats, config: FrameConfig) -> NDArray[np.float32]:
    import librosa

    return np.abs(librosa.stft(samples, n_fft=config.n_fft, hop_length=config.hop_length))  # type: ignore[no-any-return]


def _spectral(name: str, samples: Floats, config: FrameConfig, **options: Any) -> Floats:
    import librosa

    found = getattr(librosa.feature, name)(S=_magnitude(samples, config), **options)
    return found.astype(np.float32)  # type: ignore[no-any-return]


for _function in (centroid, bandwidth, contrast, rolloff, flatness, flux, zcr, rms):
    _name = _function.__name__
    FEATURES.add(_name)(Feature(name=_name, kind="frames", function=_function, config=FrameConfig))
