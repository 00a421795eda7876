"""Synthetic sound for every test: seeded tones and noise, a small corpus as folder and as CSV, and small settings."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pytest
import soundfile

from spectro.core.arrays import Floats32
from spectro.core.config import MelConfig, RenderConfig, SegmentConfig
from tests.raylets import Raylets

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported: threads slow down work on tiny tensors
# Two processes that fill one numba cache at once can leave one that crashes whoever loads it. It is set, not only where
# it is not set yet, since a worker inherits the value of the process that started it.
os.environ["NUMBA_CACHE_DIR"] = str(
    Path(__file__).parent.parent / ".numba_cache" / os.environ.get("PYTEST_XDIST_WORKER", "main")
)

CLASSES = ("chirp", "hiss", "hum", "pulse")
GROUPS = 3
CLIPS_PER_GROUP = 2
SECONDS = 3.0
RATE = 22050


class Tone(Protocol):
    """`tone(seconds=1.0, hz=440.0, rate=22050, gain=0.5)`."""

    def __call__(self, seconds: float = 1.0, hz: float = 440.0, rate: int = RATE, gain: float = 0.5) -> Floats32:
        """Return a sine, `[n]`."""


class Noise(Protocol):
    """`noise(seconds=1.0, rate=22050, gain=0.2, seed=0)`."""

    def __call__(self, seconds: float = 1.0, rate: int = RATE, gain: float = 0.2, seed: int = 0) -> Floats32:
        """Return white noise, `[n]`."""


class WriteAudio(Protocol):
    """`write_audio(path, samples, rate=22050, **soundfile options)`."""

    def __call__(self, path: Path, samples: np.ndarray, rate: int = RATE, **options: Any) -> Path:
        """Write an audio file, with the folders it needs; return its path."""


def texture(label: str, group: int, take: int, seconds: float = SECONDS, rate: int = RATE) -> Floats32:
    """Return a sound `[n]` whose class is audible, with a pitch of its group and the noise of its take."""
    rng = np.random.default_rng([CLASSES.index(label), group, take])
    time = np.arange(int(seconds * rate)) / rate
    pitch = 1 + 0.15 * group
    clean: np.ndarray
    if label == "hum":
        clean = np.sum([np.sin(2 * np.pi * 110 * pitch * k * time) / k for k in (1, 2, 3, 4)], axis=0)
    elif label == "chirp":
        clean = np.sin(2 * np.pi * (800 * pitch * time + 900 * np.sin(2 * np.pi * time)))
    elif label == "pulse":
        clean = np.sin(2 * np.pi * 440 * pitch * time) * (np.sin(2 * np.pi * 4 * pitch * time) > 0.6)
    else:
        clean = np.diff(rng.standard_normal(len(time) + 1)) * pitch
    mixed = 0.2 * clean + 0.01 * rng.standard_normal(len(time))
    return np.clip(mixed, -1, 1).astype(np.float32)


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder per class: 4 classes x 3 groups x 2 clips of 3 s, wav, flac and ogg mixed; do not write into it."""
    root = tmp_path_factory.mktemp("corpus")
    for label in CLASSES:
        (root / label).mkdir()
        for group in range(GROUPS):
            for take in range(CLIPS_PER_GROUP):
                suffix = ("wav", "flac", "ogg")[(group + take) % 3]
                samples = texture(label, group, take)
                soundfile.write(root / label / f"{label}-{group}-{take}.{suffix}", samples, RATE)
    return root


@pytest.fixture(scope="session")
def corpus_csv(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`clips.csv` of the same corpus with the columns path, label, group, fold (fold = number of the group)."""
    path = tmp_path_factory.mktemp("corpus-csv") / "clips.csv"
    rows = []
    for file in sorted(entry for entry in corpus.rglob("*.*") if entry.is_file()):
        label, group, _ = file.stem.split("-")
        rows.append(f"{file},{label},{label}-{group},{group}")
    path.write_text("\n".join(["path,label,group,fold", *rows]) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def small() -> RenderConfig:
    """Settings that make spectrograms of 32 x 44: three 1-second segments a clip."""
    return RenderConfig(mel=MelConfig(n_fft=1024, n_mels=32), segment=SegmentConfig(seconds=1.0))


@pytest.fixture(scope="session")
def tone() -> Tone:
    """Return a function that makes a sine."""

    def make(seconds: float = 1.0, hz: float = 440.0, rate: int = RATE, gain: float = 0.5) -> Floats32:
        return (gain * np.sin(2 * np.pi * hz * np.arange(int(seconds * rate)) / rate)).astype(np.float32)

    return make


@pytest.fixture(scope="session")
def noise() -> Noise:
    """Return a function that makes white noise."""

    def make(seconds: float = 1.0, rate: int = RATE, gain: float = 0.2, seed: int = 0) -> Floats32:
        samples = gain * np.random.default_rng(seed).standard_normal(int(seconds * rate))
        return np.clip(samples, -1, 1).astype(np.float32)

    return make


@pytest.fixture
def write_audio() -> WriteAudio:
    """Return a function that writes an audio file."""

    def write(path: Path, samples: np.ndarray, rate: int = RATE, **options: Any) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, samples, rate, **options)
        return path

    return write


@pytest.fixture(scope="session")
def rendered(corpus_csv: Path, small: RenderConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data folder of `corpus_csv` rendered with `small`: 72 spectrograms; do not write into it, copy it first."""
    from spectro.data.render import render

    return render(corpus_csv, out=tmp_path_factory.mktemp("rendered"), config=small, workers=1).data


@pytest.fixture(scope="session")
def s3() -> Iterator[Callable[[], str]]:
    """Return a function that makes an empty bucket on a server of this process, and returns its URL."""
    from tests.buckets import serving_buckets

    with serving_buckets() as make:
        yield make


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[Raylets]:
    """Return a Ray cluster of two machines with one core each, both of them this one."""
    from tests.raylets import two_raylets

    with two_raylets() as raylets:
        yield raylets
