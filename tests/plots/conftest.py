"""A data folder with a split, and a small run on it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from spectro.core.config import FinetuneConfig, ModelConfig, SplitConfig
from spectro.core.runs import Run
from spectro.data.engines import local as engine
from spectro.data.splits import split
from spectro.training.finetune import finetune


@pytest.fixture(autouse=True)
def _in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compute features here: new workers would take longer to import librosa than these clips take."""
    monkeypatch.setattr(engine, "cores", lambda: 1)


@pytest.fixture(scope="session")
def data(rendered: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The rendered corpus with a split; do not write into it."""
    folder = Path(shutil.copytree(rendered, tmp_path_factory.mktemp("plots") / "data"))
    split(folder, config=SplitConfig(test=0.34, val=0.3))
    return folder


@pytest.fixture(scope="session")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A small network, trained for two epochs; do not write into it."""
    config = FinetuneConfig(frozen_epochs=1, epochs=1, batch_size=16, device="cpu")
    out = tmp_path_factory.mktemp("plots-run") / "run"
    return finetune(data, out=out, model=ModelConfig(name="test_resnet"), config=config, weights="none")
