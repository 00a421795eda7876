"""Training on spectrograms and on features: repeatable to the bit, and used by prediction as it was trained."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from spectro.audio.features.mfcc import MfccConfig
from spectro.audio.features.stats import StatsConfig
from spectro.core.config import Config, FinetuneConfig, ModelConfig
from spectro.core.data_folder import DataFolder
from spectro.core.errors import RunError
from spectro.data.engines import local as engine
from spectro.inference.classifier import load_classifier
from spectro.inference.predict import predict
from spectro.inference.torch_classifier import TorchClassifier
from spectro.models.network import Normalize
from spectro.training.dataset import TrainingData
from spectro.training.finetune import finetune
from tests.training.shared import QUICK, TINY, differing, history

ON_FEATURES = FinetuneConfig(epochs=4, batch_size=8, device="cpu", lr=3e-3)
ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compute features here: fresh workers would take longer to import librosa than these clips take."""
    monkeypatch.setattr(engine, "cores", lambda: 1)


def test_a_run_folder_holds_everything_and_nothing_pickled(finished: Path) -> None:
    names = {path.name for path in finished.iterdir()}
    assert names == {
        ".lock", "card.json", "history.csv", "job.json", "predictions-test.npz", "predictions-val.npz",
        "weights.safetensors",
    }  # fmt: skip
    assert [row["stage"] for row in history(finished)] == ["frozen", "frozen", "finetune", "finetune"]


def test_the_same_command_gives_the_same_numbers(finished: Path, data: Path, tmp_path: Path) -> None:
    again = finetune(data, out=tmp_path / "again", model=TINY, config=QUICK, weights="none").path
    assert history(again) == history(finished)
    assert not differing(finished, again)


AFTER_RENDERING = """
import sys, spectro
from tests.training.shared import QUICK, TINY
spectro.render(sys.argv[1], out=sys.argv[2], workers=1)
spectro.finetune(sys.argv[3], out=sys.argv[4], model=TINY, config=QUICK, weights="none")
"""


@pytest.mark.slow
def test_a_rendering_in_the_same_process_changes_no_bit(
    finished: Path, data: Path, corpus: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    command = [sys.executable, "-c", AFTER_RENDERING, *map(str, (corpus, tmp_path / "other", data, run))]
    subprocess.run(command, check=True, cwd=ROOT)
    assert not differing(finished, run)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "feature", "settings", "shape"),
    [
        ("E-cnn", "mfcc", MfccConfig(n_mfcc=20, n_fft=1024), (20, 44)),
        ("A-cnn-start", "mfcc", MfccConfig(n_mfcc=20, n_fft=1024, hop_length=256), (20, 87)),
        ("D-fnn-simple", "stats", StatsConfig(set="centroid+rms+zcr"), (18, 1)),
    ],
)
def test_a_network_learns_a_feature_and_predicts_files_alike(
    model: str, feature: str, settings: Config, shape: tuple[int, int], data: Path, tmp_path: Path
) -> None:
    run = finetune(
        data,
        out=tmp_path / "run",
        model=ModelConfig(name=model),
        config=ON_FEATURES,
        feature=feature,
        feature_config=settings,
    )
    card = run.card
    facts, trained_on = card.of_model()
    assert (facts.name, trained_on) == (feature, shape)
    assert card.training
    assert card.training.augment == "none"
    losses = [float(row["train_loss"]) for row in run.history()]
    assert losses[-1] < losses[0]
    tested = run.predictions("test")
    file = DataFolder.open(data).source_root() / tested.clip_ids[0]
    predicted = predict(run, [file]).segments
    assert predicted is not None
    assert predicted.ids[0].endswith(tested.ids[0])
    assert np.abs(predicted.probs - tested.probs[:3]).max() < 1e-4


def test_normalization_is_fitted_to_features_and_saved_with_the_weights(data: Path, tmp_path: Path) -> None:
    settings = MfccConfig(n_mfcc=20, n_fft=1024, hop_length=256)
    config = FinetuneConfig(epochs=1, batch_size=8, device="cpu")
    model = ModelConfig(name="A-cnn-start")
    run = finetune(data, out=tmp_path / "run", model=model, config=config, feature="mfcc", feature_config=settings)
    dataset = TrainingData.open(data, "group", feature="mfcc", feature_config=settings)
    train = dataset.arrays()[dataset.subsets["train"]]
    loaded = load_classifier(run)
    assert isinstance(loaded, TorchClassifier)
    normalize = loaded.network.normalize
    assert isinstance(normalize, Normalize)
    assert float(normalize.mean) == pytest.approx(train.mean(), rel=1e-4)
    assert float(normalize.std) == pytest.approx(train.std(), rel=1e-4)


@pytest.mark.slow
def test_another_feature_in_the_same_folder_is_refused(data: Path, tmp_path: Path) -> None:
    config = FinetuneConfig(epochs=1, batch_size=8, device="cpu")
    model, out = ModelConfig(name="D-fnn-simple"), tmp_path / "run"
    rms, zcr = StatsConfig(set="rms"), StatsConfig(set="zcr")
    finetune(data, out=out, model=model, config=config, feature="stats", feature_config=rms)
    with pytest.raises(RunError, match=r"feature\.stats"):
        finetune(data, out=out, model=model, config=config, feature="stats", feature_config=zcr)
