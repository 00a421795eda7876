"""Whether probabilities mean what they say: temperature, calibration error, reliability, accuracy against coverage."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from spectro.core.errors import DataError
from spectro.core.predictions import Predictions
from spectro.evaluation.metrics import METRICS, Values, Weights, ones
from spectro.evaluation.statistics import BootstrapConfig, Estimate, bootstrap, estimate, percentile_interval, wilson
from spectro.inference.temperature import apply_temperature, require_probability

BINS = 10
"""Bins of the calibration error and the reliability plot; fewer where they would hold fewer than 15 items."""


def fit_temperature(validation: Predictions) -> float:
    """Find the temperature that minimizes the log loss of predictions after voting [Guo et al., 2017].

    It is drawn towards 1 by as much as one more item would weigh, so that a few clips, all right, cannot make it 0.

    Raises
    ------
    DataError
        no item's truth is known.
    """
    known = validation.select(validation.truth >= 0)
    if not len(known):
        raise DataError("a temperature is fitted on validation clips with known truth, but there are none")

    def loss(log_temperature: float) -> float:
        softened = apply_temperature(known, math.exp(log_temperature))
        return float(METRICS["log_loss"](softened, ones(softened))[0]) + log_temperature**2 / (2 * len(known))

    return float(math.exp(optimize.minimize_scalar(loss, bounds=(-3, 3), method="bounded").x))


def calibration_error(predictions: Predictions, weights: Weights) -> Values:
    """Return the expected calibration error in bins of equal mass, `[repeats]`: mean gap of confidence and accuracy."""
    gap = predictions.probs.max(axis=1) - (predictions.predicted == predictions.truth)
    members = _bins(predictions)
    sums = np.stack([np.abs(weights[:, items] @ gap[items]) for items in members], axis=1)
    error: Values = sums.sum(axis=1) / weights.sum(axis=1)
    return error


def estimate_calibration_error(predictions: Predictions, config: BootstrapConfig | None = None) -> Estimate:
    """Return the calibration error with the basic bootstrap interval over groups [Davison and Hinkley, 1997].

    Noise never makes an absolute gap smaller, so resamples err upwards; the basic interval mirrors them and so takes
    that bias out, where the percentile interval would count it twice.
    """
    config = config or BootstrapConfig()
    value = float(calibration_error(predictions, ones(predictions))[0])
    if len(set(predictions.groups)) < 2:
        return Estimate(value, math.nan, math.nan)
    samples = bootstrap(lambda weights: calibration_error(predictions, weights), predictions.groups, config)
    low, high = percentile_interval(samples, config.level)
    return Estimate(value, max(0.0, 2 * value - high), max(0.0, 2 * value - low))


def reliability(predictions: Predictions) -> list[dict[str, float]]:
    """Return each bin's mean `confidence`, its `accuracy` with Wilson's `low` and `high`, and `n`."""
    confidence, right = predictions.probs.max(axis=1), predictions.predicted == predictions.truth
    found = []
    for items in _bins(predictions):
        share = wilson(int(right[items].sum()), len(items))
        mean = float(confidence[items].mean())
        found.append(
            {"confidence": mean, "accuracy": share.value, "low": share.low, "high": share.high, "n": len(items)}
        )
    return found


def accuracy_coverage_curve(predictions: Predictions, points: int = 40) -> list[dict[str, float]]:
    """Return what abstaining buys: the accuracy of the most confident items, for growing shares of all.

    Each point holds the `coverage` (share answered), the `accuracy` among them and the `threshold`: the confidence from
    which on a model would answer to get there.
    """
    confidence = predictions.probs.max(axis=1)
    order = np.argsort(-confidence, kind="stable")
    right = np.cumsum((predictions.predicted == predictions.truth)[order])
    answered = np.unique(np.linspace(1, len(order), min(points, len(order))).round().astype(int))
    return [
        {"coverage": n / len(order), "accuracy": right[n - 1] / n, "threshold": float(confidence[order[n - 1]])}
        for n in answered.tolist()
    ]


def selective_accuracy(
    predictions: Predictions, threshold: float, config: BootstrapConfig | None = None
) -> dict[str, Any]:
    """Return what is left when a model answers only where it is confident enough.

    Parameters
    ----------
    predictions : voted, calibrated, with known truth
    threshold : the probability of the class said from which on it answers, 0..1

    Returns
    -------
    `threshold`, `answered` (number of items), and with intervals from a bootstrap over groups `coverage`, the share of
    items answered, and `accuracy`, the share of the answers that is right (None where nothing is answered).

    Raises
    ------
    ConfigError
        the threshold is no probability.
    """
    require_probability(threshold)
    sure = (predictions.probs.max(axis=1) >= threshold).astype(float)
    right = sure * (predictions.predicted == predictions.truth)

    def share(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        answered = weights @ sure
        shares: NDArray[np.float64] = np.full(len(weights), np.nan)
        np.divide(weights @ right, answered, out=shares, where=answered > 0)
        return shares

    covered = estimate(lambda weights: weights @ sure / weights.sum(axis=1), predictions.groups, config)
    accuracy = estimate(share, predictions.groups, config).to_dict() if sure.any() else None
    return {"threshold": threshold, "answered": int(sure.sum()), "coverage": covered.to_dict(), "accuracy": accuracy}


def calibrate(
    test: Predictions, validation: Predictions | None = None, config: BootstrapConfig | None = None
) -> dict[str, Any]:
    """Judge the calibration of voted predictions, and what a temperature fitted on validation makes of it.

    Returns
    -------
    `ece`, `log_loss`, `reliability` and `coverage` of the test predictions as they are, `temperature` (None without
    validation), and under `after` the first three with the temperature applied.
    """
    config = config or BootstrapConfig()
    temperature = None if validation is None else fit_temperature(validation)
    found: dict[str, Any] = {
        "temperature": temperature,
        **_figures(test, config),
        "coverage": accuracy_coverage_curve(test),
    }
    if temperature is not None:
        softened = apply_temperature(test, temperature)
        found |= {"after": _figures(softened, config), "coverage": accuracy_coverage_curve(softened)}
    return found


def _figures(predictions: Predictions, config: BootstrapConfig) -> dict[str, Any]:
    return {
        "ece": estimate_calibration_error(predictions, config).to_dict(),
        "log_loss": float(METRICS["log_loss"](predictions, ones(predictions))[0]),
        "reliability": reliability(predictions),
    }


def _bins(predictions: Predictions) -> list[NDArray[np.intp]]:
    """Return the items of each bin: equally many, in order of confidence."""
    order = np.argsort(predictions.probs.max(axis=1), kind="stable")
    return np.array_split(order, max(1, min(BINS, len(order) // 15)))
