"""What more data would bring: clip accuracy of one cheap model against the share of the training groups it hears."""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.optimize import least_squares
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from spectro.core.config import Config, ModelConfig, require
from spectro.core.tables import write_csv
from spectro.evaluation.statistics import BootstrapConfig, Estimate, bootstrap, percentile_interval
from spectro.training.backbone_features import frozen_features
from spectro.training.dataset import Items, TrainingData

EXTRAPOLATED = (1.5, 2.0, 4.0)
"""Multiples of the training groups for which the curve is drawn on."""
COLUMNS = ("kind", "share", "groups", "accuracy", "low", "high", "deviation")

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class CurveConfig(Config):
    """How the learning curve is measured."""

    shares: tuple[float, ...] = (0.1, 0.2, 0.35, 0.5, 0.7, 1.0)
    """Shares of the training groups, drawn class by class."""
    draws: int = 5
    """Number of random orders in which the groups are added; the mean over them is shown."""
    seed: int = 0
    """Seed of the drawing."""
    bootstrap: BootstrapConfig = field(default_factory=lambda: BootstrapConfig(repeats=200))
    """How intervals are drawn, over the groups of the test fold."""

    def __post_init__(self) -> None:
        require(len(self.shares) >= 4, f"{len(self.shares)} shares were given, but a curve is fitted to at least 4")
        require(all(0 < share <= 1 for share in self.shares), "shares must lie above 0 and up to 1 (0.5 = half)")
        require(self.draws >= 1, f"draws is {self.draws}, but must be at least 1")


@dataclass(frozen=True, kw_only=True)
class Point:
    """One point of the curve."""

    kind: str
    """`measured`, or `extrapolated` by an inverse power law: a guess, and worse the farther it reaches."""
    share: float
    """Share of the training groups."""
    groups: float
    """Number of training groups, on average over the draws."""
    accuracy: Estimate
    """Clip accuracy on the test fold, mean over the draws, with an interval over test groups."""
    deviation: float
    """Standard deviation of the accuracy over the draws; 0 where extrapolated."""


def learning_curve(
    data: Path | str,
    *,
    split: str = "group",
    model: ModelConfig | None = None,
    weights: str = "auto",
    config_id: str | None = None,
    config: CurveConfig | None = None,
) -> tuple[Point, ...]:
    """Train logistic regression on cached features of a frozen backbone, with more and more of the training groups.

    The features are those that `finetune` caches, so this takes seconds where it ran before. Beyond all groups the
    accuracy is extrapolated by `a - b * groups ** -c` [Cortes et al., 1994].

    Raises
    ------
    DataError
        the split lacks segments or classes.
    WeightsError
        the backbone's weights are not at hand.
    """
    model, config = model or ModelConfig(), config or CurveConfig()
    dataset = TrainingData.open(data, split, config_id)
    features = frozen_features(dataset.store, model, weights)
    train, test = dataset.folds["train"], dataset.folds["test"]
    counts = np.zeros((config.draws, len(config.shares)))
    right: dict[tuple[int, int], Floats] = {}
    tested = dataset.predictions(test, np.full((len(test), len(dataset.labels)), 1 / len(dataset.labels))).pool()
    for draw in range(config.draws):
        for number, share in enumerate(config.shares):
            heard, counts[draw, number] = draw_groups(dataset, train, share, np.random.default_rng([config.seed, draw]))
            head = make_pipeline(
                StandardScaler(), LogisticRegression(C=0.1, class_weight="balanced", max_iter=2000)
            ).fit(features[heard], dataset.truth[heard])
            probs = np.zeros((len(test), len(dataset.labels)))
            probs[:, head.classes_] = head.predict_proba(features[test])
            clips = dataset.predictions(test, probs).pool()
            right[draw, number] = (clips.predicted == clips.truth).astype(np.float64)
    hits = np.array([[right[draw, n] for n in range(len(config.shares))] for draw in range(config.draws)])
    groups, deviations = counts.mean(axis=0), hits.mean(axis=2).std(axis=0, ddof=1 if config.draws > 1 else 0)
    mean_hits = hits.mean(axis=0)  # [shares, clips]

    def accuracies(weighting: Floats) -> Floats:
        found: Floats = weighting @ mean_hits.T / weighting.sum(axis=1, keepdims=True)
        return found

    values = accuracies(np.ones((1, len(tested))))[0]
    samples = bootstrap(accuracies, tested.groups, config.bootstrap)
    beyond = groups.max() * np.array(EXTRAPOLATED)
    guessed = extrapolate(groups, values, beyond)
    guesses = np.array([extrapolate(groups, sample, beyond) for sample in samples])
    measured = [
        Point(
            kind="measured",
            share=share,
            groups=float(groups[n]),
            accuracy=Estimate(float(values[n]), *percentile_interval(samples[:, n], config.bootstrap.level)),
            deviation=float(deviations[n]),
        )
        for n, share in enumerate(config.shares)
    ]
    further = [
        Point(
            kind="extrapolated",
            share=multiple * max(config.shares),
            groups=float(beyond[n]),
            accuracy=Estimate(float(guessed[n]), *percentile_interval(guesses[:, n], config.bootstrap.level)),
            deviation=0.0,
        )
        for n, multiple in enumerate(EXTRAPOLATED)
    ]
    return (*measured, *further)


def extrapolate(groups: Floats, accuracy: Floats, beyond: Floats) -> Floats:
    """Fit `a - b * groups ** -c` with `a` up to 1 and `b`, `c` not negative; return it at `beyond`."""

    def law(parts: Floats, at: Floats) -> Floats:
        made: Floats = parts[0] - parts[1] * at ** -parts[2]
        return made

    top = float(accuracy.max())
    start = [min(0.99, top + 0.05), 0.5, 0.5]
    fit = least_squares(lambda parts: law(parts, groups) - accuracy, start, bounds=([0, 0, 0.01], [1, 10, 3]))
    return law(fit.x, beyond)


def draw_groups(dataset: TrainingData, train: Items, share: float, rng: np.random.Generator) -> tuple[Items, int]:
    """Return the training segments of a share of the groups of each class, and the number of groups.

    The same generator state gives nested draws: a larger share holds all groups of a smaller one.
    """
    by_class: defaultdict[int, dict[str, None]] = defaultdict(dict)
    names = [dataset.store.segments[item].clip.group for item in train]
    for name, label in zip(names, dataset.truth[train].tolist(), strict=True):
        by_class[label][name] = None
    chosen: set[str] = set()
    for label in sorted(by_class):
        order = rng.permutation(sorted(by_class[label])).tolist()
        chosen.update(order[: max(1, round(share * len(order)))])
    return train[[name in chosen for name in names]], len(chosen)


def save_curve(points: tuple[Point, ...], out: Path) -> tuple[Path, Path]:
    """Write the curve as CSV to `out` and as a figure beside it; return both paths."""
    rows = (
        (p.kind, p.share, f"{p.groups:.1f}", p.accuracy.value, p.accuracy.low, p.accuracy.high, p.deviation)
        for p in points
    )
    write_csv(out, COLUMNS, rows)
    picture = out.with_suffix(".png")
    temporary = picture.with_name(f".{picture.name}.{os.getpid()}.tmp")
    _draw(points).savefig(temporary, format="png", dpi=150)
    os.replace(temporary, picture)
    return out, picture


def _draw(points: tuple[Point, ...]) -> Figure:
    figure = Figure(figsize=(7, 4.4), layout="constrained")
    axes: Any = figure.subplots()
    measured = [point for point in points if point.kind == "measured"]
    further = [measured[-1], *(point for point in points if point.kind == "extrapolated")]
    for shown, style, colour, label in (
        (measured, "o-", "#0072b2", "measured"),
        (further, "--", "#d55e00", "extrapolated by an inverse power law: a guess"),
    ):
        groups = [point.groups for point in shown]
        low, high = [point.accuracy.low for point in shown], [point.accuracy.high for point in shown]
        axes.fill_between(groups, low, high, color=colour, alpha=0.15, linewidth=0)
        axes.plot(groups, [point.accuracy.value for point in shown], style, color=colour, label=label)
    axes.set_xlabel("training groups")
    axes.set_ylabel("clip accuracy on the test fold")
    axes.set_ylim(0, 1)
    axes.set_xlim(left=0)
    axes.grid(axis="y", color="#eeeeee")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right")
    return figure
