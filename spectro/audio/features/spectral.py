"""Shape of the spectrum and of the waveform, frame by frame: eight features of one or a few rows each."""

from __future__ import annotations

import numpy as np

from spectro.audio.features import FEATURES, Feature, FrameConfig
from spectro.core.arrays import Floats32


def centroid(samples: Floats32, config: FrameConfig) -> Floats32:
    """Mean frequency of the spectrum, in Hz, `[1, frames]`."""
    return _spectral("spectral_centroid", samples, config, sr=config.sample_rate)


def bandwidth(samples: Floats32, config: FrameConfig) -> Floats32:
    """Spread of the spectrum around its mean frequency, as a standard deviation in Hz, `[1, frames]`."""
    return _spectral("spectral_bandwidth", samples, config, sr=config.sample_rate)


def contrast(samples: Floats32, config: FrameConfig) -> Floats32:
    """Difference between peaks and valleys in seven bands an octave wide, in dB, `[7, frames]`.

    Jiang et al., Music type classification by spectral contrast feature, 2002.
    """
    lowest = 200.0 if config.sample_rate > 12800 else config.sample_rate / 128  # librosa's 200 Hz, where that fits
    return _spectral("spectral_contrast", samples, config, sr=config.sample_rate, fmin=lowest)


def rolloff(samples: Floats32, config: FrameConfig) -> Floats32:
    """Frequency below which 85 % of the magnitude lies, in Hz, `[1, frames]`."""
    return _spectral("spectral_rolloff", samples, config, sr=config.sample_rate)


def flatness(samples: Floats32, config: FrameConfig) -> Floats32:
    """Geometric over arithmetic mean of the power spectrum: 0 for a tone, 1 for white noise, `[1, frames]`."""
    return _spectral("spectral_flatness", samples, config)


def flux(samples: Floats32, config: FrameConfig) -> Floats32:
    """Distance of each normalized magnitude spectrum from the one before, `[1, frames]`, the first 0.

    Tzanetakis & Cook, Musical genre classification of audio signals, 2002.
    """
    spectra = _magnitude(samples, config)
    spectra /= np.maximum(np.linalg.norm(spectra, axis=0), 1e-10)
    return np.linalg.norm(np.diff(spectra, axis=1, prepend=spectra[:, :1]), axis=0)[None].astype(np.float32)  # type: ignore[no-any-return]


def zcr(samples: Floats32, config: FrameConfig) -> Floats32:
    """Share of neighbouring samples between which the waveform crosses zero, `[1, frames]`."""
    import librosa

    rate = librosa.feature.zero_crossing_rate(samples, frame_length=config.n_fft, hop_length=config.hop_length)
    return rate.astype(np.float32)


def rms(samples: Floats32, config: FrameConfig) -> Floats32:
    """Root of the mean square of the samples, `[1, frames]`."""
    import librosa

    loudness = librosa.feature.rms(y=samples, frame_length=config.n_fft, hop_length=config.hop_length)
    return loudness.astype(np.float32)


def _magnitude(samples: Floats32, config: FrameConfig) -> Floats32:
    import librosa

    return np.abs(librosa.stft(samples, n_fft=config.n_fft, hop_length=config.hop_length))  # type: ignore[no-any-return]


def _spectral(name: str, samples: Floats32, config: FrameConfig, **options: float) -> Floats32:
    import librosa

    rows = getattr(librosa.feature, name)(S=_magnitude(samples, config), **options)
    return rows.astype(np.float32)  # type: ignore[no-any-return]


for _function in (centroid, bandwidth, contrast, rolloff, flatness, flux, zcr, rms):
    _name = _function.__name__
    FEATURES.add(_name)(Feature(name=_name, kind="frames", function=_function, config=FrameConfig))
