"""Mel-spectrogram in dB, equal to librosa's and several times as fast, and its 8-bit grey picture."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from spectro.audio.features import FEATURES, Feature
from spectro.audio.stft import power_spectra
from spectro.core.config import MelConfig

Floats = NDArray[np.float32]
Picture = NDArray[np.uint8]

AMIN = 1e-10  # power below which librosa.power_to_db hears nothing
GROUP = 16  # neighbouring bands multiplied together: their filters span few bins, most others are zero


def mel_spectrogram(samples: Floats, config: MelConfig) -> Floats:
    """Compute a mel-spectrogram in dB below the loudest point of the segment.

    Equals `power_to_db(melspectrogram(y, pad_mode="constant"), ref=np.max, top_db=config.top_db)` of librosa, except
    that digital silence is quiet here (`-top_db` everywhere), not loud.

    Parameters
    ----------
    samples
        `[n]`, mono, in -1..1, at `config.sample_rate`.

    Returns
    -------
    `[n_mels, 1 + n // hop_length]`, float32, in `-top_db..0`; row 0 is the lowest band.
    """
    bands = _banded_filters(config)
    mel = np.empty((1 + len(samples) // config.hop_length, config.n_mels), np.float32)
    row = 0
    for power in power_spectra(samples, config.n_fft, config.hop_length):
        rows = mel[row : row + len(power)]
        for band, low, high, weights in bands:
            np.matmul(power[:, low:high], weights, out=rows[:, band : band + weights.shape[1]])
        row += len(power)
    peak = float(mel.max())
    if peak <= AMIN:
        return np.full(mel.shape[::-1], -config.top_db, np.float32)
    np.maximum(mel, AMIN, out=mel)
    db = np.log(mel, out=mel)  # the natural logarithm is vectorized, log10 is not
    db -= np.float32(np.log(peak))
    db *= np.float32(10 / np.log(10))
    return np.clip(db, -config.top_db, 0, out=db).T


def to_picture(db: Floats, top_db: float) -> Picture:
    """Return `[bands, frames]` dB in `-top_db..0` as grey levels 0..255, the highest band in row 0."""
    levels = db[::-1] * np.float32(255 / top_db)
    levels += np.float32(255.5)
    return levels.astype(np.uint8, order="C")


def silent(db: Floats) -> bool:
    """Tell whether a segment's mel-spectrogram holds no sound at all."""
    return float(db.max()) < -1  # in any other segment the peak itself stands at 0 dB


def mel_filters(config: MelConfig) -> Floats:
    """Return `[n_mels, n_fft // 2 + 1]`: triangles on Slaney's mel scale, each of equal area.

    The scale is linear up to 1 kHz and logarithmic above (Slaney, Auditory Toolbox, 1998), as in
    `librosa.filters.mel`.
    """
    top = config.sample_rate / 2 if config.fmax is None else config.fmax
    edges = _hz(np.linspace(_mel(config.fmin), _mel(top), config.n_mels + 2))
    bins = np.linspace(0, config.sample_rate / 2, config.n_fft // 2 + 1)
    distance = edges[:, None] - bins
    widths = np.diff(edges)[:, None]
    rising, falling = -distance[:-2] / widths[:-1], distance[2:] / widths[1:]
    triangles = np.maximum(0, np.minimum(rising, falling))
    return (triangles * (2 / (edges[2:] - edges[:-2]))[:, None]).astype(np.float32)


BREAK_HZ, BREAK_MEL = 1000.0, 15.0
LOG_STEP = np.log(6.4) / 27


def _mel(hz: float) -> float:
    return hz * 3 / 200 if hz < BREAK_HZ else BREAK_MEL + float(np.log(hz / BREAK_HZ)) / LOG_STEP


def _hz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(mel < BREAK_MEL, mel * 200 / 3, BREAK_HZ * np.exp(LOG_STEP * (mel - BREAK_MEL)))


@lru_cache(maxsize=8)
def _banded_filters(config: MelConfig) -> list[tuple[int, int, int, Floats]]:
    """Return (first band, first bin, end bin, weights `[bins, bands]`) for each group of neighbouring bands."""
    filters = mel_filters(config)
    groups = []
    for band in range(0, config.n_mels, GROUP):
        part = filters[band : band + GROUP]
        used = np.flatnonzero(part.any(axis=0))
        low, high = (int(used[0]), int(used[-1]) + 1) if len(used) else (0, 1)
        groups.append((band, low, high, np.ascontiguousarray(part[:, low:high].T)))
    return groups


FEATURES.add("mel")(Feature(name="mel", kind="frames", function=mel_spectrogram, config=MelConfig))
