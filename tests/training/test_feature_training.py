"""Networks on features: trained, resumed, saved and served by the same code as networks on pictures."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from spectro.audio.features.mfcc import MfccConfig
from spectro.audio.features.stats import StatsConfig
from spectro.core.config import FinetuneConfig, ModelConfig, SplitConfig
from spectro.core.errors import RunError
from spectro.data.engines import local as engine
from spectro.data.splits import split
from spectro.inference.classifier import TorchClassifier, load_classifier
from spectro.inference.predict import predict
from spectro.models.network import Normalize
from spectro.training.dataset import TrainingData
from spectro.training.finetune import finetune

QUICK = FinetuneConfig(epochs=4, finetune_epochs=0, batch_size=8, device="cpu", lr=3e-3)


@pytest.fixture(autouse=True)
def _in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compute features here: fresh workers would take longer to import librosa than these clips take."""
    monkeypatch.setattr(engine, "cores", lambda: 1)


@pytest.fixture(scope="module")
def data(rendered: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("training") / "data"
    shutil.copytree(rendered, folder)
    split(folder, config=SplitConfig(by="group", test=0.34, val=0.3))
    return folder


@pytest.mark.parametrize(
    ("model", "feature", "settings", "shape"),
    [
        ("E-cnn", "mfcc", MfccConfig(n_mfcc=20, n_fft=1024), [20, 44]),
        ("A-cnn-start", "mfcc", MfccConfig(n_mfcc=20, n_fft=1024, hop_length=256), [20, 87]),
        ("D-fnn-simple", "stats", StatsConfig(set="centroid+rms+zcr"), [18, 1]),
    ],
)
def test_a_network_learns_a_feature_and_says_the_same_of_a_file(
    model: str, feature: str, settings: MfccConfig, shape: list[int], data: Path, tmp_path: Path
) -> None:
    run = finetune(
        data, out=tmp_path / "run", model=ModelConfig(name=model), config=QUICK, feature=feature,
        feature_config=settings,
    )  # fmt: skip
    card = run.card()
    assert card["input"] == shape
    assert card["feature"]["name"] == feature
    assert card["training"]["augment"] == "none"
    losses = [float(line.split(",")[3]) for line in run.history_path.read_text().splitlines()[1:]]
    assert losses[-1] < losses[0]
    said = run.predictions("test")
    root = Path(json.loads((data / "source.json").read_text())["root"])
    served = predict(run, [root / said.clip_ids[0]]).segments
    assert served.ids[0].endswith(said.ids[0])
    assert np.abs(served.probs - said.probs[:3]).max() < 1e-4


def test_fixed_numbers_give_way_to_those_of_the_training_items_and_travel_with_the_weights(
    data: Path, tmp_path: Path
) -> None:
    settings = MfccConfig(n_mfcc=20, n_fft=1024, hop_length=256)
    config = FinetuneConfig(epochs=1, finetune_epochs=0, batch_size=8, device="cpu")
    model = ModelConfig(name="A-cnn-start")
    run = finetune(data, out=tmp_path / "run", model=model, config=config, feature="mfcc", feature_config=settings)
    dataset = TrainingData.open(data, "group", feature="mfcc", feature_config=settings)
    train = dataset.arrays()[dataset.folds["train"]]
    loaded = load_classifier(run)
    assert isinstance(loaded, TorchClassifier)
    normalize = loaded.network.normalize
    assert isinstance(normalize, Normalize)
    assert float(normalize.mean) == pytest.approx(train.mean(), rel=1e-4)
    assert float(normalize.std) == pytest.approx(train.std(), rel=1e-4)


def test_another_feature_in_the_same_folder_is_refused(data: Path, tmp_path: Path) -> None:
    config = FinetuneConfig(epochs=1, finetune_epochs=0, batch_size=8, device="cpu")
    model = ModelConfig(name="D-fnn-simple")
    for name, refused in (("rms", False), ("zcr", True)):
        settings = StatsConfig(set=name)
        if not refused:
            finetune(data, out=tmp_path / "run", model=model, config=config, feature="stats", feature_config=settings)
            continue
        with pytest.raises(RunError, match=r"feature\.stats"):
            finetune(data, out=tmp_path / "run", model=model, config=config, feature="stats", feature_config=settings)
