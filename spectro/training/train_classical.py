"""Train one classical model on one split: settings searched by grouped cross-validation, then fitted to all of it.

The vectors are a feature, or what a frozen backbone makes of each spectrogram: the run then holds the backbone too.
"""

from __future__ import annotations

import time
import warnings
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
from sklearn.calibration import CalibratedClassifierCV
from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold

from spectro.audio.features import FEATURES
from spectro.core.arrays import Floats32, Items
from spectro.core.card import GridSearchFacts, HistoryFacts, ModelFacts
from spectro.core.config import ClassicalConfig, Config, ModelConfig
from spectro.core.data_folder import DataFolder
from spectro.core.errors import ConfigError, RunError
from spectro.core.files import write_bytes
from spectro.core.runs import Run
from spectro.inference.sklearn_classifier import SklearnClassifier
from spectro.models import classical
from spectro.training.dataset import TrainingData
from spectro.training.jobs import Job, claim
from spectro.training.probe import BACKBONE, Probed, input_of, probe, probe_config
from spectro.training.save import make_card, save_run


@dataclass(frozen=True, kw_only=True)
class _Fitted:
    """A fitted pipeline, and how its settings were found."""

    pipeline: Any  # scikit-learn ships no types
    search: GridSearchFacts
    warnings: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class _Problem:
    """What a pipeline is fitted to, and where the result goes."""

    run: Run
    data: TrainingData
    vectors: Floats32
    """`[items, values]`"""
    model: str
    config: ClassicalConfig
    command: str
    probed: Probed | None
    """The backbone that the vectors are from, if they are."""


def train_classical(
    data: DataFolder | Path | str,
    *,
    out: Path | str,
    model: str = "svm",
    feature: str = "stats",
    feature_config: Config | None = None,
    backbone: ModelConfig | None = None,
    weights: str = "auto",
    config: ClassicalConfig | None = None,
    split: str = "group",
    config_id: str | None = None,
    progress: bool = False,
    command: str = "",
) -> Run:
    """Train a classical model on feature vectors of `data` and leave a complete run in `out`.

    The search compares settings by accuracy in a cross-validation that keeps groups whole. A model without
    probabilities of its own gets them from a sigmoid fitted in the same cross-validation [Platt, 1999]. After a
    finished run the same call returns that run.

    Parameters
    ----------
    data
        Folder that `render` and `split` wrote.
    out
        Folder of the run.
    model
        Name in `classical.METHODS`.
    feature, feature_config
        Name in `FEATURES`, of the kind `vector`, and its settings; computed if it is not there yet. `backbone` is
        what a frozen network makes of the spectrograms (one pretrained on sound: of the feature that it takes).
    backbone, weights
        That network, with the head `multi` for the statistics of several stages, and where its weights come from:
        `auto`, `none`, `hub` or a file.
    config
        How it is fitted.
    split
        Name of a split in `data/splits`.
    config_id
        Which spectrograms' segments, when `data` holds several configurations.
    progress
        Draw a progress bar while the feature is computed.
    command
        Command line that started the training, for the card.

    Returns
    -------
    Run
        The finished run.

    Raises
    ------
    ConfigError
        the model is unknown or its package missing, or the feature has frames.
    DataError
        the split lacks clips or classes.
    RunError
        `out` holds a run of other settings or something else, or the training failed.
    BusyError
        another process is training in `out`.
    """
    config = config or ClassicalConfig()
    probing = feature == BACKBONE
    if not probing and FEATURES[feature].kind != "vector":
        raise ConfigError(f"'{model}' takes vectors, but '{feature}' has frames; give the feature stats of it instead")
    pipeline = classical.pipeline(model, config.seed)
    network = probe_config(backbone or ModelConfig()) if probing else None
    read = input_of(network) if network else feature
    dataset = TrainingData.open(data, split, config_id, read, feature_config, progress=progress)
    run = Run(Path(out))
    job = Job(
        method=model,
        model=network,
        fitting=config,
        weights=weights if probing else "",
        split=dataset.split.sha256,
        spectrograms=dataset.store.config_id,
        feature={read: dataset.features.config_id} if dataset.features else {},
    )
    with claim(run, job) as finished:
        if not finished:
            probed = probe(dataset, network, weights) if network else None
            vectors = probed.vectors if probed else dataset.arrays()
            problem = _Problem(
                run=run, data=dataset, vectors=vectors, model=model, config=config, command=command, probed=probed
            )
            _train(problem, pipeline)
    return Run.open(run)


def _train(problem: _Problem, pipeline: Any) -> None:
    """Fit the pipeline and write the run; raises RunError where the memory does not suffice."""
    run, data, model, probed = problem.run, problem.data, problem.model, problem.probed
    began = time.perf_counter()
    try:
        fitted = _fit(pipeline, problem)
    except MemoryError:
        raise RunError(f"the memory is full: '{model}' on these features needs more than this machine has") from None
    classical.save(run.pipeline_path, fitted.pipeline)
    history = HistoryFacts(
        seconds=time.perf_counter() - began + (probed.seconds if probed else 0.0),
        finetune_starts=None,
        best_epoch=None,
        search=fitted.search,
        warnings=fitted.warnings,
    )
    facts = ModelFacts(
        name=f"{model} on {probed.config.name}" if probed else model,
        parameters=None,
        network=probed.config if probed else None,
        settings=_settings(model, fitted.pipeline),
    )
    kind, seed, command = "probe" if probed else "sklearn", problem.config.seed, problem.command
    card = make_card(run, data, kind=kind, model=facts, seed=seed, history=history, command=command)
    card = replace(card, fitting=problem.config)
    if probed:
        write_bytes(run.weights_path, safetensors.torch.save(probed.network.state_dict()))
        card = replace(card, weights=probed.origin.facts())
    classifier, vectors = SklearnClassifier(card, fitted.pipeline), problem.vectors
    save_run(run, data, predict_proba=lambda items: classifier.predict_proba(vectors[items]), card=card)


def grouped_folds(data: TrainingData, config: ClassicalConfig) -> list[tuple[Items, Items]]:
    """Return the folds of a cross-validation on the training items in which no group is in two folds.

    Parameters
    ----------
    data
        Its training items are used.
    config
        Number of folds, which a class with fewer groups lowers, and seed.

    Returns
    -------
    list[tuple[Items, Items]]
        (train, held out) as indices into the training items; empty when a class has only one group to train on.
    """
    train = data.subsets["train"]
    segments = [data.segments[item] for item in train]
    groups: defaultdict[str, set[str]] = defaultdict(set)
    for segment in segments:
        groups[segment.clip.label].add(segment.clip.group)
    count = min(config.folds, *map(len, groups.values()))
    if count < 2:
        return []
    folds = StratifiedGroupKFold(count, shuffle=True, random_state=config.seed)
    return list(folds.split(train, data.truth[train], [segment.clip.group for segment in segments]))


def _fit(pipeline: Any, problem: _Problem) -> _Fitted:
    """Search the settings if that is wanted and possible, fit, and add probabilities where the model has none."""
    data, model, config = problem.data, problem.model, problem.config
    train = data.subsets["train"]
    values, truth = np.asarray(problem.vectors)[train], data.truth[train]
    folds = grouped_folds(data, config)
    facts = GridSearchFacts(folds=len(folds), tried=1, accuracy=None)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if config.search and folds:
            # Settings that cannot be fitted (15 neighbours among 8 segments) lose; their warning goes into the card.
            search = GridSearchCV(pipeline, classical.space(model), cv=folds, scoring="accuracy", error_score=np.nan)
            search.fit(values, truth)
            pipeline = search.best_estimator_
            facts = replace(facts, tried=len(search.cv_results_["params"]), accuracy=float(search.best_score_))
        if not hasattr(pipeline, "predict_proba"):
            if not folds:
                raise ConfigError(f"'{model}' needs two groups per class in training, to learn probabilities from")
            pipeline = CalibratedClassifierCV(pipeline, cv=folds, ensemble=False).fit(values, truth)
            pipeline.set_params(cv=None)  # the folds are not needed any more and would only fill the file
        elif not (config.search and folds):
            pipeline.fit(values, truth)
    messages = sorted({str(warning.message).splitlines()[0] for warning in caught})
    return _Fitted(pipeline=pipeline, search=facts, warnings=tuple(messages))


def _settings(model: str, fitted: Any) -> dict[str, Any]:
    """Return the settings that the search chose, as JSON values."""
    pipeline = fitted.calibrated_classifiers_[0].estimator if hasattr(fitted, "calibrated_classifiers_") else fitted
    chosen = pipeline.named_steps["model"].get_params()
    return {name: chosen[name] for name in classical.METHODS[model].space}
