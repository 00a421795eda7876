"""Train one classical model on one split: settings searched in grouped folds, then fitted to all training segments."""

from __future__ import annotations

import time
import warnings
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.calibration import CalibratedClassifierCV
from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold

from spectro.audio.features import FEATURES
from spectro.core.config import Config, require
from spectro.core.errors import ConfigError
from spectro.core.runs import Run
from spectro.inference.classifier import PIPELINE, SklearnClassifier
from spectro.models import classical
from spectro.training.checkpoint import claim
from spectro.training.dataset import Items, TrainingData
from spectro.training.save import save_run


@dataclass(frozen=True, kw_only=True)
class ClassicalConfig(Config):
    """How a classical model is fitted."""

    search: bool = True
    """Try all settings of the model's search space, or only take the first of each."""
    folds: int = 3
    """Folds of the search; no group stands on two sides of one."""
    seed: int = 0
    """Seed of the folds and of models that draw."""

    def __post_init__(self) -> None:
        require(self.folds >= 2, f"folds is {self.folds}, but must be at least 2")


def train_classical(
    data: Path | str,
    *,
    out: Path | str,
    model: str = "svm",
    feature: str = "stats",
    feature_config: Config | None = None,
    config: ClassicalConfig | None = None,
    split: str = "group",
    config_id: str | None = None,
    progress: bool = False,
) -> Run:
    """Fit a classical model to feature vectors of `data` and leave everything needed to use it in the folder `out`.

    The search judges settings by accuracy in folds that keep groups whole. A model without probabilities of its own
    gets them from a sigmoid fitted on the same folds [Platt, 1999].

    Parameters
    ----------
    data
        folder that `render` and `split` wrote.
    out
        folder of the run.
    model
        name in `classical.METHODS`.
    feature, feature_config
        name in `FEATURES`, of the kind `vector`, and its settings; computed if it is not there yet.
    config
        how it is fitted.
    split
        name of a split in `data/splits`.
    config_id
        which pictures' segments, when `data` holds several configurations.
    progress
        draw a progress bar while the feature is computed.

    Raises
    ------
    ConfigError
        the model is unknown or its package missing, or the feature has frames.
    DataError
        the split lacks clips or classes.
    RunError
        `out` holds a run of other settings.
    """
    config = config or ClassicalConfig()
    if FEATURES[feature].kind != "vector":
        raise ConfigError(f"'{model}' takes vectors, but '{feature}' has frames; give the feature stats of it instead")
    pipeline = classical.pipeline(model, config.seed)
    dataset = TrainingData.open(data, split, config_id, feature, feature_config, progress=progress)
    assert dataset.features, "a vector is no picture"
    run = Run(Path(out))
    job = {
        "model": {"name": model},
        "training": config.to_dict(),
        "split": dataset.split.sha256,
        "feature": {feature: dataset.features.config_id},
    }
    if claim(run, job):
        return Run.open(run.path)
    began = time.perf_counter()
    train = dataset.folds["train"]
    values, truth = np.asarray(dataset.arrays())[train], dataset.truth[train]
    folds = grouped_folds(dataset, config)
    found: dict[str, Any] = {"folds": len(folds), "tried": 1, "accuracy": None}
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        if config.search and folds:
            # A setting that cannot be (15 neighbours among 8 segments) loses, and its warning goes into the card.
            search = GridSearchCV(pipeline, classical.space(model), cv=folds, scoring="accuracy", error_score=np.nan)
            search.fit(values, truth)
            pipeline = search.best_estimator_
            found |= {"tried": len(search.cv_results_["params"]), "accuracy": float(search.best_score_)}
        if not hasattr(pipeline, "predict_proba"):
            if not folds:
                raise ConfigError(f"'{model}' needs two groups a class in training, to learn probabilities from")
            pipeline = CalibratedClassifierCV(pipeline, cv=folds, ensemble=False).fit(values, truth)
            pipeline.set_params(cv=None)  # the folds have done their work and would only fill the file
        elif not (config.search and folds):
            pipeline.fit(values, truth)
    classical.save(run.path / PIPELINE, pipeline)
    facts = {
        "kind": "sklearn",
        "model": {"name": model, "parameters": None, "settings": _settings(model, pipeline)},
        "weights": {"origin": "none", "file": "", "sha256": "", "licence": ""},
        "training": config.to_dict(),
        "seed": config.seed,
        "input": list(dataset.shape),
        "history": {
            "search": found,
            "warnings": sorted({str(one.message).splitlines()[0] for one in said}),
            "seconds": time.perf_counter() - began,
        },
    }
    arrays = dataset.arrays()
    say = SklearnClassifier(facts, pipeline).predict_proba
    save_run(run, dataset, lambda items: say(arrays[items]), facts)
    return Run.open(run.path)


def grouped_folds(dataset: TrainingData, config: ClassicalConfig) -> list[tuple[Items, Items]]:
    """Return (train, held out) indices into the training items; none when a class has only one group to train on."""
    train = dataset.folds["train"]
    segments = [dataset.segments[item] for item in train]
    groups: defaultdict[str, set[str]] = defaultdict(set)
    for segment in segments:
        groups[segment.clip.label].add(segment.clip.group)
    count = min(config.folds, *map(len, groups.values()))
    if count < 2:
        return []
    dealt = StratifiedGroupKFold(count, shuffle=True, random_state=config.seed)
    return list(dealt.split(train, dataset.truth[train], [segment.clip.group for segment in segments]))


def _settings(model: str, fitted: Any) -> dict[str, Any]:
    """Return the values that the search chose."""
    pipeline = fitted.calibrated_classifiers_[0].estimator if hasattr(fitted, "calibrated_classifiers_") else fitted
    chosen = pipeline.named_steps["model"].get_params()
    return {name: chosen[name] for name in classical.METHODS[model].space}
