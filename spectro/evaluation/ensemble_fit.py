"""Fit how the members of an ensemble are combined, on validation: one weight each, one per class, or stacking."""

from __future__ import annotations

import numpy as np
from scipy import optimize
from sklearn.linear_model import LogisticRegression

from spectro.core.arrays import Floats, Items, Probs, softmax
from spectro.core.card import Combination
from spectro.core.errors import RunError
from spectro.inference.combination import FLOOR, weighted_mean


def fit_weights(members: Probs, truth: Items, *, per_class: bool = False) -> Combination:
    """Find weights that minimize the log loss of the weighted mean.

    Parameters
    ----------
    members
        `[members, items, classes]`, validation probabilities.
    truth
        `[items]`, true classes.
    per_class
        One weight per member and class, regularized towards equal ones (by one validation clip's worth of log loss per
        unit of squared logit), since there are few clips of each class.

    Returns
    -------
    Combination
        Weights that sum to 1 over members (for each class).

    Raises
    ------
    RunError
        There are no items, or the class of one is not known.
    """
    count, items, classes = members.shape
    _check_items(items, truth)
    shape = (count, classes) if per_class else (count, 1)
    rows = np.arange(items)

    def loss(logits: Floats) -> float:
        weights = softmax(logits.reshape(shape).T).T
        probs = weighted_mean(np.broadcast_to(weights, (count, classes)), members)[rows, truth]
        penalty = float((logits**2).sum()) / items if per_class else 1e-6 * float((logits**2).sum())
        return float(-np.log(np.clip(probs, FLOOR, None)).mean()) + penalty

    bounds = [(-8, 8)] * (count * shape[1])
    result = optimize.minimize(loss, np.zeros(count * shape[1]), method="L-BFGS-B", bounds=bounds)
    weights = softmax(result.x.reshape(shape).T).T.round(6)
    return Combination(weights=tuple(map(tuple, weights.tolist())) if per_class else tuple(weights[:, 0].tolist()))


def fit_stacking(members: Probs, truth: Items) -> Combination:
    """Fit a regularized logistic regression from the members' log-probabilities to the class.

    Parameters
    ----------
    members
        `[members, items, classes]`, validation probabilities.
    truth
        `[items]`, true classes.

    Raises
    ------
    RunError
        There are no items, the class of one is not known, or a class does not occur, so that nothing could be learned
        about it.
    """
    count, items, classes = members.shape
    _check_items(items, truth)
    missing = sorted(set(range(classes)) - set(truth.tolist()))
    if missing:
        raise RunError(f"stacking needs every class in validation, but class {missing[0]} does not occur; use 'fitted'")
    features = np.log(np.clip(members, FLOOR, None)).transpose(1, 0, 2).reshape(items, count * classes)
    model = LogisticRegression(C=0.01, max_iter=5000).fit(features, truth)
    coefficients, intercept = model.coef_, model.intercept_
    if classes == 2:  # scikit-learn keeps one row for two classes
        coefficients, intercept = np.vstack([-coefficients, coefficients]) / 2, np.hstack([-intercept, intercept]) / 2
    return Combination(coefficients=tuple(map(tuple, coefficients.tolist())), intercept=tuple(intercept.tolist()))


def _check_items(items: int, truth: Items) -> None:
    if not items or (truth < 0).any():
        raise RunError(
            "weights are fitted on validation clips with known truth, but some are unknown or there are none"
        )
