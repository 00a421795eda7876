"""Mel-spectrogram in dB, equal to librosa's and several times as fast, and its 8-bit grey image."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from spectro.audio.features import FEATURES, Feature
from spectro.audio.stft import power_spectra
from spectro.core.arrays import Floats, Floats32, Image
from spectro.core.config import MelConfig

AMIN = 1e-10
"""Power below which `librosa.power_to_db` counts everything as silence."""
GROUP = 8
"""Neighbouring bands that are multiplied together: their filters span few bins, most others are zero."""


def mel_spectrogram(samples: Floats32, config: MelConfig) -> Floats32:
    """Compute a mel-spectrogram in dB below the loudest point of the segment.

    Equals `power_to_db(melspectrogram(y, pad_mode="constant"), ref=np.max, top_db=config.top_db)` of librosa, except
    that digital silence is quiet here (`-top_db` everywhere), not loud.

    Parameters
    ----------
    samples
        Mono sound, `[n]` in -1..1, at `config.sample_rate`.
    config
        Windows, bands and range.

    Returns
    -------
    db
        `[n_mels, 1 + n // hop_length]` in `-top_db..0`; row 0 is the lowest band.
    """
    groups = _banded_filters(config)
    mel = np.empty((1 + len(samples) // config.hop_length, config.n_mels), np.float32)
    row = 0
    for power in power_spectra(samples, config.n_fft, config.hop_length):
        rows = mel[row : row + len(power)]
        for band, low, high, weights in groups:
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


def to_picture(db: Floats32, top_db: float) -> Image:
    """Return `[bands, frames]` dB in `-top_db..0` as grey levels 0..255, the highest band in row 0."""
    levels = db * np.float32(255 / top_db)
    levels += np.float32(255.5)
    return np.ascontiguousarray(levels.astype(np.uint8)[::-1])  # bytes are turned faster than floats


def silent(db: Floats32) -> bool:
    """Return whether a segment's mel-spectrogram holds no sound at all."""
    return float(db.max()) < -1  # in any other segment the peak itself stands at 0 dB


def mel_filters(config: MelConfig) -> Floats32:
    """Return `[n_mels, n_fft // 2 + 1]` weights: triangles on Slaney's mel scale, each of equal area.

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


def _hz(mel: Floats) -> Floats:
    return np.where(mel < BREAK_MEL, mel * 200 / 3, BREAK_HZ * np.exp(LOG_STEP * (mel - BREAK_MEL)))


@lru_cache(maxsize=8)
def _banded_filters(config: MelConfig) -> list[tuple[int, int, int, Floats32]]:
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
