"""A vision transformer is fine-tuned, interrupted, cached, asked and explained like a convolutional network."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import spectro
from spectro.core.config import ModelConfig
from spectro.core.data_folder import DataFolder
from spectro.core.errors import RunError
from spectro.data.store import open_store
from spectro.explain.saliency import grad_cam, occlusion
from spectro.inference.batches import to_input
from spectro.inference.classifier import load_classifier
from spectro.inference.torch_classifier import TorchClassifier
from spectro.training import finetune as finetune_module
from spectro.training.finetune import finetune
from tests.training.shared import QUICK, differing, history

TOKENS = ModelConfig(name="test_vit", dropout=0.0)
LAST = dataclasses.replace(QUICK, frozen_epochs=1, unfreeze=2, augment="none", mixup=0.0, cutmix=0.0)

pytestmark = pytest.mark.slow


def test_frozen_blocks_keep_their_tokens_and_positions(data: Path, tmp_path: Path) -> None:
    """Computed from a cache of tokens, and from the spectrograms, training is the same; what is frozen stays."""
    start = finetune(
        data, out=tmp_path / "start", model=TOKENS, config=dataclasses.replace(QUICK, epochs=0), weights="none"
    )
    runs = [
        finetune(
            data,
            out=tmp_path / str(cached),
            model=TOKENS,
            config=dataclasses.replace(LAST, cache_finetune=cached),
            weights="none",
        )
        for cached in (False, True)
    ]
    computed, cached = (run.predictions("test").probs for run in runs)
    assert np.allclose(computed, cached, atol=5e-3)  # the cache keeps 11 bits of each number
    before, after = load_file(start.weights_path), load_file(runs[1].weights_path)
    changed = {name.removeprefix("backbone.model.") for name in before if not torch.equal(before[name], after[name])}
    assert any(name.startswith("blocks.5.") for name in changed)
    frozen = ("cls_token", "pos_embed", "patch_embed.", "blocks.0.", "blocks.3.")
    assert not any(name.startswith(frozen) for name in changed)


def test_an_interrupted_run_goes_on_to_the_same_bits(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = finetune(data, out=tmp_path / "whole", model=TOKENS, config=QUICK, weights="none")
    save = finetune_module.save_checkpoint

    def stop(*arguments: object, **options: object) -> None:
        save(*arguments, **options)  # type: ignore[arg-type]
        raise RunError("stop here")

    with monkeypatch.context() as patch:
        patch.setattr(finetune_module, "save_checkpoint", stop)
        with pytest.raises(RunError, match="stop here"):
            finetune(data, out=tmp_path / "parts", model=TOKENS, config=QUICK, weights="none")
    parts = finetune(data, out=tmp_path / "parts", model=TOKENS, config=QUICK, weights="none")
    assert history(parts.path) == history(whole.path)
    assert not differing(whole.path, parts.path)


def test_a_run_of_tokens_predicts_and_is_explained(data: Path, tmp_path: Path) -> None:
    run = finetune(data, out=tmp_path / "run", model=TOKENS, config=QUICK, weights="none")
    folder = DataFolder.open(data)
    assert len(spectro.predict(run, folder.source_root() / folder.clips[0].id).answers) == 1
    classifier = load_classifier(run, "cpu")
    assert isinstance(classifier, TorchClassifier)
    image = np.array(open_store(data).spectrograms()[0])
    importance = grad_cam(classifier.network, image, 0)
    assert importance is None or importance.shape == image.shape
    assert occlusion(classifier.predict_proba, image, 0).shape == image.shape
    maps = classifier.network.features(to_input(image[None]))
    assert maps.shape[2] > 1
    assert maps.shape[3] > 1
