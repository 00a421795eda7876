"""Metrics of predictions, each computed for many weightings of the items at once, as a bootstrap needs them.

Every metric takes weights `[repeats, items]` and returns one value per repeat. With one row of ones it equals
scikit-learn's metric of the same name, and with integer weights scikit-learn's metric of the resampled items; the tests
hold the two equal. `macro_f1` documents in what it differs.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import sparse

from spectro.core.arrays import Floats, Mask
from spectro.core.predictions import Predictions
from spectro.core.registry import Registry

Metric = Callable[[Predictions, Floats], Floats]

METRICS: Registry[Metric] = Registry("metric")
"""Metrics by name: predictions whose truth is known, weights `[repeats, items]` -> `[repeats]`."""

LOWER_IS_BETTER = frozenset({"log_loss", "brier"})
"""Metrics that count losses; all others grow with quality."""


def ones(predictions: Predictions) -> Floats:
    """Return the weights `[1, items]` that leave the items as they are."""
    return np.ones((1, len(predictions)))


def confusion(predictions: Predictions, weights: Floats) -> Floats:
    """Return confusion matrices `[repeats, classes, classes]`, rows true and columns predicted."""
    items, classes = len(predictions), len(predictions.labels)
    cells = predictions.truth * classes + predictions.predicted
    indicator = sparse.csr_array((np.ones(items), (np.arange(items), cells)), shape=(items, classes**2))
    return np.asarray(weights @ indicator).reshape(-1, classes, classes)


def class_scores(predictions: Predictions, weights: Floats) -> dict[str, Floats]:
    """Return precision, recall and F1 per class, each `[repeats, classes]`; nan for a class that does not occur.

    A class that occurs but is never predicted has precision 0, one that is predicted but never occurs recall 0.
    """
    table = confusion(predictions, weights)
    hits = np.diagonal(table, axis1=1, axis2=2)
    true, predicted = table.sum(axis=2), table.sum(axis=1)
    absent = (true + predicted) == 0
    precision, recall, f1 = _ratio(hits, predicted), _ratio(hits, true), _ratio(2 * hits, true + predicted)
    return {
        "precision": np.where(absent, np.nan, np.nan_to_num(precision)),
        "recall": np.where(absent, np.nan, np.nan_to_num(recall)),
        "f1": np.where(absent, np.nan, f1),
    }


@METRICS.add("accuracy")
def accuracy(predictions: Predictions, weights: Floats) -> Floats:
    """Share of items whose most probable class is the true one."""
    return _mean(predictions.predicted == predictions.truth, weights)


@METRICS.add("macro_f1")
def macro_f1(predictions: Predictions, weights: Floats) -> Floats:
    """Unweighted mean of the F1 of the classes that occur or are predicted.

    A class that occurs, but of which a resample has no items, is left out of that resample's mean. If it is predicted
    nevertheless, its F1 would be 0 for lack of items, not of skill, and with few groups per class would pull the
    interval down.
    """
    occurs = np.eye(len(predictions.labels))[predictions.truth]
    lost = (weights @ occurs == 0) & (occurs.sum(axis=0) > 0)
    return _nanmean(np.where(lost, np.nan, class_scores(predictions, weights)["f1"]))


@METRICS.add("balanced_accuracy")
def balanced_accuracy(predictions: Predictions, weights: Floats) -> Floats:
    """Unweighted mean of the recall of the classes that occur."""
    table = confusion(predictions, weights)
    return _nanmean(_ratio(np.diagonal(table, axis1=1, axis2=2), table.sum(axis=2)))


@METRICS.add("top3")
def top3(predictions: Predictions, weights: Floats) -> Floats:
    """Share of items whose true class is among the three most probable."""
    best = np.argsort(-predictions.probs, axis=1, kind="stable")[:, :3]
    return _mean((best == predictions.truth[:, None]).any(axis=1), weights)


@METRICS.add("roc_auc")
def roc_auc(predictions: Predictions, weights: Floats) -> Floats:
    """Area under the ROC curve, one class against all others, averaged over the classes that occur; ties count half."""
    areas = []
    for label in np.unique(predictions.truth):
        scores = predictions.probs[:, label]
        order = np.argsort(scores, kind="stable")
        starts = np.flatnonzero(np.diff(scores[order], prepend=-1.0))  # first item of each run of equal scores
        positive = (predictions.truth == label)[order]
        sorted_weights = weights[:, order]
        wins = np.add.reduceat(sorted_weights * positive, starts, axis=1)
        losses = np.add.reduceat(sorted_weights * ~positive, starts, axis=1)
        below = np.cumsum(losses, axis=1) - losses / 2
        areas.append(_ratio((wins * below).sum(axis=1), wins.sum(axis=1) * losses.sum(axis=1)))
    return _nanmean(np.stack(areas, axis=1))


@METRICS.add("log_loss")
def log_loss(predictions: Predictions, weights: Floats) -> Floats:
    """Mean negative logarithm of the true class's probability, in nats."""
    true_probs = predictions.probs[np.arange(len(predictions)), predictions.truth]
    return _mean(-np.log(np.clip(true_probs, np.finfo(np.float64).eps, None)), weights)


@METRICS.add("brier")
def brier(predictions: Predictions, weights: Floats) -> Floats:
    """Mean squared distance to the truth, summed over classes: 0 (perfect) to 2 (certain and wrong) [Brier, 1950]."""
    target = np.eye(len(predictions.labels))[predictions.truth]
    return _mean(((predictions.probs - target) ** 2).sum(axis=1), weights)


def _mean(values: Mask | Floats, weights: Floats) -> Floats:
    return _ratio(weights @ values.astype(np.float64), weights.sum(axis=1))


def _ratio(above: Floats, below: Floats) -> Floats:
    """Divide, with nan where the divisor is 0."""
    quotient: Floats = np.divide(above, below, out=np.full(np.shape(above), np.nan), where=below > 0)
    return quotient


def _nanmean(values: Floats) -> Floats:
    """Mean over the last axis of what is not nan; nan where nothing is left."""
    return _ratio(np.nansum(values, axis=-1), (~np.isnan(values)).sum(axis=-1).astype(np.float64))
