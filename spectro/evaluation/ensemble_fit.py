"""How the members of an ensemble are weighed: by a vote rule, by weights fitted on validation, or by stacking."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import optimize
from sklearn.linear_model import LogisticRegression

from spectro.core.arrays import softmax
from spectro.core.errors import RunError
from spectro.core.predictions import Probs
from spectro.inference.combination import FLOOR, Combination, weighted_mean


def fit_weights(members: Probs, truth: NDArray[np.int64], *, per_class: bool = False) -> Combination:
    """Find weights that minimize the log loss of the weighted mean.

    Parameters
    ----------
    members : `[members, items, classes]`, validation probabilities
    truth : `[items]`, true classes
    per_class : one weight per member and class, drawn towards equal ones (by one validation clip's worth of log loss
        per unit of squared logit), since few clips speak for each class

    Returns
    -------
    Weights that sum to 1 over members (for each class).
    """
    count, items, classes = members.shape
    _check_fit(items, truth)
    shape = (count, classes) if per_class else (count, 1)
    rows = np.arange(items)

    def loss(logits: NDArray[np.float64]) -> float:
        weights = softmax(logits.reshape(shape).T).T
        said = weighted_mean(np.broadcast_to(weights, (count, classes)), members)[rows, truth]
        penalty = float((logits**2).sum()) / items if per_class else 1e-6 * float((logits**2).sum())
        return float(-np.log(np.clip(said, FLOOR, None)).mean()) + penalty

    found = optimize.minimize(
        loss, np.zeros(count * shape[1]), method="L-BFGS-B", bounds=[(-8, 8)] * (count * shape[1])
    )
    weights = softmax(found.x.reshape(shape).T).T.round(6)
    return Combination(weights=tuple(map(tuple, weights.tolist())) if per_class else tuple(weights[:, 0].tolist()))


def fit_stacking(members: Probs, truth: NDArray[np.int64]) -> Combination:
    """Fit a regularized logistic regression from the members' log-probabilities to the class.

    Raises
    ------
    RunError
        a class does not occur in validation, so nothing could be learned about it.
    """
    count, items, classes = members.shape
    _check_fit(items, truth)
    missing = sorted(set(range(classes)) - set(truth.tolist()))
    if missing:
        raise RunError(f"stacking needs every class in validation, but class {missing[0]} does not occur; use 'fitted'")
    features = np.log(np.clip(members, FLOOR, None)).transpose(1, 0, 2).reshape(items, count * classes)
    model = LogisticRegression(C=0.01, max_iter=5000).fit(features, truth)
    coefficients, intercept = model.coef_, model.intercept_
    if classes == 2:  # scikit-learn keeps one row for two classes
        coefficients, intercept = np.vstack([-coefficients, coefficients]) / 2, np.hstack([-intercept, intercept]) / 2
    return Combination(coefficients=tuple(map(tuple, coefficients.tolist())), intercept=tuple(intercept.tolist()))


def _check_fit(items: int, truth: NDArray[np.int64]) -> None:
    if not items or (truth < 0).any():
        raise RunError(
            "weights are fitted on validation clips with known truth, but some are unknown or there are none"
        )
