"""Runs to export: small networks on the small corpus, and ensembles of them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import spectro
from spectro.core.config import FinetuneConfig, ModelConfig, SplitConfig
from spectro.core.runs import Run

CONFIG = FinetuneConfig(frozen_epochs=0, epochs=4, device="cpu", augment="none", mixup=0, cutmix=0, seed=1)


@pytest.fixture(scope="session")
def data(rendered: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small corpus, rendered and split; do not write into it."""
    folder = shutil.copytree(rendered, tmp_path_factory.mktemp("export") / "data")
    spectro.split(folder, config=SplitConfig(test=0.34, val=0.3))
    return folder


@pytest.fixture(scope="session")
def runs(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """Two networks, an ensemble of them by weights, and one of that and a network by the median."""
    folder = tmp_path_factory.mktemp("runs")

    def train(name: str, model: str) -> Run:
        return spectro.finetune(data, out=folder / name, model=ModelConfig(name=model), config=CONFIG, weights="none")

    cnn5, crnn = train("cnn5", "cnn5"), train("crnn", "B-crnn")
    both = spectro.ensemble([cnn5, crnn], out=folder / "both", weights="per-class")
    nested = spectro.ensemble([both, cnn5, crnn], out=folder / "nested", vote="median")
    return {"cnn5": cnn5, "crnn": crnn, "both": both, "nested": nested}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the older exporter, which takes a tenth of the time of the other."""
    from spectro.serving.export import build, network_graph

    monkeypatch.setattr(build, "EXPORTERS", {"torchscript": network_graph.by_torchscript})
