"""Synthetic music whose copies an audit must find, and ways to alter a copy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from spectro.core.arrays import Floats32

RATE = 22050
SECONDS = 12.0


def melody(seed: int, seconds: float = SECONDS) -> Floats32:
    """Return `[n]` float32: notes of random pitch, length and timbre; no two seeds share a bar."""
    rng = np.random.default_rng(seed)
    samples = np.zeros(int(seconds * RATE))
    begin = 0
    while begin < len(samples):
        length = int(rng.uniform(0.12, 0.5) * RATE)
        time = np.arange(length) / RATE
        pitch = 110 * 2 ** (rng.integers(0, 36) / 12)
        tone = sum(rng.uniform(0.2, 1) / k * np.sin(2 * np.pi * pitch * k * time) for k in range(1, 6))
        note = tone * np.exp(-4 * time)
        samples[begin : begin + length] += note[: len(samples) - begin]
        begin += length
    samples += 0.003 * rng.standard_normal(len(samples))
    scaled: Floats32 = (0.4 * samples / np.abs(samples).max()).astype(np.float32)
    return scaled


def pcm(samples: Floats32) -> NDArray[np.int16]:
    """Round to 16 bits before writing: libsndfile rounds to WAV and cuts off to FLAC."""
    return (samples * 32767).astype(np.int16)


def noisy(samples: Floats32, db: float = 20.0) -> Floats32:
    """Add noise that is `db` quieter."""
    level = np.sqrt((samples**2).mean()) * 10 ** (-db / 20)
    noise = np.random.default_rng(9).standard_normal(len(samples))
    mixed: Floats32 = (samples + level * noise).astype(np.float32)
    return mixed


def write_mp3(path: Path, samples: Floats32) -> None:
    """Write an MP3 at 64 kbit/s."""
    soundfile.write(path, samples, RATE, format="MP3", bitrate_mode="CONSTANT", compression_level=0.65)


def plant(path: Path, samples: Floats32, number: int) -> None:
    """Write a copy: by turns at another bitrate, gain, start, noise, and all at once."""
    way = number % 5
    if way in (1, 4):
        samples = samples * 0.5
    if way in (2, 4):
        samples = samples[3 * RATE :]
    if way in (3, 4):
        samples = noisy(samples)
    if way in (0, 4):
        write_mp3(path.with_suffix(".mp3"), samples)
    else:
        soundfile.write(path.with_suffix(".wav"), samples, RATE)
