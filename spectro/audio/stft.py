"""Power spectra in blocks that stay in cache, by MKL where it is installed and by SciPy elsewhere."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spectro.audio import NO_TORCH

Floats = NDArray[np.float32]

BATCH = 24  # windows transformed at once: 200 KB of spectra, which a core's cache holds
BLOCK = 48  # windows yielded at once: enough to make a matrix product with them worth its call


@lru_cache(maxsize=1)
def rfft_rows() -> Callable[..., NDArray[np.complex64]]:
    """Return `rfft(windows, out=...)` of each row, by MKL where it is installed: it is three times as fast.

    Where torch may be wanted later on, it is loaded first. It brings an MKL of its own but finds its functions by name:
    those of an MKL that is there already would take their place, and a second OpenMP with them. The same training would
    then round otherwise after a rendering, or after any library that looks for an MKL to set its threads.
    """
    if importlib.util.find_spec("mkl_fft") is None:  # no wheels for ARM and macOS
        return scipy_rfft
    if NO_TORCH not in os.environ:
        importlib.import_module("torch")
    transform: Callable[..., NDArray[np.complex64]] = importlib.import_module("mkl_fft").rfft
    return transform


def scipy_rfft(windows: Floats, out: Any) -> NDArray[np.complex64]:
    """Transform each row; SciPy allots its own result."""
    from scipy import fft  # here, so that workers that have MKL start sooner

    spectra: NDArray[np.complex64] = fft.rfft(windows)
    return spectra


@lru_cache(maxsize=8)
def hann(length: int) -> Floats:
    """Return the periodic Hann window `[length]`."""
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)).astype(np.float32)


def power_spectra(samples: Floats, n_fft: int, hop_length: int) -> Iterator[Floats]:
    """Yield `|STFT|²` as blocks `[up to 48, n_fft // 2 + 1]`, in order of time; a block is overwritten by the next.

    Windows are Hann and centred, with zeros beyond both ends: 1 + n // hop_length of them, as
    `librosa.stft(pad_mode="constant")` places them; n_fft must be even.
    """
    rfft = rfft_rows()
    window = hann(n_fft)
    windowed = np.empty((BATCH, n_fft), np.float32)
    spectra = np.empty((BATCH, n_fft // 2 + 1), np.complex64)  # kept: fresh memory costs more than a transform
    power = np.empty((BLOCK, n_fft // 2 + 1), np.float32)
    filled = 0
    for frames in _framed(samples, n_fft, hop_length):
        for begin in range(0, len(frames), BATCH):
            some = frames[begin : begin + BATCH]
            count = len(some)
            if filled + count > BLOCK:
                yield power[:filled]
                filled = 0
            np.multiply(some, window, out=windowed[:count])
            parts = rfft(windowed[:count], out=spectra[:count]).view(np.float32)  # real, imaginary, real, ...
            np.multiply(parts, parts, out=parts)
            np.add(parts[:, ::2], parts[:, 1::2], out=power[filled : filled + count])
            filled += count
    yield power[:filled]


def _framed(samples: Floats, n_fft: int, hop_length: int) -> Iterator[Floats]:
    """Yield views `[windows, n_fft]`: those that reach beyond the start, those inside, those beyond the end.

    Only the ends are copied, to stand beside zeros.
    """
    half = n_fft // 2
    count = 1 + len(samples) // hop_length
    first = -(-half // hop_length)  # the first window that lies wholly inside
    end = (len(samples) - half) // hop_length + 1  # the first that reaches beyond the end
    if first >= end:
        yield _windows(np.pad(samples, half), n_fft, hop_length, count)
        return
    yield _windows(np.pad(samples[: first * hop_length + half], (half, 0)), n_fft, hop_length, first)
    yield _windows(samples[first * hop_length - half :], n_fft, hop_length, end - first)
    yield _windows(np.pad(samples[end * hop_length - half :], (0, n_fft)), n_fft, hop_length, count - end)


def _windows(samples: Floats, n_fft: int, hop_length: int, count: int) -> Floats:
    strides = (hop_length * samples.itemsize, samples.itemsize)
    return np.lib.stride_tricks.as_strided(samples, (count, n_fft), strides, writeable=False)
