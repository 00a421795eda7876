"""Rendering against librosa, paired and interleaved on the same clips, with a pure-CPU spin as control."""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from unittest import mock

for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[_name] = "1"  # everything is measured per core

import librosa
import matplotlib.pyplot as plt
import numpy as np
import scipy.fft
import soundfile
import soxr
from PIL import Image

from spectro.audio import fourier
from spectro.core.config import RenderConfig
from spectro.data import engine, png
from spectro.data.render import render_clip, render_one

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "assets" / "demo"
CONFIG = RenderConfig()
RATE, N_FFT, HOP = CONFIG.mel.sample_rate, CONFIG.mel.n_fft, CONFIG.mel.hop_length
LENGTH = round(CONFIG.segment.seconds * RATE)
SECONDS = 30
KINDS = {
    "22 kHz mono wav": ("wav", RATE, 1),
    "44 kHz stereo mp3": ("mp3", 44100, 2),
    "44 kHz stereo ogg": ("ogg", 44100, 2),
    "44 kHz stereo flac": ("flac", 44100, 2),
}
PACKAGES = ("numpy", "scipy", "mkl_fft", "isal", "soundfile", "soxr", "librosa", "pillow", "matplotlib")
PASSES = "as fast"  # the control spins so many rounds that one lasts about as long as rendering a clip
SPIN = 60_000


def make_clips(folder: Path, count: int) -> dict[str, list[Path]]:
    """Write `count` 30-s clips of real music in each kind of file; stereo gets two different channels and treble."""
    files = sorted(SOURCE.rglob("*.ogg"))
    music = [np.resize(librosa.resample(*_read(file)), SECONDS * RATE) for file in files[:: len(files) // count][:count]]
    noise = np.random.default_rng(0).standard_normal((SECONDS * 44100, 2)).astype(np.float32)
    made: dict[str, list[Path]] = {kind: [] for kind in KINDS}
    for number, left in enumerate(music):
        right = 0.7 * left + 0.3 * music[number - 1]
        wide = soxr.resample(np.stack([left, right], axis=1), RATE, 44100)[: SECONDS * 44100] + 0.003 * noise
        for kind, (suffix, rate, channels) in KINDS.items():
            path = folder / suffix / f"{number}.{suffix}"
            path.parent.mkdir(exist_ok=True)
            soundfile.write(path, np.clip(left if channels == 1 else wide, -1, 1), rate)
            made[kind].append(path)
    return made


def _read(file: Path) -> tuple[np.ndarray, float, float]:
    samples, rate = soundfile.read(file, dtype="float32", always_2d=True)
    return samples.mean(axis=1), rate, RATE


def spectro(path: Path, out: Path) -> None:
    """Render one clip as a worker does: header, pictures, text chunks, atomic files."""
    shared = {"root": str(path.parent), "folder": str(out), "config": json.dumps(CONFIG.to_dict())}
    assert render_one(shared, {"clip": path.name})["made"] == SECONDS / CONFIG.segment.seconds


def spectro_always_there(path: Path, out: Path) -> None:
    """Render with SciPy's FFT and zlib, as where no wheels of mkl_fft and isal exist."""
    with mock.patch.object(fourier, "rfft", scipy.fft.rfft), mock.patch.object(png, "isal_zlib", None):
        spectro(path, out)


def _librosa(path: Path) -> Iterator[np.ndarray]:
    samples, _ = librosa.load(path, sr=RATE)
    for begin in range(0, len(samples) - LENGTH + 1, LENGTH):
        part = samples[begin : begin + LENGTH]
        power = librosa.feature.melspectrogram(y=part, sr=RATE, n_fft=N_FFT, hop_length=HOP, n_mels=128)
        yield librosa.power_to_db(power, ref=np.max)


def librosa_pillow(path: Path, out: Path) -> None:
    """Do what most scripts of the field do, and scale to grey by hand."""
    for number, db in enumerate(_librosa(path)):
        grey = np.floor((db[::-1] + 80) * (255 / 80) + 0.5).astype(np.uint8)
        Image.fromarray(grey).save(out / f"{path.name}-{number}.png")


def librosa_matplotlib(path: Path, out: Path) -> None:
    """Do what most notebooks of the field do: a figure without axes, saved."""
    for number, db in enumerate(_librosa(path)):
        figure = plt.figure(figsize=(4.32, 2.88), dpi=100)  # the size of the well-known GTZAN pictures
        axes = figure.add_axes((0, 0, 1, 1))
        axes.axis("off")
        librosa.display.specshow(db, sr=RATE, hop_length=HOP, x_axis="time", y_axis="mel", ax=axes)
        figure.savefig(out / f"{path.name}-{number}.png")
        plt.close(figure)


def floor(path: Path, out: Path) -> None:
    """Decode, mix down, resample, and transform each window once: what no renderer can leave out."""
    pcm16 = path.suffix == ".wav"
    samples, rate = soundfile.read(path, dtype="int16" if pcm16 else "float32")
    mono = samples.astype(np.float32) if samples.ndim == 1 else samples @ np.full(2, 0.5, np.float32)
    if rate != RATE:
        mono = soxr.resample(mono, rate, RATE, quality="HQ")
    windows = np.lib.stride_tricks.sliding_window_view(mono, N_FFT)[::HOP]
    window = fourier.hann(N_FFT)
    for begin in range(0, len(windows), fourier.BLOCK):
        fourier.rfft(windows[begin : begin + fourier.BLOCK] * window)


def spin(path: Path, out: Path) -> None:
    """Count: pure work of the processor, which shows how steady the machine is."""
    total = 0
    for number in range(SPIN):
        total += number


def spin_one(shared: dict[str, object], task: dict[str, object]) -> dict[str, object]:
    """Spin about as long as a clip takes; the control of the scaling."""
    spin(Path(), Path())
    return {}
