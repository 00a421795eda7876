"""Classical models on the features of a frozen backbone: one run, which predicts from spectrograms alone."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest

from spectro.core.config import ClassicalConfig, ModelConfig
from spectro.core.errors import ConfigError, RunError
from spectro.core.files import read_csv
from spectro.core.runs import Run
from spectro.data.store import open_store
from spectro.inference.classifier import load_classifier, predict_spectrograms
from spectro.inference.probe_classifier import ProbeClassifier
from spectro.training.probe import write_vectors
from spectro.training.train_classical import train_classical
from tests.training.shared import TINY

FIXED = ClassicalConfig(search=False)


@pytest.fixture(scope="module")
def probe(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A logistic regression on the features of a small backbone; only read."""
    out = tmp_path_factory.mktemp("probe") / "run"
    return train_classical(
        data, out=out, model="logistic", feature="backbone", backbone=TINY, weights="none", config=FIXED
    )


def test_a_probe_predicts_from_spectrograms_what_it_was_tested_with(probe: Run, data: Path) -> None:
    assert probe.card.kind == "probe"
    assert probe.card.model is not None
    assert probe.card.model.network == dataclasses.replace(TINY, head="multi")
    tested, fresh = probe.predictions("test"), predict_spectrograms(probe, data)
    place = {segment: item for item, segment in enumerate(fresh.ids)}
    assert np.allclose(fresh.probs[[place[segment] for segment in tested.ids]], tested.probs, atol=1e-3)
    assert (tested.predicted == tested.truth).mean() > 0.5
    embedded = load_classifier(probe).predict_embedded(np.zeros((2, *probe.card.input), np.uint8))  # type: ignore[attr-defined, misc]
    assert embedded.vectors.shape[0] == 2


def test_the_same_call_returns_the_run_and_another_backbone_is_refused(probe: Run, data: Path) -> None:
    def again(backbone: ModelConfig) -> Run:
        return train_classical(
            data, out=probe.path, model="logistic", feature="backbone", backbone=backbone, weights="none", config=FIXED
        )

    before = probe.card_path.read_bytes()
    assert again(TINY).card == probe.card
    assert probe.card_path.read_bytes() == before
    with pytest.raises(RunError, match=r"stages"):
        again(dataclasses.replace(TINY, stages=2))


def test_a_probe_without_its_backbone_is_refused(probe: Run, tmp_path: Path) -> None:
    copied = shutil.copytree(probe.path, tmp_path / "run")
    (copied / "weights.safetensors").unlink()
    with pytest.raises(RunError, match=r"weights\.safetensors"):
        load_classifier(copied)


def test_own_networks_are_not_probed(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no pretrained weights"):
        train_classical(data, out=tmp_path / "run", feature="backbone", backbone=ModelConfig(name="cnn5"))


def test_the_vectors_of_a_backbone_are_a_table(probe: Run, data: Path, tmp_path: Path) -> None:
    segments, values = write_vectors(data, tmp_path / "table.csv", config=TINY, weights="none")
    rows = read_csv(tmp_path / "table.csv", ("segment", "clip", "label", "group", "start", f"test_resnet_{values}"))
    assert len(rows) == segments == 72
    assert probe.card.model is not None
    inputs = np.array([[float(row[f"test_resnet_{number + 1}"]) for number in range(values)] for row in rows])
    classifier = load_classifier(probe)
    assert isinstance(classifier, ProbeClassifier)
    assert np.allclose(inputs, classifier.features(open_store(data).spectrograms()), rtol=1e-3, atol=1e-3)
