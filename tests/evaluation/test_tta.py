"""Test-time augmentation and maps of a network: they read a run and its audio, and write nothing into the run."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

import spectro
from spectro.core.card import FeatureFacts, ModelFacts
from spectro.core.config import ModelConfig, RenderConfig, SplitConfig
from spectro.core.data_folder import DataFolder
from spectro.core.errors import DataError, RunError
from spectro.core.runs import Run
from spectro.core.tables import Subset
from spectro.evaluation.projection import map_clips, run_vectors
from spectro.evaluation.statistics import BootstrapConfig
from spectro.evaluation.tta import compare_overlap
from spectro.inference.classifier import predict_spectrograms
from spectro.inference.temperature import apply_temperature
from spectro.models import build
from tests.builders import model_card, replace_predictions, split_facts
from tests.conftest import CLASSES
from tests.evaluation.test_ensemble import contents

QUICK = BootstrapConfig(repeats=50)


@pytest.fixture(scope="module")
def data(rendered: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small corpus, rendered and split; do not write into it."""
    copy = shutil.copytree(rendered, tmp_path_factory.mktemp("tta") / "data")
    spectro.split(copy, config=SplitConfig(test=0.3, val=0.3))
    return copy


@pytest.fixture(scope="module")
def run(data: Path, small: RenderConfig, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A network with random weights and its predictions of the split's subsets; do not write into it."""
    run = Run(tmp_path_factory.mktemp("tta") / "run")
    run.path.mkdir()
    network, shape = ModelConfig(name="cnn5"), (32, 44)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        weights = build(network, len(CLASSES), shape).state_dict()
    safetensors.torch.save_file({name: tensor.contiguous() for name, tensor in weights.items()}, run.weights_path)
    card = model_card(
        "network",
        labels=CLASSES,
        feature=FeatureFacts(name="mel", kind="frames", config_id=small.config_id(), config=small.to_dict()),
        input=shape,
        model=ModelFacts(name="cnn5", parameters=1, network=network, settings={}),
        temperature=1.5,
    )
    run.write_card(replace(card, data=replace(card.data, path=str(data), config_id=small.config_id())))
    everything = predict_spectrograms(run, data, device="cpu")
    assigned = DataFolder.open(data).split("group").assigned
    subsets: tuple[Subset, ...] = ("test", "val")
    for subset in subsets:
        mask = np.array([assigned[clip] == subset for clip in everything.clip_ids])
        replace_predictions(run, subset, everything.select(mask))
    run.write_card(run.card)
    return run


def test_no_overlap_changes_nothing_and_nothing_is_written(run: Run, data: Path) -> None:
    before = contents(run.path)
    same = compare_overlap(run, data, overlap=0.0, device="cpu", config=QUICK)
    assert same.pair.difference.value == 0
    half = compare_overlap(run.path, data, overlap=0.5, device="cpu", config=QUICK)
    assert (half.run, half.subset, half.overlap) == ("network", "test", 0.5)
    assert half.plain.to_dict() == same.plain.to_dict()
    calibrated = apply_temperature(run.clip_predictions("test"), 1.5)
    assert half.plain.clip.n == len(calibrated)
    assert half.plain.clip.accuracy.value == pytest.approx((calibrated.predicted == calibrated.truth).mean())
    assert half.overlapped.clip.log_loss.value != half.plain.clip.log_loss.value
    assert contents(run.path) == before


def test_a_map_of_a_network_leaves_the_run_alone(run: Run, data: Path) -> None:
    before = contents(run.path)
    clip_map = map_clips(run_vectors(run, data=data), ["pca"])
    assert len(clip_map.vectors.clips) == 24
    assert {c["clip"] for c in clip_map.to_dict()["clips"] if c["tested"]} == set(run.predictions("test").clip_ids)
    assert contents(run.path) == before


def test_missing_audio_and_leaky_splits_are_refused(run: Run, data: Path, tmp_path: Path) -> None:
    copy = Run(shutil.copytree(run.path, tmp_path / "run"))
    renamed = run.predictions("test")
    clips = tuple(f"gone/{clip}" for clip in renamed.clip_ids)
    replace_predictions(copy, "test", replace(renamed, clip_ids=clips))
    with pytest.raises(DataError, match="is gone, and 7 others; is"):
        compare_overlap(copy, data, device="cpu")
    copy.write_card(replace(copy.card, split=split_facts(by="segment")))
    with pytest.raises(RunError, match="other segments of its test clips"):
        compare_overlap(copy, data, device="cpu")
