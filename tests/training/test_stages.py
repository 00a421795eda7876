"""Stages: every setting trains, frozen layers stay as they are, and cached inputs train like computed ones."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from spectro.core.config import FinetuneConfig, ModelConfig
from spectro.core.errors import ConfigError
from spectro.core.files import read_csv
from spectro.training.finetune import finetune
from spectro.training.stages import resolve_settings
from tests.training.shared import QUICK, TINY


@pytest.mark.parametrize(
    "change",
    [
        {"balance": "none"}, {"balance": "sampler"}, {"balance": "focal"}, {"mixup": 0.4}, {"cutmix": 0.0},
        {"ema_decay": 0.9}, {"lr_schedule": "plateau", "patience": 1}, {"lr_schedule": "constant"},
        {"freeze_bn": True}, {"unfreeze": 1}, {"layer_decay": 0.7}, {"augment": "none"}, {"frozen_epochs": 0},
        {"grad_clip": 0.0}, {"precision": "bf16"},
        {"unfreeze": 1, "cache_finetune": True, "views": 2, "layer_decay": 0.7},
    ],
)  # fmt: skip
@pytest.mark.slow
def test_every_setting_trains(data: Path, tmp_path: Path, change: dict[str, Any]) -> None:
    config = dataclasses.replace(QUICK, **{"frozen_epochs": 1, "epochs": 1, **change})
    run = finetune(data, out=tmp_path / "run", model=TINY, config=config, weights="none")
    assert np.isfinite(run.predictions("test").probs).all()
    assert run.card.training == resolve_settings(TINY, config, 1)


def test_unfreezing_the_last_stage_leaves_the_first_as_it_was(data: Path, tmp_path: Path) -> None:
    config = dataclasses.replace(QUICK, epochs=0)
    first = finetune(data, out=tmp_path / "a", model=TINY, config=config, weights="none")
    config = dataclasses.replace(QUICK, frozen_epochs=0, epochs=2, unfreeze=1, finetune_lr=1e-2)
    second = finetune(data, out=tmp_path / "b", model=TINY, config=config, weights="none")
    before, after = load_file(first.weights_path), load_file(second.weights_path)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert not any(name.startswith(("backbone.model.conv1", "backbone.model.layer1")) for name in changed)


@pytest.mark.parametrize(("freeze_bn", "head"), [(False, "linear"), (True, "linear"), (True, "multi")])
def test_cached_inputs_train_like_the_frozen_stages(data: Path, tmp_path: Path, freeze_bn: bool, head: str) -> None:
    config = dataclasses.replace(
        QUICK, epochs=3, unfreeze=2, augment="none", mixup=0.0, cutmix=0.0, freeze_bn=freeze_bn
    )
    runs = [
        finetune(
            data,
            out=tmp_path / str(wanted),
            model=dataclasses.replace(TINY, dropout=0.0, head=head),
            config=dataclasses.replace(config, cache_finetune=wanted),
            weights="none",
        )
        for wanted in (False, True)
    ]
    losses = [[float(row["train_loss"]) for row in read_csv(run.history_path, ("train_loss",))] for run in runs]
    computed, cached = (run.predictions("test").probs for run in runs)
    assert np.allclose(losses[0], losses[1], atol=2e-3)  # the cache keeps 11 bits of each number
    assert np.allclose(computed, cached, atol=5e-3)


def test_caching_without_frozen_stages_is_refused() -> None:
    with pytest.raises(ConfigError, match="unfreeze"):
        FinetuneConfig(cache_finetune=True)


def test_epochs_depend_on_the_model_where_none_are_given(data: Path, tmp_path: Path) -> None:
    many, few, own = 10**6, 50, ModelConfig(name="cnn5")
    assert resolve_settings(TINY, FinetuneConfig(), many).epochs == 10
    assert resolve_settings(own, FinetuneConfig(), many).epochs == 30
    assert resolve_settings(TINY, FinetuneConfig(epochs=0), few).epochs == 0
    assert resolve_settings(own, FinetuneConfig(epochs=7), few).epochs == 7
    assert resolve_settings(ModelConfig(head="multi"), FinetuneConfig(), few).freeze_bn
    assert resolve_settings(TINY, FinetuneConfig(min_steps=1000, batch_size=16), few).epochs == 250  # of 4 steps
    config = dataclasses.replace(QUICK, epochs=None, min_steps=0)
    run = finetune(data, out=tmp_path / "run", model=TINY, config=config, weights="none")
    assert run.card.training == dataclasses.replace(config, epochs=10, freeze_bn=False)
    same = finetune(data, out=run.path, model=TINY, config=dataclasses.replace(config, epochs=10), weights="none")
    assert same.path == run.path


def test_an_own_network_learns_the_synthetic_classes(data: Path, tmp_path: Path) -> None:
    config = dataclasses.replace(QUICK, epochs=12, lr=3e-3, augment="none")
    run = finetune(data, out=tmp_path / "cnn5", model=ModelConfig(name="cnn5"), config=config)
    clips = run.predictions("test").pool()
    assert (clips.predicted == clips.truth).mean() >= 0.75
    assert {row["stage"] for row in run.history()} == {"scratch"}


def test_an_own_network_is_not_left_untrained(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'cnn5' has no frozen stage"):
        finetune(data, out=tmp_path / "run", model=ModelConfig(name="cnn5"), config=FinetuneConfig(epochs=0))
