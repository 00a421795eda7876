"""Classifiers: chosen by the kind of the card, on a device that exists, without libraries that nobody asked for."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from spectro.core.card import FeatureFacts
from spectro.core.config import RenderConfig
from spectro.core.errors import ConfigError, RunError
from spectro.data.store import open_store
from spectro.inference.classifier import CLASSIFIERS, load_classifier, predict_spectrograms
from spectro.inference.torch_classifier import TorchClassifier, resolve_device
from tests.builders import ensemble_card, make_run, model_card
from tests.conftest import CLASSES
from tests.inference.conftest import MakeRun

HEAVY = "torch torchvision timm sklearn skops lightning_fabric matplotlib librosa scipy rich xgboost"


@pytest.mark.parametrize("module", ["spectro.inference.predict", "spectro.serving", "spectro.serving.hub"])
def test_importing_loads_no_learning_or_drawing_library(module: str) -> None:
    code = f"import {module}, sys; print(*sorted(set({HEAVY.split()!r}) & set(sys.modules)))"
    output = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert output.split() == []


def test_kinds_are_loaded_by_the_registry_and_others_refused(tmp_path: Path) -> None:
    assert set(CLASSIFIERS) == {"torch", "sklearn", "probe", "onnx"}
    strange = make_run(tmp_path / "strange", card=model_card(kind="oracle"))
    with pytest.raises(RunError, match="kind 'oracle', but only torch, sklearn"):
        load_classifier(strange)
    both = make_run(tmp_path / "both")
    both.write_card(ensemble_card(both, {"one": strange.path}))
    with pytest.raises(RunError, match="is an ensemble, not one model; load its members: one"):
        load_classifier(both)


def test_weights_that_do_not_fit_are_one_line(tmp_path: Path, make_network_run: MakeRun, small: RenderConfig) -> None:
    run = make_network_run(tmp_path / "run", small)
    run.write_card(replace(run.card, labels=(*CLASSES, "more")))
    with pytest.raises(RunError, match=r"weights\.safetensors does not fit the card") as caught:
        load_classifier(run, "cpu")
    assert "\n" not in str(caught.value)
    whole = run.weights_path.read_bytes()
    run.weights_path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(RunError, match=r"weights\.safetensors is damaged"):
        load_classifier(run, "cpu")
    run.weights_path.unlink()
    with pytest.raises(RunError, match=r"weights\.safetensors cannot be read"):
        load_classifier(run, "cpu")
    run.write_card(replace(run.card, model=None))
    with pytest.raises(RunError, match="does not describe a network"):
        load_classifier(run, "cpu")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("xyz", r"unknown device 'xyz' \(have: auto, cpu, cuda, mps\)"),
        ("cud", "did you mean 'cuda'"),
        ("cuda:first", "unknown device"),
        ("cpu:1", "no 'cpu:1' on this machine"),
        ("cuda:999", "no 'cuda:999' on this machine"),
    ],
)
def test_a_device_that_does_not_exist_is_one_line(name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        resolve_device(name)


def test_the_cpu_is_always_there() -> None:
    assert resolve_device("cpu") == "cpu"
    assert resolve_device("auto") in ("cpu", "cuda")


def test_spectrograms_of_a_data_folder_are_predicted(
    data: Path, tmp_path: Path, make_network_run: MakeRun, small: RenderConfig
) -> None:
    run = make_network_run(tmp_path / "run", small)
    predictions = predict_spectrograms(run, data, "cpu")
    store, classifier = open_store(data), load_classifier(run, "cpu")
    assert isinstance(classifier, TorchClassifier)
    assert predictions.ids == tuple(segment.id for segment in store.segments)
    assert [CLASSES[item] for item in predictions.truth] == [segment.clip.label for segment in store.segments]
    np.testing.assert_array_equal(predictions.probs, classifier.predict_proba(store.spectrograms()))
    run.write_card(replace(run.card, labels=("bark", *CLASSES[1:])))
    assert (predict_spectrograms(run, data, "cpu").truth == -1).sum() == len(store.segments) / len(CLASSES)


def test_spectrograms_of_other_settings_are_refused(
    data: Path, tmp_path: Path, make_network_run: MakeRun, small: RenderConfig
) -> None:
    run = make_network_run(tmp_path / "run", replace(small, mel=replace(small.mel, n_mels=40)))
    with pytest.raises(RunError, match=r"n_mels.*render them again"):
        predict_spectrograms(run, data, "cpu")
    settings = {"stats": {}, "segment": small.segment.to_dict()}
    feature = FeatureFacts(name="stats", kind="vector", config_id="0", config=settings)
    run.write_card(replace(run.card, feature=feature))
    with pytest.raises(RunError, match="takes the feature 'stats', not spectrograms"):
        predict_spectrograms(run, data, "cpu")
