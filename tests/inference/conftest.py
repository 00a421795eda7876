"""Runs for the tests of inference: networks with random weights, made without any training."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

import spectro
from spectro.core.card import FeatureFacts, ModelFacts
from spectro.core.config import ModelConfig, RenderConfig, SplitConfig
from spectro.core.runs import Run
from spectro.models import build
from tests.builders import model_card
from tests.conftest import CLASSES

MakeRun = Callable[..., Run]


@pytest.fixture(scope="session")
def make_network_run() -> MakeRun:
    """`make_network_run(path, config, seed=0, **card fields)` -> run of a small network with random weights."""

    def make(path: Path, config: RenderConfig, seed: int = 0, **changes: Any) -> Run:
        shape = (config.mel.n_mels, 1 + round(config.segment.seconds * config.mel.sample_rate) // config.mel.hop_length)
        network = ModelConfig(name="cnn5")
        torch.manual_seed(seed)
        weights = build(network, len(CLASSES), shape).state_dict()
        run = Run(path)
        path.mkdir(parents=True)
        safetensors.torch.save_file({name: tensor.contiguous() for name, tensor in weights.items()}, run.weights_path)
        card = model_card(
            path.name,
            labels=CLASSES,
            feature=FeatureFacts(name="mel", kind="frames", config_id=config.config_id(), config=config.to_dict()),
            input=shape,
            model=ModelFacts(name="cnn5", parameters=1, network=network, settings={}),
            **changes,
        )
        run.write_card(card)
        return Run.open(path)

    return make


@pytest.fixture(scope="module")
def data(rendered: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small corpus, rendered and split; do not write into it."""
    copy = shutil.copytree(rendered, tmp_path_factory.mktemp("inference") / "data")
    spectro.split(copy, config=SplitConfig(test=0.3, val=0.3))
    return copy
