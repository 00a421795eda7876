"""Every classical model keeps one contract: searched without leaks, saved without pickle, served like any other run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io
from sklearn.linear_model import Ridge

from spectro.audio.features.stats import StatsConfig
from spectro.core import distribution
from spectro.core.config import ClassicalConfig
from spectro.core.data_folder import DataFolder
from spectro.core.errors import ConfigError, RunError
from spectro.core.runs import Run
from spectro.data.engines import local as engine
from spectro.evaluation.ensemble import ensemble
from spectro.evaluation.evaluate import evaluate
from spectro.inference.classifier import load_classifier
from spectro.inference.predict import predict
from spectro.models import classical
from spectro.reports.html import report
from spectro.training.dataset import TrainingData
from spectro.training.train_classical import grouped_folds, train_classical

FEW = StatsConfig(set="centroid+rms+zcr")
QUICK = ClassicalConfig(search=False, folds=2)


@pytest.fixture(autouse=True)
def _in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compute features here: fresh workers would take longer to import librosa than these clips take."""
    monkeypatch.setattr(engine, "cores", lambda: 1)


@pytest.fixture
def few_iterations(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the slow ones stop early: whether they converge is not what is tested."""
    make = classical.pipeline

    def shortened(name: str, seed: int) -> Any:
        pipeline = make(name, seed)
        for setting in ("max_iter", "n_estimators"):
            if f"model__{setting}" in pipeline.get_params() and name in ("mlp", "boosting", "forest", "xgboost"):
                pipeline.set_params(**{f"model__{setting}": 10})
        return pipeline

    monkeypatch.setattr(classical, "pipeline", shortened)


@pytest.mark.parametrize("model", classical.METHODS)
def test_contract(model: str, data: Path, tmp_path: Path, few_iterations: None) -> None:
    if model == "xgboost":
        pytest.importorskip("xgboost")
    run = train_classical(data, out=tmp_path / "run", split="noval", model=model, feature_config=FEW, config=QUICK)
    tested = run.predictions("test")
    clips = tested.pool()
    assert (clips.predicted == clips.truth).mean() >= 0.5  # four classes that are easy to tell apart
    dataset = TrainingData.open(data, "noval", feature="stats", feature_config=FEW)
    loaded = load_classifier(run)
    assert loaded.labels == tested.labels
    assert np.allclose(loaded.predict_proba(dataset.arrays()[dataset.subsets["test"]]), tested.probs)
    card = run.card
    assert (card.kind, card.fitting, card.training) == ("sklearn", QUICK, None)
    assert card.model
    assert set(card.model.settings) == set(classical.METHODS[model].space)
    assert card.feature == dataset.feature_facts()


@pytest.mark.slow
def test_a_run_is_evaluated_reported_combined_and_served_like_others(data: Path, tmp_path: Path) -> None:
    config = ClassicalConfig(folds=2)
    runs = [
        train_classical(data, out=tmp_path / name, model=name, feature_config=FEW, config=config)
        for name in ("logistic", "bayes")
    ]
    assert {"predictions-val.npz", "predictions-test.npz", "model.skops", "card.json"} <= {
        path.name for path in runs[0].path.iterdir()
    }
    assert evaluate(runs[0]).clip.accuracy.value > 0.5
    both = ensemble(runs, out=tmp_path / "both")
    assert report([both, *runs], out=tmp_path / "report.html").stat().st_size > 10_000
    dataset = TrainingData.open(data, "group", feature="stats", feature_config=FEW)
    clip = dataset.segments[dataset.subsets["test"][0]].clip
    file = DataFolder.open(data).source_root() / clip.id
    predicted = predict(runs[0], [file])
    assert predicted.segments is not None
    assert np.allclose(predicted.segments.probs, runs[0].predictions("test").probs[:3], atol=1e-6)
    assert predict(both, [file]).clips.labels == predicted.clips.labels


def test_folds_of_the_search_keep_groups_whole_and_classes_in(data: Path) -> None:
    dataset = TrainingData.open(data, "noval", feature="stats", feature_config=FEW)
    folds = grouped_folds(dataset, ClassicalConfig(folds=3))
    groups = np.array([dataset.segments[item].clip.group for item in dataset.subsets["train"]])
    truth = dataset.truth[dataset.subsets["train"]]
    assert len(folds) == 2  # two groups a class are left to train on
    for train, held_out in folds:
        assert not set(groups[train]) & set(groups[held_out])
        assert set(truth[train]) == set(truth)


def test_the_search_tries_the_whole_space_and_keeps_the_best(data: Path, tmp_path: Path) -> None:
    config = ClassicalConfig(folds=2)
    run = train_classical(data, out=tmp_path / "run", split="noval", model="knn", feature_config=FEW, config=config)
    history = run.card.history
    assert history
    assert history.search
    assert (history.search.folds, history.search.tried) == (2, 10)
    assert history.search.accuracy is not None
    assert 0.25 < history.search.accuracy <= 1


def test_a_finished_run_is_returned_and_other_settings_are_refused(data: Path, tmp_path: Path) -> None:
    first = train_classical(data, out=tmp_path / "run", model="bayes", feature_config=FEW, config=QUICK)
    written = first.card_path.stat().st_mtime_ns
    again = train_classical(data, out=tmp_path / "run", model="bayes", feature_config=FEW, config=QUICK)
    assert again.card_path.stat().st_mtime_ns == written
    with pytest.raises(RunError, match="method: knn here, bayes there"):
        train_classical(data, out=tmp_path / "run", model="knn", feature_config=FEW, config=QUICK)
    first.write_card(replace(first.card, labels=first.card.labels[1:]))
    with pytest.raises(RunError, match=r"model\.skops tells \d classes apart, but .*card\.json has"):
        load_classifier(first.path)


def test_a_file_with_a_strange_type_is_not_loaded(data: Path, tmp_path: Path) -> None:
    run = train_classical(data, out=tmp_path / "run", model="bayes", feature_config=FEW, config=QUICK)
    strange = Ridge()
    strange.callback = np.random.RandomState
    skops.io.dump(strange, run.pipeline_path)
    with pytest.raises(RunError, match=r"model\.skops is damaged"):
        load_classifier(Run.open(run.path))
    run.write_card(run.card)  # as if it had been made so
    with pytest.raises(RunError, match="not loaded"):
        load_classifier(Run.open(run.path))
    run.pipeline_path.write_bytes(b"not a model")
    run.write_card(run.card)
    with pytest.raises(RunError, match="cannot be read as a model"):
        load_classifier(Run.open(run.path))


def test_mistakes_are_named(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="unknown classical model 'svn'; did you mean 'svm'"):
        train_classical(data, out=tmp_path / "run", model="svn")
    with pytest.raises(ConfigError, match="'svm' takes vectors, but 'mfcc' has frames"):
        train_classical(data, out=tmp_path / "run", feature="mfcc")
    find = distribution.find_spec
    monkeypatch.setattr(distribution, "find_spec", lambda name: None if name == "xgboost" else find(name))
    with pytest.raises(ConfigError, match=r"pip install 'spectro-audio\[classical\]'"):
        train_classical(data, out=tmp_path / "run", model="xgboost")
