"""Data folders of the tests of experiments, and features computed in this process."""

from __future__ import annotations

from pathlib import Path

import pytest
import soundfile

from spectro.core.config import MelConfig, RenderConfig, SegmentConfig, SplitConfig
from spectro.data.engines import local as engine
from spectro.data.render import render
from spectro.data.splits import split
from tests.conftest import CLASSES, RATE, texture

SPECTROGRAMS = RenderConfig(mel=MelConfig(n_mels=32), segment=SegmentConfig(seconds=1.0))
HELD_OUT = SplitConfig(test=0.25, val=0.25)


@pytest.fixture(autouse=True)
def _in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compute features here: new workers would take longer to import librosa than these clips take."""
    monkeypatch.setattr(engine, "cores", lambda: 1)


@pytest.fixture(scope="session")
def whole_clips(corpus_csv: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 spectrograms of whole clips, since the longest pooling leaves nothing of a shorter sound."""
    config = RenderConfig(mel=MelConfig(n_mels=32), segment=SegmentConfig(seconds=3.0))
    folder = render(corpus_csv, out=tmp_path_factory.mktemp("recipes") / "data", config=config, workers=1).data
    split(folder, config=SplitConfig(by="group", test=0.34, val=0.0))
    return folder


@pytest.fixture(scope="session")
def two_classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`clips.csv` of two classes of four groups with two clips of 2 s each: enough for a validation set."""
    root = tmp_path_factory.mktemp("source")
    rows = ["path,label,group"]
    for label in CLASSES[:2]:
        for group in range(4):
            for take in range(2):
                name = f"{label}-{group}-{take}.wav"
                soundfile.write(root / name, texture(label, group, take, seconds=2.0), RATE)
                rows.append(f"{name},{label},{label}-{group}")
    (root / "clips.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return root / "clips.csv"


@pytest.fixture
def data(two_classes: Path, tmp_path: Path) -> Path:
    """The two classes rendered and split, for tests that write into the folder."""
    folder = render(two_classes, out=tmp_path / "data", config=SPECTROGRAMS, workers=1).data
    split(folder, config=HELD_OUT)
    return folder


@pytest.fixture(scope="session")
def shared(two_classes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, for tests that only read it."""
    folder = render(two_classes, out=tmp_path_factory.mktemp("shared"), config=SPECTROGRAMS, workers=1).data
    split(folder, config=HELD_OUT)
    return folder
