"""A saved run: its card, its permissions, its temperature, and a loaded model that predicts as the trained one."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest

from spectro.core.config import RenderConfig
from spectro.core.errors import RunError
from spectro.core.runs import Run
from spectro.data.render import render
from spectro.inference.classifier import load_classifier, predict_spectrograms
from spectro.inference.temperature import fit_temperature
from spectro.training.dataset import TrainingData
from spectro.training.finetune import finetune
from tests.training.shared import QUICK, TINY


def test_the_card_records_data_split_model_and_training(finished: Path, data: Path) -> None:
    card, dataset = Run.open(finished).card, TrainingData.open(data, "group")
    assert card.kind == "torch"
    assert card.labels == ("chirp", "hiss", "hum", "pulse")
    assert card.history
    assert (card.history.finetune_starts, card.training) == (3, QUICK)
    assert not card.split.leaky
    assert card.split.sha256 == dataset.split.sha256
    assert card.split.segments == {subset: len(items) for subset, items in dataset.subsets.items()}
    assert (card.data.config_id, card.data.clips, card.data.segments) == (dataset.store.config_id, 24, 72)
    assert card.model
    assert (card.model.network, card.of_model()[1]) == (TINY, dataset.shape)
    assert card.files.keys() == {
        "weights.safetensors",
        "history.csv",
        "predictions-val.npz",
        "predictions-test.npz",
    }
    assert card.command == ""


def test_the_command_of_the_caller_is_recorded(data: Path, tmp_path: Path) -> None:
    command = "spectro finetune data"
    config = dataclasses.replace(QUICK, epochs=0)
    run = finetune(data, out=tmp_path / "run", model=TINY, config=config, weights="none", command=command)
    assert run.card.command == command


def test_the_temperature_is_fitted_on_voted_validation(finished: Path, data: Path, tmp_path: Path) -> None:
    run = Run.open(finished)
    assert run.card.temperature == fit_temperature(run.predictions("val").pool(run.card.vote))
    assert run.card.temperature != 1
    config = dataclasses.replace(QUICK, epochs=0)
    without = finetune(data, out=tmp_path / "run", split="noval", model=TINY, config=config, weights="none")
    assert without.card.temperature == 1
    assert not without.has_predictions("val")


def test_all_files_can_be_read_by_whom_the_umask_allows(finished: Path) -> None:
    umask = os.umask(0)
    os.umask(umask)
    assert {path.name: path.stat().st_mode & 0o777 for path in finished.iterdir()} == {
        path.name: 0o666 & ~umask for path in finished.iterdir()
    }


def test_a_loaded_model_predicts_as_the_trained_one(finished: Path, data: Path) -> None:
    dataset = TrainingData.open(data, "group")
    probs = load_classifier(finished).predict_proba(dataset.store.spectrograms()[dataset.subsets["test"]])
    assert np.abs(Run.open(finished).predictions("test").probs - probs).max() < 1e-5


def test_other_spectrograms_are_predicted_only_if_rendered_alike(
    finished: Path, data: Path, corpus: Path, tmp_path: Path, small: RenderConfig
) -> None:
    everything = predict_spectrograms(finished, data)
    test = Run.open(finished).predictions("test")
    rows = [everything.ids.index(name) for name in test.ids]
    assert np.abs(everything.probs[rows] - test.probs).max() < 1e-5
    other = dataclasses.replace(small, mel=dataclasses.replace(small.mel, hop_length=256))
    elsewhere = render(corpus, out=tmp_path / "other", config=other, workers=1).data
    with pytest.raises(RunError, match=r"mel\.hop_length: 512 here, 256 there"):
        predict_spectrograms(finished, elsewhere)
