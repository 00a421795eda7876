"""Power spectra of the short-time Fourier transform in blocks that stay in cache, by ducc0 or SciPy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spectro.core.arrays import Floats32

try:
    from ducc0.fft import r2c  # almost twice as fast as SciPy; no wheels for every platform
except ImportError:
    r2c = None

Complex64 = NDArray[np.complex64]

BATCH = 72
"""Windows that are transformed at once: 600 KB of spectra."""
BLOCK = 216
"""Windows that are yielded at once, a multiple of BATCH: enough to make a matrix product with them worth its call."""
PADDING = 16
"""Floats between two windows: rows that lie a power of two apart would evict each other from the cache."""


def ducc_rfft(windows: Floats32, out: Complex64) -> Complex64:
    """Transform each row of `[windows, n_fft]` into `out`, `[windows, n_fft // 2 + 1]`."""
    spectra: Complex64 = r2c(windows, axes=(1,), forward=True, out=out, nthreads=1)
    return spectra


def scipy_rfft(windows: Floats32, out: Any) -> Complex64:
    """Transform each row of `[windows, n_fft]`; SciPy allocates the result itself and leaves `out` alone."""
    from scipy import fft  # here, so that workers that have ducc0 start sooner

    spectra: Complex64 = fft.rfft(windows)
    return spectra


rfft_rows: Callable[[Floats32, Complex64], Complex64] = scipy_rfft if r2c is None else ducc_rfft
"""The faster of the transforms that are installed."""


@lru_cache(maxsize=8)
def hann(length: int) -> Floats32:
    """Return the periodic Hann window, `[length]`."""
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)).astype(np.float32)


def power_spectra(samples: Floats32, n_fft: int, hop_length: int) -> Iterator[Floats32]:
    """Yield `|STFT|²` in blocks, in order of time; each block overwrites the one before.

    Windows are Hann and centred, with zeros beyond both ends, as `librosa.stft(pad_mode="constant")` places them.

    Parameters
    ----------
    samples
        Mono sound, `[n]`.
    n_fft
        Length of a window in samples; even.
    hop_length
        Step between two windows in samples.

    Yields
    ------
    block
        `[windows, n_fft // 2 + 1]` with up to `BLOCK` windows; `1 + n // hop_length` windows in all blocks together.
    """
    bins = n_fft // 2 + 1
    spectra = np.empty((BATCH, bins), np.complex64)  # kept: fresh memory costs more than a transform
    power = np.empty((BLOCK, bins), np.float32)
    filled = 0
    for windows in _windowed(samples, n_fft, hop_length):
        count = len(windows)
        if filled + count > BLOCK:
            yield power[:filled]
            filled = 0
        rows = power[filled : filled + count]
        np.abs(rfft_rows(windows, spectra[:count]), out=rows)
        np.multiply(rows, rows, out=rows)
        filled += count
    yield power[:filled]


def _windowed(samples: Floats32, n_fft: int, hop_length: int) -> Iterator[Floats32]:
    """Yield Hann-windowed frames `[up to BATCH, n_fft]`, all batches full but the last; each overwrites the others."""
    window = hann(n_fft)
    batch = np.empty((BATCH, n_fft + PADDING), np.float32)[:, :n_fft]
    filled = 0
    for frames in _frames(samples, n_fft, hop_length):
        done = 0
        while done < len(frames):
            part = frames[done : done + BATCH - filled]
            np.multiply(part, window, out=batch[filled : filled + len(part)])
            done, filled = done + len(part), filled + len(part)
            if filled == BATCH:
                yield batch
                filled = 0
    if filled:
        yield batch[:filled]


def _frames(samples: Floats32, n_fft: int, hop_length: int) -> Iterator[Floats32]:
    """Yield views `[frames, n_fft]`: those that reach beyond the start, those inside, those beyond the end.

    Only the ends are copied, to stand beside zeros.
    """
    samples = np.ascontiguousarray(samples)
    half = n_fft // 2
    count = 1 + len(samples) // hop_length
    first = -(-half // hop_length)  # the first frame that lies wholly inside
    end = (len(samples) - half) // hop_length + 1  # the first that reaches beyond the end
    if first >= end:
        yield _strided(_padded(samples, half, half), n_fft, hop_length, count)
        return
    yield _strided(_padded(samples[: first * hop_length + half], half, 0), n_fft, hop_length, first)
    yield _strided(samples[first * hop_length - half :], n_fft, hop_length, end - first)
    yield _strided(_padded(samples[end * hop_length - half :], 0, n_fft), n_fft, hop_length, count - end)


def _padded(samples: Floats32, before: int, after: int) -> Floats32:
    """Return the samples between zeros: `np.pad`, ten times as fast."""
    padded = np.zeros(before + len(samples) + after, np.float32)
    padded[before : before + len(samples)] = samples
    return padded


def _strided(samples: Floats32, n_fft: int, hop_length: int, count: int) -> Floats32:
    strides = (hop_length * samples.itemsize, samples.itemsize)
    return np.ndarray((count, n_fft), np.float32, samples, strides=strides)
