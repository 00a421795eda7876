"""Every classical model keeps one contract: searched without leaks, saved without pickle, served like any other run."""

from __future__ import annotations

import builtins
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io
from sklearn.linear_model import Ridge

from spectro.audio.features.stats import StatsConfig
from spectro.core.config import SplitConfig
from spectro.core.errors import ConfigError, RunError
from spectro.core.runs import Run
from spectro.data.engines import local as engine
from spectro.data.splits import split
from spectro.evaluation.ensemble import ensemble
from spectro.evaluation.evaluate import evaluate
from spectro.inference.classifier import PIPELINE, load_classifier
from spectro.inference.predict import predict
from spectro.models import classical
from spectro.reports.html import report
from spectro.training.dataset import TrainingData
from spectro.training.train_classical import ClassicalConfig, grouped_folds, train_classical

FEW = StatsConfig(set="centroid+rms+zcr")
QUICK = ClassicalConfig(search=False, folds=2)


@pytest.fixture(autouse=True)
def _in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compute features here: fresh workers would take longer to import librosa than these clips take."""
    monkeypatch.setattr(engine, "cores", lambda: 1)


@pytest.fixture(scope="module")
def data(rendered: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("classical") / "data"
    shutil.copytree(rendered, folder)
    split(folder, config=SplitConfig(by="group", test=0.34, val=0.0))
    split(folder, config=SplitConfig(by="group", test=0.34, val=0.3), name="val")
    return folder


@pytest.fixture
def few_iterations(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the slow ones stop early: whether they converge is not what is tested."""
    make = classical.pipeline

    def shortened(name: str, seed: int) -> Any:
        made = make(name, seed)
        for setting in ("max_iter", "n_estimators"):
            if f"model__{setting}" in made.get_params() and name in ("mlp", "boosting", "forest", "xgboost"):
                made.set_params(**{f"model__{setting}": 10})
        return made

    monkeypatch.setattr(classical, "pipeline", shortened)


@pytest.mark.parametrize("model", classical.METHODS)
def test_contract(model: str, data: Path, tmp_path: Path, few_iterations: None) -> None:
    if model == "xgboost":
        pytest.importorskip("xgboost")
    run = train_classical(data, out=tmp_path / "run", model=model, feature_config=FEW, config=QUICK)
    said = run.predictions("test")
    clips = said.pool()
    assert (clips.predicted == clips.truth).mean() >= 0.5  # four classes that can be heard
    dataset = TrainingData.open(data, "group", feature="stats", feature_config=FEW)
    loaded = load_classifier(run)
    assert loaded.labels == said.labels
    assert np.allclose(loaded.predict_proba(dataset.arrays()[dataset.folds["test"]]), said.probs)
    card = run.card()
    assert card["kind"] == "sklearn"
    assert set(card["model"]["settings"]) == set(classical.METHODS[model].space)
    assert card["feature"]["config_id"] == dataset.features.config_id  # type: ignore[union-attr]


def test_a_run_of_one_is_judged_reported_combined_and_served_like_any_other(data: Path, tmp_path: Path) -> None:
    runs = [
        train_classical(
            data, out=tmp_path / name, model=name, feature_config=FEW, config=ClassicalConfig(folds=2), split="val"
        )
        for name in ("logistic", "bayes")
    ]
    assert {"predictions-val.npz", "predictions-test.npz", "model.skops", "card.json"} <= {
        path.name for path in runs[0].path.iterdir()
    }
    assert evaluate(runs[0])["clip"]["accuracy"]["value"] > 0.5
    both = ensemble(runs, out=tmp_path / "both")
    assert report([both, *runs], out=tmp_path / "report.html").stat().st_size > 10_000
    root = Path(json.loads((data / "source.json").read_text())["root"])
    dataset = TrainingData.open(data, "val", feature="stats", feature_config=FEW)
    judged = [dataset.segments[item].clip for item in dataset.folds["test"]]
    said = predict(runs[0], [root / judged[0].id])
    first = runs[0].predictions("test").probs[:3]
    assert np.allclose(said.segments.probs, first, atol=1e-6)
    assert predict(both, [root / judged[0].id]).clips.labels == said.clips.labels


def test_folds_of_the_search_keep_groups_whole_and_classes_in(data: Path) -> None:
    dataset = TrainingData.open(data, "group", feature="stats", feature_config=FEW)
    folds = grouped_folds(dataset, ClassicalConfig(folds=3))
    groups = np.array([dataset.segments[item].clip.group for item in dataset.folds["train"]])
    truth = dataset.truth[dataset.folds["train"]]
    assert len(folds) == 2  # two groups a class are left to train on
    for train, held in folds:
        assert not set(groups[train]) & set(groups[held])
        assert set(truth[train]) == set(truth)


def test_the_search_tries_the_whole_space_and_keeps_the_best(data: Path, tmp_path: Path) -> None:
    run = train_classical(data, out=tmp_path / "run", model="knn", feature_config=FEW, config=ClassicalConfig(folds=2))
    found = run.card()["history"]["search"]
    assert (found["folds"], found["tried"]) == (2, 10)
    assert 0.25 < found["accuracy"] <= 1


def test_a_finished_run_is_returned_and_other_settings_are_refused(data: Path, tmp_path: Path) -> None:
    first = train_classical(data, out=tmp_path / "run", model="bayes", feature_config=FEW, config=QUICK)
    written = first.card_path.stat().st_mtime_ns
    again = train_classical(data, out=tmp_path / "run", model="bayes", feature_config=FEW, config=QUICK)
    assert again.card_path.stat().st_mtime_ns == written
    with pytest.raises(RunError, match="holds a run of other settings"):
        train_classical(data, out=tmp_path / "run", model="knn", feature_config=FEW, config=QUICK)


def test_a_file_with_a_strange_type_is_not_loaded(data: Path, tmp_path: Path) -> None:
    run = train_classical(data, out=tmp_path / "run", model="bayes", feature_config=FEW, config=QUICK)
    strange = Ridge()
    strange.callback = np.random.RandomState  # type: ignore[attr-defined]
    skops.io.dump(strange, run.path / PIPELINE)
    with pytest.raises(RunError, match=r"which no model of ours does; it is not loaded"):
        load_classifier(Run.open(run.path))
    (run.path / PIPELINE).write_bytes(b"not a model")
    with pytest.raises(RunError, match="cannot be read as a model"):
        load_classifier(Run.open(run.path))


def test_mistakes_are_named(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="unknown classical model 'svn'; did you mean 'svm'"):
        train_classical(data, out=tmp_path / "run", model="svn")
    with pytest.raises(ConfigError, match="'svm' takes vectors, but 'mfcc' has frames"):
        train_classical(data, out=tmp_path / "run", feature="mfcc")
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name == "xgboost":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigError, match=r"pip install 'spectro\[classical\]'"):
        train_classical(data, out=tmp_path / "run", model="xgboost")
