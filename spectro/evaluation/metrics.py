"""Metrics of predictions, each computed for many weightings of the items at once, as a bootstrap needs them.

Every metric takes the weights of items in many resamples and returns one value per resample. With weights of one it
equals scikit-learn's metric of the same name, and with integer weights scikit-learn's metric of the resampled items;
the tests hold the two equal. `macro_f1` documents in what it differs.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from spectro.core.arrays import Floats, Items, Mask
from spectro.core.predictions import Predictions
from spectro.core.registry import Registry
from spectro.evaluation.weights import Weights, ratio

Metric = Callable[[Predictions, Weights], Floats]

METRICS: Registry[Metric] = Registry("metric")
"""Metrics by name: predictions whose truth is known, weights of them -> `[repeats]`."""

LOWER_IS_BETTER = frozenset({"log_loss", "brier"})
"""Metrics that count losses; all others grow with quality."""


def ones(predictions: Predictions) -> Weights:
    """Return the weights that leave the items as they are."""
    return Weights.ones(len(predictions))


def confusion(predictions: Predictions) -> Items:
    """Return the confusion matrix `[classes, classes]`, rows true and columns predicted."""
    classes = len(predictions.labels)
    cells = predictions.truth * classes + predictions.predicted
    return np.bincount(cells, minlength=classes**2).reshape(classes, classes)


def class_scores(predictions: Predictions, weights: Weights) -> dict[str, Floats]:
    """Return precision, recall and F1 per class, each `[repeats, classes]`; nan for a class that does not occur.

    A class that occurs but is never predicted has precision 0, one that is predicted but never occurs recall 0.
    """
    hits, true = _hits(predictions, weights)
    predicted = weights.counts(predictions.predicted, len(predictions.labels))
    absent = (true + predicted) == 0
    precision, recall, f1 = ratio(hits, predicted), ratio(hits, true), ratio(2 * hits, true + predicted)
    return {
        "precision": np.where(absent, np.nan, np.nan_to_num(precision)),
        "recall": np.where(absent, np.nan, np.nan_to_num(recall)),
        "f1": np.where(absent, np.nan, f1),
    }


@METRICS.add("accuracy")
def accuracy(predictions: Predictions, weights: Weights) -> Floats:
    """Share of items whose most probable class is the true one."""
    return weights.mean(predictions.predicted == predictions.truth)


@METRICS.add("macro_f1")
def macro_f1(predictions: Predictions, weights: Weights) -> Floats:
    """Unweighted mean of the F1 of the classes that occur or are predicted.

    A class that occurs, but of which a resample has no items, is left out of that resample's mean. If it is predicted
    nevertheless, its F1 would be 0 for lack of items, not of skill, and with few groups per class would pull the
    interval down.
    """
    classes = len(predictions.labels)
    occurs = np.bincount(predictions.truth, minlength=classes) > 0
    lost = (weights.counts(predictions.truth, classes) == 0) & occurs
    return _nanmean(np.where(lost, np.nan, class_scores(predictions, weights)["f1"]))


@METRICS.add("balanced_accuracy")
def balanced_accuracy(predictions: Predictions, weights: Weights) -> Floats:
    """Unweighted mean of the recall of the classes that occur."""
    return _nanmean(ratio(*_hits(predictions, weights)))


@METRICS.add("top3")
def top3(predictions: Predictions, weights: Weights) -> Floats:
    """Share of items whose true class is among the three most probable."""
    best = np.argsort(-predictions.probs, axis=1, kind="stable")[:, :3]
    return weights.mean((best == predictions.truth[:, None]).any(axis=1))


@METRICS.add("roc_auc")
def roc_auc(predictions: Predictions, weights: Weights) -> Floats:
    """Area under the ROC curve, one class against all others, averaged over the classes that occur; ties count half."""
    areas = [
        _area(predictions.probs[:, label], predictions.truth == label, weights)
        for label in np.unique(predictions.truth)
    ]
    return _nanmean(np.stack(areas, axis=1))


def _area(scores: Floats, positive: Mask, weights: Weights) -> Floats:
    """Return `[repeats]`, the share of the pairs of a positive and a negative item that have the right order."""
    steps, at = np.unique(scores[positive], return_inverse=True)
    wins = weights.select(positive).table(at, len(steps))
    # a negative is below all steps from the first that exceeds its score, and half below the one that equals it
    negatives = weights.select(~positive)
    below = sum(
        negatives.table(np.searchsorted(steps, scores[~positive], side), len(steps) + 1, 0.5)
        for side in ("left", "right")
    )
    pairs = [
        (np.einsum("sr,sr->r", won, np.cumsum(added[:-1], axis=0)), won.sum(axis=0), added.sum(axis=0))
        for won, added in weights.products(wins, below)
    ]
    right, won, lost = (np.concatenate(part) for part in zip(*pairs, strict=True))
    return ratio(right, won * lost)


@METRICS.add("log_loss")
def log_loss(predictions: Predictions, weights: Weights) -> Floats:
    """Mean negative logarithm of the true class's probability, in nats."""
    true_probs = predictions.probs[np.arange(len(predictions)), predictions.truth]
    return weights.mean(-np.log(np.clip(true_probs, np.finfo(np.float64).eps, None)))


@METRICS.add("brier")
def brier(predictions: Predictions, weights: Weights) -> Floats:
    """Mean squared distance to the truth, summed over classes: 0 (perfect) to 2 (certain and wrong) [Brier, 1950]."""
    target = np.eye(len(predictions.labels))[predictions.truth]
    return weights.mean(((predictions.probs - target) ** 2).sum(axis=1))


def _hits(predictions: Predictions, weights: Weights) -> tuple[Floats, Floats]:
    """Return how many items of each class are right, and how many there are, both `[repeats, classes]`."""
    classes, right = len(predictions.labels), predictions.predicted == predictions.truth
    hits = weights.select(right).counts(predictions.truth[right], classes)
    return hits, weights.counts(predictions.truth, classes)


def _nanmean(values: Floats) -> Floats:
    """Mean over the last axis of what is not nan; nan where nothing is left."""
    return ratio(np.nansum(values, axis=-1), (~np.isnan(values)).sum(axis=-1).astype(np.float64))
