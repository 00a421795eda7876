"""Learning curve: clip accuracy of a cheap model by its number of training groups, extrapolated to more data."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy.optimize import least_squares
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from spectro.core.arrays import Floats, Floats32, Items
from spectro.core.config import Config, ModelConfig, require
from spectro.core.data_folder import DataFolder
from spectro.core.files import write_csv
from spectro.core.predictions import Predictions
from spectro.evaluation.results import Estimate
from spectro.evaluation.statistics import BootstrapConfig, bootstrap, percentile_interval
from spectro.experiments.results import CurvePoint, LearningCurve
from spectro.training.backbone_features import frozen_features
from spectro.training.dataset import TrainingData

EXTRAPOLATED = (1.5, 2.0, 4.0)
"""Multiples of the training groups to which the curve is extrapolated."""
COLUMNS = ("kind", "share", "groups", "accuracy", "low", "high", "deviation")


@dataclass(frozen=True, kw_only=True)
class CurveConfig(Config):
    """How the learning curve is measured."""

    shares: tuple[float, ...] = (0.1, 0.2, 0.35, 0.5, 0.7, 1.0)
    """Shares of the training groups, drawn class by class."""
    draws: int = 5
    """Number of random orders in which the groups are added; the curve is the mean over them."""
    seed: int = 0
    """Seed of the draws."""
    bootstrap: BootstrapConfig = field(default_factory=lambda: BootstrapConfig(repeats=200))
    """How intervals are drawn, over the groups of the test set."""

    def __post_init__(self) -> None:
        require(len(self.shares) >= 4, f"{len(self.shares)} shares were given, but a curve is fitted to at least 4")
        require(all(0 < share <= 1 for share in self.shares), "shares must lie above 0 and up to 1 (0.5 = half)")
        require(self.draws >= 1, f"draws is {self.draws}, but must be at least 1")


@dataclass(frozen=True, kw_only=True)
class _Trials:
    """One training per draw and share."""

    correct: Floats
    """`[draws, shares, clips]`, 1 where a test clip is classified correctly, else 0."""
    groups: Floats
    """`[draws, shares]`, number of training groups."""
    test_groups: tuple[str, ...]
    """Group of each test clip."""


def learning_curve(
    data: DataFolder | Path | str,
    *,
    split: str = "group",
    model: ModelConfig | None = None,
    weights: str = "auto",
    config_id: str | None = None,
    config: CurveConfig | None = None,
) -> LearningCurve:
    """Train logistic regression on cached features of a frozen backbone, with more and more of the training groups.

    The features are those that `finetune` caches, so this takes seconds where it ran before. Beyond all groups the
    accuracy is extrapolated by `a - b * groups ** -c` [Cortes et al., 1994].

    Parameters
    ----------
    data
        Folder that `render` and `split` wrote.
    split
        Name of a split in `data`.
    model
        The backbone.
    weights
        Its pretrained weights, as in `finetune`.
    config_id
        Which spectrograms, when `data` holds several configurations.
    config
        Shares, draws and intervals.

    Returns
    -------
    LearningCurve
        A measured point per share, then the extrapolated ones.

    Raises
    ------
    DataError
        the split lacks segments or classes.
    WeightsError
        the backbone's weights are not installed.
    """
    model, config = model or ModelConfig(), config or CurveConfig()
    dataset = TrainingData.open(data, split, config_id)
    trials = _run_trials(dataset, frozen_features(dataset.store, model, weights), config)
    return LearningCurve(model=model.name, split=dataset.split.title, points=tuple(_points(trials, config)))


def _run_trials(dataset: TrainingData, features: Floats32, config: CurveConfig) -> _Trials:
    """Train on every share of every draw; `features` are `[items, channels]`."""
    train = dataset.subsets["train"]
    rows: list[Floats] = []
    groups: list[int] = []
    test_groups: tuple[str, ...] = ()
    for draw in range(config.draws):
        for share in config.shares:
            items, count = draw_groups(dataset, train, share, np.random.default_rng([config.seed, draw]))
            clips = _predict_clips(dataset, features, items)
            rows.append((clips.predicted == clips.truth).astype(np.float64))
            groups.append(count)
            test_groups = clips.groups
    shape = (config.draws, len(config.shares))
    counts = np.array(groups, np.float64).reshape(shape)
    return _Trials(correct=np.array(rows).reshape(*shape, -1), groups=counts, test_groups=test_groups)


def _predict_clips(dataset: TrainingData, features: Floats32, items: Items) -> Predictions:
    """Return predictions of the test clips by logistic regression on the features of the training `items`."""
    test = dataset.subsets["test"]
    head = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, class_weight="balanced", max_iter=2000))
    head.fit(features[items], dataset.truth[items])
    probs = np.zeros((len(test), len(dataset.labels)))
    probs[:, head.classes_] = head.predict_proba(features[test])
    return dataset.predictions(test, probs).pool()


def _points(trials: _Trials, config: CurveConfig) -> Iterator[CurvePoint]:
    """Yield the measured points and the extrapolated ones, with intervals from a bootstrap over test groups."""
    correct = trials.correct.mean(axis=0)  # [shares, clips]

    values = correct.mean(axis=1)
    samples = bootstrap(lambda weights: weights.mean(correct.T), trials.test_groups, config.bootstrap)
    groups = trials.groups.mean(axis=0)
    deviations = trials.correct.mean(axis=2).std(axis=0, ddof=1 if config.draws > 1 else 0)
    for n, share in enumerate(config.shares):
        accuracy = _estimate(values[n], samples[:, n], config)
        deviation = float(deviations[n])
        yield CurvePoint(kind="measured", share=share, groups=float(groups[n]), accuracy=accuracy, deviation=deviation)
    beyond = groups.max() * np.array(EXTRAPOLATED)
    further = extrapolate(groups, values, beyond)
    further_samples = np.array([extrapolate(groups, sample, beyond) for sample in samples])
    for n, multiple in enumerate(EXTRAPOLATED):
        accuracy = _estimate(further[n], further_samples[:, n], config)
        share = multiple * max(config.shares)
        yield CurvePoint(kind="extrapolated", share=share, groups=float(beyond[n]), accuracy=accuracy, deviation=0.0)


def _estimate(value: float, samples: Floats, config: CurveConfig) -> Estimate:
    low, high = percentile_interval(samples, config.bootstrap.level)
    return Estimate(value=float(value), low=low, high=high)


def extrapolate(groups: Floats, accuracy: Floats, beyond: Floats) -> Floats:
    """Fit an inverse power law, `a - b * groups ** -c`, and extrapolate it.

    Parameters
    ----------
    groups
        `[points]`, numbers of training groups.
    accuracy
        `[points]`, 0..1.
    beyond
        `[further]`, numbers of groups to extrapolate to.

    Returns
    -------
    Floats
        `[further]`, accuracies; at most 1, for `a` is at most 1, and `b` is not negative.
    """

    def law(parameters: Floats, at: Floats) -> Floats:
        curve: Floats = parameters[0] - parameters[1] * at ** -parameters[2]
        return curve

    top = float(accuracy.max())
    start = [min(0.99, top + 0.05), 0.5, 0.5]
    fit = least_squares(lambda parts: law(parts, groups) - accuracy, start, bounds=([0, 0, 0.01], [1, 10, 3]))
    return law(fit.x, beyond)


def draw_groups(dataset: TrainingData, train: Items, share: float, rng: np.random.Generator) -> tuple[Items, int]:
    """Return the training segments of a share of the groups of each class, and the number of groups.

    The same generator state gives nested draws: a larger share holds all groups of a smaller one.
    """
    by_class: defaultdict[int, dict[str, None]] = defaultdict(dict)
    names = [dataset.segments[item].clip.group for item in train]
    for name, label in zip(names, dataset.truth[train].tolist(), strict=True):
        by_class[label][name] = None
    chosen: set[str] = set()
    for label in sorted(by_class):
        order = rng.permutation(sorted(by_class[label])).tolist()
        chosen.update(order[: max(1, round(share * len(order)))])
    return train[[name in chosen for name in names]], len(chosen)


def save_curve(curve: LearningCurve, out: Path) -> Path:
    """Write the points of a curve as CSV; return the path."""
    write_csv(out, COLUMNS, _rows(curve.points))
    return out


def _rows(points: Sequence[CurvePoint]) -> Iterator[tuple[object, ...]]:
    for point in points:
        accuracy = point.accuracy
        yield (
            point.kind,
            point.share,
            f"{point.groups:.1f}",
            accuracy.value,
            accuracy.low,
            accuracy.high,
            point.deviation,
        )
