"""Sources that a test may spoil, and helpers that look into folders."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import Noise, WriteAudio


@pytest.fixture
def source(tmp_path: Path, corpus: Path) -> Path:
    """Six clips of two classes that a test may spoil."""
    root = tmp_path / "source"
    for label in ("hum", "hiss"):
        (root / label).mkdir(parents=True)
        for take in range(3):
            [file] = corpus.glob(f"{label}/{label}-{take}-0.*")
            shutil.copy(file, root / label)
    return root


@pytest.fixture
def faulty(source: Path, noise: Noise, write_audio: WriteAudio) -> Path:
    """The source with one file of every fault."""
    write_audio(source / "bad" / "silent.wav", np.zeros(66150, np.float32))
    write_audio(source / "bad" / "blip.wav", noise(0.2))
    write_audio(source / "bad" / "second.wav", noise(1.0))
    nan = noise(2.0)
    nan[30000] = np.nan
    write_audio(source / "bad" / "nan.wav", nan, subtype="FLOAT")
    (source / "bad" / "text.wav").write_text("not found")
    (source / "bad" / "zero.wav").write_bytes(b"")
    cut = write_audio(source / "bad" / "cut.mp3", noise(3.0))
    cut.write_bytes(cut.read_bytes()[:-10000])
    return source


@pytest.fixture
def contents() -> Callable[[Path], dict[str, bytes]]:
    """Return a function that reads all files below a folder."""

    def read(folder: Path) -> dict[str, bytes]:
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    return read
